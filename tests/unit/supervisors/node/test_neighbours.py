"""Configurations of supervisord, pm2 and AIWG as one of ours: sound, whole as far as they go, and without secrets."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from supervisors.node.loading import load_config
from supervisors.node.neighbours import Imported, ImportFileError, import_neighbour

SUPERVISORD = """\
[supervisord]
logfile=/tmp/supervisord.log

[include]
files = conf.d/*.conf

[program:web]
command=/bin/sh -c "sleep %(process_num)d" ; a comment
process_name=%(program_name)s_%(process_num)02d
directory=/tmp
numprocs=2
autorestart=true
stopsignal=INT
stopwaitsecs=20
exitcodes=0,2
environment=LANG="C.UTF-8",API_TOKEN="hunter2",PLAIN=a b
priority=10
stdout_logfile=/tmp/web.log
startsecs=5
startretries=7

[program:once]
command=/bin/true
autostart=false
autorestart=false

[group:all]
programs=web,once

[eventlistener:memmon]
command=memmon
"""

PM2 = """{
  "apps": [
    {"name": "api server", "script": "server.js", "cwd": "/tmp", "args": "--port 3000", "node_args": ["--inspect"],
     "instances": 2, "exec_mode": "cluster", "env": {"NODE_ENV": "production", "DB_PASSWORD": "hunter2"},
     "env_production": {"SECRET_KEY": "hunter2"}, "max_memory_restart": "300M", "kill_timeout": 3000, "watch": true,
     "restart_delay": 4000, "listen_timeout": 9000},
    {"script": "job.py", "interpreter": "/bin/sh", "autorestart": false, "instances": "max",
     "kill_timeout": "soon"}
  ]
}"""

AIWG = """{
  "daemon": {"heartbeat_interval_seconds": 30, "max_parallel_actions": 3, "action_timeout_minutes": 120,
             "log": {"max_size_mb": 50, "max_files": 5, "level": "warn"}},
  "watch": {"enabled": true, "paths": [{"path": "src/", "events": ["modify"]}], "debounce_ms": 2000},
  "schedule": {"enabled": true, "jobs": [{"id": "health-check", "cron": "0 */6 * * *", "action": "doctor"}]}
}"""


def taken(folder: Path, kind: str, name: str, text: str) -> tuple[Imported, dict[str, Any]]:
    file = folder / name
    file.write_text(text)
    found = import_neighbour(kind, file)
    ours = found.text(name)
    assert "hunter2" not in ours + "".join(found.notes)
    (folder / "actors.toml").write_text(ours)
    load_config(folder / "actors.toml", environ={"API_TOKEN": "x", "DB_PASSWORD": "x"})
    return found, tomllib.loads(ours)


def test_programs_of_supervisord_keep_their_rules(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "more.conf").write_text("[program:more]\ncommand=/bin/false\n")

    found, ours = taken(tmp_path, "supervisord", "supervisord.conf", SUPERVISORD)

    assert list(ours["programs"]) == ["/web-0", "/web-1", "/once", "/more"]
    web = ours["programs"]["/web-1"]
    assert web["command"] == ["/bin/sh", "-c", "sleep 1"]
    assert (web["restart"], web["stop_signal"], web["shutdown"], web["success_exit"]) == (
        "permanent",
        "INT",
        "20s",
        [0, 2],
    )
    assert web["environment"] == {"LANG": "C.UTF-8", "PLAIN": "a b"}
    assert (web["secrets"], ours["secrets"]) == (["API_TOKEN"], {"API_TOKEN": {"env": "API_TOKEN"}})
    assert (ours["programs"]["/once"]["enabled"], ours["programs"]["/once"]["restart"]) == (False, "temporary")
    assert web["ready"] == {"delay": "5s"}
    assert [note.partition("]")[0] for note in found.notes] == ["[program:web", "[group:all", "[eventlistener:memmon"]
    assert "startretries = 7" in found.notes[0]


def test_apps_of_pm2_become_programs(tmp_path: Path) -> None:
    found, ours = taken(tmp_path, "pm2", "ecosystem.config.json", PM2)

    api = ours["programs"]["/api-server-1"]
    assert api["command"] == ["node", "--inspect", "server.js", "--port", "3000"]
    assert (api["memory_max"], api["shutdown"], api["environment"]) == ("300MiB", "3000ms", {"NODE_ENV": "production"})
    assert (api["start_timeout"], api["backoff"]) == ("9000ms", {"first": "4000ms", "max": "4000ms"})
    assert any("exec_mode = cluster" in note for note in found.notes)
    assert any('kill_timeout = "soon": no number' in note for note in found.notes)
    assert ours["programs"]["/app-1"]["restart"] == "temporary"
    assert any("watch = true" in note for note in found.notes)
    assert any("env_production" in note for note in found.notes)
    assert any("instances = max" in note for note in found.notes)


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed here")
def test_an_ecosystem_file_in_javascript_is_evaluated(tmp_path: Path) -> None:
    text = (
        "const port = 1000 + 2;\nmodule.exports = { apps: [{ name: 'a', script: 'a.js', args: `--port ${port}` }] };\n"
    )

    _, ours = taken(tmp_path, "pm2", "ecosystem.config.js", text)

    assert ours["programs"]["/a"]["command"] == ["node", "a.js", "--port", "1002"]


def test_what_aiwg_says_is_taken_and_the_rest_is_named(tmp_path: Path) -> None:
    found, ours = taken(tmp_path, "aiwg", "daemon.yaml", AIWG)

    assert ours["health"] == {"heartbeat": "30s"}
    assert ours["log"] == {"level": "warning", "max_size": "50MiB", "total": "300MiB"}
    assert len(found.notes) == 4


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("supervisord", "no ini at all"),
        ("supervisord", "[supervisord]\n"),
        ("pm2", "{"),
        ("pm2", '{"apps": []}'),
        ("aiwg", "daemon: true"),
        ("aiwg", "[]"),
    ],
)
def test_what_is_no_configuration_of_the_program_is_refused(kind: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "file.json").write_text(text)

    with pytest.raises(ImportFileError):
        import_neighbour(kind, tmp_path / "file.json")


def test_supervisords_includes_may_be_absolute_and_what_it_fills_in_is_filled_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_HOME", "/srv/shop")
    monkeypatch.setenv("SHOP_TOKEN", "hunter2")
    monkeypatch.delenv("NOBODY", raising=False)
    parts = tmp_path / "conf.d"
    parts.mkdir()
    main = tmp_path / "supervisord.conf"
    main.write_text(f'[supervisord]\nenvironment=STAGE="prod"\n[include]\nfiles = {parts}/*.conf {parts}/none.ini\n')
    (parts / "shop.conf").write_text(
        "[program:shop]\ncommand=%(here)s/run --at %(ENV_SHOP_HOME)s --key %(ENV_SHOP_TOKEN)s --of %(ENV_NOBODY)s\n"
        'directory=%(ENV_SHOP_HOME)s\nenvironment=SHARE="50%%",STAGE="%(process_num)02d"\nstopasgroup=true\n'
    )

    found = import_neighbour("supervisord", main)

    program = found.tables['programs."/shop"']
    assert program["command"] == [
        *(f"{parts}/run", "--at", "/srv/shop", "--key", "%(ENV_SHOP_TOKEN)s", "--of", "%(ENV_NOBODY)s")
    ]
    assert program["directory"] == "/srv/shop"
    assert program["environment"] == {"STAGE": "00", "SHARE": "50%"}
    assert found.notes == [
        f"[include] files = {parts}/none.ini: there is none",
        "[program:shop]: %(ENV_SHOP_TOKEN)s stands there as it is",
        "[program:shop]: %(ENV_NOBODY)s stands there as it is",
    ]


def test_what_pm2_has_switched_off_or_says_of_its_logs_is_no_loss(tmp_path: Path) -> None:
    file = tmp_path / "eco.json"
    file.write_text(
        '{"apps": [{"name": "www", "script": "./bin/www", "exec_mode": "cluster", "watch": false, "time": true,'
        ' "out_file": "a.log", "error_file": "b.log", "merge_logs": true, "cron_restart": "0 0 * * *"}]}'
    )

    found = import_neighbour("pm2", file)

    assert found.tables['programs."/www"']["command"] == ["node", "./bin/www"]
    assert found.notes == [
        'www: cron_restart = "0 0 * * *"',
        "www: exec_mode = cluster; nothing shares a port among the instances",
    ]
