"""structlog in front of the standard library's logging: configured as it is imported, unless somebody else did that."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import json
import logging
import sys

from supervisors import structured
from supervisors.logfields import fields_of

{before}
structured.install()
structured.install()
assert {imported} == ("structlog" in sys.modules)

found = []


class Keep(logging.Handler):
    def emit(self, record):
        found.append([record.name, record.levelname, record.getMessage(), fields_of(record), bool(record.exc_info)])


logging.basicConfig(level=logging.INFO, handlers=[Keep()])
import structlog

log = structlog.get_logger("shop").bind(count=3, token="hunter2")
log.debug("unseen")
log.info("sold %s to %(who)s", name="bob", level="high", args=1)
try:
    raise ValueError("as asked")
except ValueError:
    log.exception("failed")
print(json.dumps(found))
"""


def lines(before: str = "", imported: bool = False) -> str:
    program = PROGRAM.format(before=before, imported=imported)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_lines_of_structlog_become_records_with_its_fields_whichever_was_first() -> None:
    for before in ("", "import structlog"):
        (sold, failed) = json.loads(lines(before, bool(before)))

        assert sold[:3] == ["shop", "INFO", "sold %s to %(who)s"]
        assert sold[3] == {"count": 3, "token": "***", "name": "bob", "level_": "high", "args": 1}
        assert failed[:3] == ["shop", "ERROR", "failed"]
        assert failed[4]


def test_who_has_configured_structlog_keeps_what_they_chose() -> None:
    before = "import structlog\nstructlog.configure(processors=[lambda *_: 'mine'])"

    assert lines(before, True).splitlines() == ["mine", "mine", "mine", "[]"]
