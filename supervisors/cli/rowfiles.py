"""Rows of a query into a file of the format that its name says: Parquet, Arrow, CSV, JSON or JSON lines.

The types are those the recorder told. DuckDB writes Parquet and CSV; Arrow files need pyarrow, the extra `arrow`; JSON
holds what `-o json` shows, which is valid for every reader: DuckDB writes NaN as a word that is none of JSON's.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from supervisors.cli.failures import CommandError, usage
from supervisors.views import ColumnView
from supervisors.views.base import plain

FORMATS: Final = {
    ".parquet": "FORMAT parquet, COMPRESSION zstd",
    ".csv": "FORMAT csv, HEADER",
    ".json": "",
    ".jsonl": "",
    ".arrow": "",
}
_JSON: Final = {".json": ("[\n", ",\n", "\n]\n"), ".jsonl": ("", "\n", "\n")}
_PLAIN: Final = frozenset({"BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "DOUBLE", "FLOAT", "VARCHAR"})


def check_target(target: str) -> None:
    """Refuse a file that could not be written, before anything is asked.

    Raises:
        CommandError: `usage`: its format is unknown or cannot be written here.
    """
    path = Path(target)
    if path.suffix not in FORMATS:
        raise usage(f"--to {target}: its name says no format", f"end it in {', '.join(FORMATS)}")
    if path.suffix == ".arrow" and importlib.util.find_spec("pyarrow") is None:
        raise usage("--to: an Arrow file needs the package pyarrow", "pip install 'actorctl[arrow]', or write .parquet")
    if not path.absolute().parent.is_dir():
        raise usage(f"--to {target}: there is no folder {path.absolute().parent}", "make it first")


def write_rows(target: str, columns: Sequence[ColumnView], rows: Sequence[Sequence[Any]]) -> None:
    """Write `rows` to `target`, which is whole or as it was before.

    Raises:
        CommandError: `failed`: it cannot be written.
    """
    import duckdb

    path = Path(target).absolute()
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    quoted = str(temporary).replace("'", "''")
    try:
        if path.suffix in _JSON:
            _write_json(temporary, path.suffix, columns, rows)
            os.replace(temporary, path)
            return
        with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            selected = _staged(connection, columns, rows)
            if path.suffix == ".arrow":
                _write_arrow(connection.sql(selected), temporary)
            else:
                connection.execute(f"COPY ({selected}) TO '{quoted}' ({FORMATS[path.suffix]})")
        os.replace(temporary, path)
    except (duckdb.Error, OSError) as error:
        temporary.unlink(missing_ok=True)
        raise CommandError("failed", f"{target} cannot be written: {error}", "name another file with --to") from None


def _write_json(path: Path, suffix: str, columns: Sequence[ColumnView], rows: Sequence[Sequence[Any]]) -> None:
    begin, between, end = _JSON[suffix]
    names = [column.name for column in columns]
    with path.open("w", encoding="utf-8") as file:
        file.write(begin)
        for number, row in enumerate(rows):
            item = plain(dict(zip(names, row, strict=True)))
            file.write((between if number else "") + json.dumps(item, ensure_ascii=False, allow_nan=False))
        file.write(end if rows or suffix == ".json" else "")


def _staged(connection: Any, columns: Sequence[ColumnView], rows: Sequence[Sequence[Any]]) -> str:
    """Put `rows` into a table and return the SELECT that gives them their types."""
    names = [f"c{number}" for number in range(len(columns))]
    held = [column.type if column.type in _PLAIN else "VARCHAR" for column in columns]
    connection.execute(f"CREATE TABLE staged ({', '.join(map(' '.join, zip(names, held, strict=True)))})")
    if rows:
        appender = connection.appender("staged")
        appender.append_rows([tuple(map(_staged_value, row, held)) for row in rows])
        appender.flush()
    listed = [
        f'{_typed(name, column.type)} AS "{_escaped(column.name)}"' for name, column in zip(names, columns, strict=True)
    ]
    return f"SELECT {', '.join(listed)} FROM staged"


def _staged_value(value: Any, held: str) -> Any:
    if value is None or held != "VARCHAR" or isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, (list, dict)) else repr(value)


def _typed(name: str, kind: str) -> str:
    if kind in _PLAIN:
        return name
    if kind == "INTERVAL":
        return f"to_seconds({name}::DOUBLE)"
    if kind.endswith("]") or kind.startswith(("STRUCT", "MAP")):
        return f"CAST({name}::JSON AS {kind})"
    return f"CAST({name} AS {kind})"


def _escaped(name: str) -> str:
    return name.replace('"', '""')


def _write_arrow(relation: Any, path: Path) -> None:
    import pyarrow  # type: ignore[import-not-found,import-untyped,unused-ignore]  # the extra `arrow`

    table = relation.to_arrow_table()
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
