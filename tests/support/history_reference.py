"""The generated part of `docs/reference/history.md`: tables, views and analyses, as the code has them.

PYTHONPATH=tests python -m support.history_reference     writes the part anew
"""

from __future__ import annotations

from pathlib import Path

from actors.history.queries import ANALYSES, Analysis
from actors.history.schema import TABLES, VIEWS, Keep, Table, View

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "history.md"
BEGIN = "<!-- generated from actors/history: begin -->"
END = "<!-- generated from actors/history: end -->"

_KEPT = {
    Keep.EVENTS: "Kept as long as events (90 days unless configured).",
    Keep.METRICS: "Kept as long as metrics (14 days unless configured).",
    Keep.ALWAYS: "Kept for ever.",
}


def generated() -> str:
    """Return the generated part, markers included."""
    parts = [BEGIN, "", "## Tables", ""]
    for table in TABLES:
        parts += _table(table)
    parts += ["## Views", ""]
    for view in VIEWS:
        parts += _view(view)
    parts += ["## Named analyses", ""]
    for analysis in ANALYSES.values():
        parts += _analysis(analysis)
    return "\n".join([*parts, END])


def page() -> str:
    """Return the whole page with its generated part made anew."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + generated() + after


def _table(table: Table) -> list[str]:
    lines = [f"### {table.name}", "", f"{table.about} {_KEPT[table.keep]}", "", "| column | type | |", "|---|---|---|"]
    lines += [f"| `{column.name}` | {column.type} | {_cell(column.about)} |" for column in table.columns]
    return [*lines, ""]


def _view(view: View) -> list[str]:
    body = "\n".join(line.removeprefix("        ") for line in view.sql.strip("\n").rstrip().splitlines())
    return [f"### {view.name}", "", view.about, "", "```sql", body, "```", ""]


def _analysis(analysis: Analysis) -> list[str]:
    lines = [f"### {analysis.name}", "", analysis.about, "", "| argument | default | |", "|---|---|---|"]
    lines += [
        f"| `{parameter.name}` | `{parameter.default}` | {_cell(parameter.about)} ({parameter.kind.value}) |"
        for parameter in analysis.parameters
    ]
    return [*lines, ""]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
