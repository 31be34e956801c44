# Everything a person types: `make run` starts the built-in system, `make test` runs the tests. Both make .venv first.
PYTHON ?= python3
# Compiled modules are kept: the tests start thousands of processes, and each would compile all it imports anew.
unexport PYTHONDONTWRITEBYTECODE
# Processes that run tests side by side, each whole files; 0 is one after another, in the suite's own process.
JOBS ?= 3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Programs in Node.js that the tests run; where there is no npm, those tests are skipped and say so.
NODE := $(if $(shell command -v npm),tests/node/node_modules/.installed)

.PHONY: run test node check lint types contracts wheel bench bench-peers faults trial-subtrees trial-logs trial-jobs trial-schedules trial-history-damage trial-history-kills trial-history-readers trial-systemd trial-newcomer soak fuzz clean starts properties

run: $(STAMP)
	$(BIN)/actorctl run $(ARGS)

test: $(STAMP) $(NODE)
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile $(ARGS)

node: $(NODE)

check: lint types contracts

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy -p actors -p transport -p supervisors

contracts: $(STAMP)
	$(BIN)/lint-imports

# The tests against the installed wheel rather than the working tree (--import-mode=importlib keeps the tree off sys.path).
wheel: $(STAMP)
	rm -rf dist build/wheel-venv
	$(BIN)/python -m build --wheel --no-isolation --outdir dist
	$(PYTHON) -m venv build/wheel-venv
	build/wheel-venv/bin/pip install -q -c constraints.txt dist/*.whl pytest pytest-timeout pytest-xdist hypothesis jsonschema
	build/wheel-venv/bin/pytest -q -n 2 --dist loadfile tests/unit tests/acceptance/test_first_run.py

bench: $(STAMP)
	$(BIN)/python -m benchmarks.run

bench-peers: $(STAMP)
	$(BIN)/python -m benchmarks.run --peers

# Properties with inputs that no run has had before; the test suite has the same ones each time.
properties: $(STAMP)
	$(BIN)/python -m pytest -q -n $(JOBS) --hypothesis-profile=search tests/properties $(ARGS)

# The long form of the fault trials; the test suite runs fewer rounds. A clean one is kept beside the benchmarks' results.
faults: $(STAMP)
	FAULT_ROUNDS=100 FAULT_RECORD=$(CURDIR)/benchmarks/results/faults.json $(BIN)/python -m pytest -q tests/faults --timeout=3600

# 1,000 random kill -9, SIGSTOP and SIGCONT over three levels of processes under message load; half an hour where idle.
trial-subtrees: $(STAMP)
	TRIAL_STRIKES=1000 TRIAL_RECORD=$(CURDIR)/benchmarks/results/trial-subtrees.json \
	  $(BIN)/python -m pytest -q tests/faults/test_subtree_faults.py --timeout=14400 --log-cli-level=INFO $(ARGS)

# Kills a runtime under a load of jobs 500 times, and keeps what became of each job.
trial-jobs: $(STAMP)
	PYTHONPATH=. $(BIN)/python tests/support/job_trial.py --rounds 500 --result benchmarks/results/job_kills.json $(ARGS)

# Ten minutes of log lines as fast as three actors can: the files stay under their cap, the other actors go on.
trial-logs: $(STAMP)
	FLOOD_SECONDS=600 FLOOD_RECORD=$(CURDIR)/benchmarks/results/trial-logs.json \
	  $(BIN)/python -m pytest -q tests/faults/test_log_flood.py --timeout=1200 $(ARGS)

# Kills a scheduler under load 500 times; each slot has exactly one end. Twenty minutes.
trial-schedules: $(STAMP)
	SCHEDULE_KILLS=500 SCHEDULE_RECORD=$(CURDIR)/benchmarks/results/schedules-kills.json \
	  $(BIN)/python -m pytest -q tests/faults/test_schedule_kills.py --timeout=14400 $(ARGS)

# The installed service under a live systemd, as process 1 of namespaces of its own: two minutes; needs root, and says so.
trial-systemd: $(STAMP)
	TRIAL_SYSTEMD=1 TRIAL_RECORD=$(CURDIR)/benchmarks/results/trial-systemd.json \
	  $(BIN)/python -m pytest -q tests/faults/test_systemd.py $(ARGS)

# The README in a fresh Debian with what it asks for and nothing else; needs root and debootstrap, and says so.
trial-newcomer:
	sh tests/support/newcomer.sh $(CURDIR)/build/newcomer $(CURDIR)/benchmarks/results/trial-newcomer.json

# 200 logs of killed recorders, each damaged in another way and opened again. Ten minutes.
trial-history-damage: $(STAMP)
	PYTHONPATH=. $(BIN)/python tests/support/history_damage.py --rounds 200 --result benchmarks/results/history-damage.json $(ARGS)

# kill -9 of recorder and runtime under load, 500 rounds; each acknowledged row is there once in every view. Half an hour.
trial-history-kills: $(STAMP)
	PYTHONPATH=. $(BIN)/python tests/support/history_kills.py --rounds 500 --result benchmarks/results/history-kills.json $(ARGS)

# 100,000 queries by three versions of DuckDB while the history is published, merged, sealed and dropped. An hour or two,
# in as many sittings as you like: Ctrl-C ends one, and the next asks what is left.
trial-history-readers: $(STAMP)
	PYTHONPATH=. $(BIN)/python tests/support/history_readers.py --queries 100000 --result benchmarks/results/history-readers.json $(ARGS)

# A node under load for 30 minutes: memory, descriptors and threads of each process once a second, and whether they stay flat.
soak: $(STAMP)
	$(BIN)/python -m benchmarks.soak $(ARGS)

# 50 nodes started at once, 20 rounds, one winner each time; 200 rounds of start, kill -9, start. Each round may take ten
# minutes; START_SECONDS=600 ends either trial after the round in which ten are over. starts.json says what was really run.
starts: $(STAMP)
	NODE_TIMEOUT=600 START_ROUNDS=20 STARTS_AT_ONCE=50 KILL_ROUNDS=200 STARTS_RECORD=$(CURDIR)/benchmarks/results/starts.json \
	  $(BIN)/python -m pytest -q tests/faults/test_starts_at_once.py $(ARGS)

# A million inputs and more at everything that takes bytes from others (Linux, CPython 3.11 to 3.13); keeps what it found.
fuzz: $(STAMP)
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[fuzz]'
	$(BIN)/python tests/fuzz/wire.py $(ARGS)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

tests/node/node_modules/.installed: tests/node/package.json
	cd tests/node && npm install --no-package-lock --no-audit --no-fund --loglevel=error
	touch $@

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .hypothesis tests/node/node_modules
