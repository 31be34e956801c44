"""A report as one self-contained HTML page, light and dark, and as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from html import escape
from typing import Final

from supervisors.report.charts import bars, lines, strip
from supervisors.report.gathering import Report, Waits

BLOCKS: Final = "▁▂▃▄▅▆▇█"

Text = Callable[[float], str]


def html(report: Report, *, duration: Text, size: Text, zone: tzinfo | None = None) -> str:
    """Return the page; it loads nothing from anywhere.

    Args:
        report: The figures.
        duration: How seconds are written.
        size: How bytes are written.
        zone: Of the instants; None: this machine's.
    """
    labels = _labels(report, zone)
    title = f"{report.node or 'no node'} · {_span(report, zone)}"
    body = [
        f"<h1>{escape(report.node or 'no node')}</h1>",
        f"<p class=sub>{escape(_span(report, zone))}"
        + (f" · version {escape(report.version)}" if report.version else "") + "</p>",
        f"<div class=cards>{''.join(_card(*card) for card in _cards(report))}</div>",
        _section("Availability", _availability(report, duration, zone)),
        _section("Restarts and crashes", _restarts(report, labels, duration)),
        _section("Runs of loops, schedules and jobs", _runs(report, labels, duration)),
        _section("Lateness of schedules", _waits(report.lateness, labels, duration, "schedule")),
        _section("Waiting of jobs in their queues", _waits(report.queues, labels, duration, "queue and kind")),
        _section("Load", _load(report, labels, size)),
        f"<footer>made by actorctl report from the history of {escape(_span(report, zone))}; "
        f"one bar is {escape(duration(report.span.piece))}</footer>",
    ]  # fmt: skip
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>{''.join(body)}</main></body></html>\n"
    )


def markdown(report: Report, *, duration: Text, size: Text, zone: tzinfo | None = None) -> str:
    """Return the report as Markdown; arguments as for `html`."""
    return "\n".join(_markdown(report, duration, size, zone)) + "\n"


def _markdown(report: Report, duration: Text, size: Text, zone: tzinfo | None) -> Iterator[str]:
    yield f"# {_md(report.node or 'no node')}: {_span(report, zone)}"
    yield ""
    for name, value, bad in _cards(report):
        yield f"- {name}: **{value}**{' (!)' if bad else ''}"
    yield ""
    yield "## Availability"
    yield ""
    if report.outages:
        yield from _md_table(("no node from", "to", "for"), [
            (_clock(o.since, zone), _clock(o.until, zone), duration(o.until - o.since)) for o in report.outages
        ])  # fmt: skip
    else:
        yield (
            "A node ran all the time that the history knows of." if report.known else "The history knows nothing of it."
        )
    yield ""
    yield "## Restarts and crashes"
    yield ""
    restarts, crashes = _spark(report.restarts), _spark(report.crashes)
    yield f"restarts `{restarts}`  crashes `{crashes}`  (a bar: {duration(report.span.piece)})"
    yield ""
    yield from (
        _md_table(_PATH_HEAD, [_path_cells(row, duration) for row in report.by_path]) if report.by_path else ["None."]
    )
    yield ""
    yield "## Runs of loops, schedules and jobs"
    yield ""
    for outcome, counts in report.runs.items():
        yield f"- {_md(outcome)} `{_spark(counts)}` {sum(counts)}"
    yield ""
    yield from (
        _md_table(_RUN_HEAD, [_run_cells(row, duration) for row in report.run_rows]) if report.run_rows else ["None."]
    )
    yield ""
    for title, name, waits in (
        ("Lateness of schedules", "schedule", report.lateness),
        ("Waiting of jobs in their queues", "queue and kind", report.queues),
    ):
        yield f"## {title}"
        yield ""
        if not waits.rows:
            yield from ("None was due.", "")
            continue
        for percentile, found in (("p50", waits.p50), ("p99", waits.p99)):
            most = max(value for value in found if value is not None)
            yield f"- {percentile} `{_spark([value or 0.0 for value in found])}` most {duration(most)}"
        yield ""
        yield from _md_table((name, *_WAIT_HEAD), [_wait_cells(row, duration) for row in waits.rows])
        yield ""
    yield "## Load"
    yield ""
    for name, values, text in _loads(report, size):
        known = [value for value in values if value is not None]
        if known:
            figures = f"mean {text(sum(known) / len(known))}, most {text(max(known))}"
            yield f"- {name} `{_spark([value or 0.0 for value in values])}` {figures}"
    if not any(value is not None for value in report.load):
        yield "Nothing was measured."


_PATH_HEAD: Final = ("path", "restarts", "crashes", "available", "recovery p50", "longest", "last error")
_RUN_HEAD: Final = ("run", "runs", "failed", "skipped", "p50", "p95", "longest")
_WAIT_HEAD: Final = ("times", "p50", "p99", "longest")


def _cards(report: Report) -> list[tuple[str, str, bool]]:
    share = report.availability
    crashes, lost = sum(report.crashes), report.totals["lost rows"]
    failed = sum(sum(counts) for name, counts in report.runs.items() if name in {"failed", "timed-out"})
    return [
        ("availability", "unknown" if share is None else _percent(share), share is not None and share < 0.999),
        ("restarts", f"{sum(report.restarts):,}", False),
        ("crashes", f"{crashes:,}", crashes > 0),
        ("runs", f"{sum(map(sum, report.runs.values())):,}", False),
        ("failed runs", f"{failed:,}", failed > 0),
        ("node starts", f"{report.starts:,}", False),
        ("dead letters", f"{report.totals['dead letters']:,}", report.totals["dead letters"] > 0),
        ("lost rows", f"{lost:,}", lost > 0),
    ]


def _availability(report: Report, duration: Text, zone: tzinfo | None) -> str:
    if not report.known:
        return "<p>The history knows nothing of this time.</p>"
    spans = [(o.since, o.until, f"{o.why}: {duration(o.until - o.since)} from {_clock(o.since, zone)}")
             for o in report.outages]  # fmt: skip
    known = report.span.until - report.known
    drawn = strip(spans, report.span.since, report.span.until, known, "when a node ran")
    said = (
        f"<p>A node ran for {escape(duration(report.up))} of {escape(duration(report.known))}"
        + (f" ({escape(duration(report.span.seconds - report.known))} before that are not in the history)"
           if report.span.seconds - report.known > 1 else "") + ".</p>"
    )  # fmt: skip
    rows = [(_clock(o.since, zone), _clock(o.until, zone), duration(o.until - o.since)) for o in report.outages]
    return drawn + said + (_table(("no node from", "to", "for"), rows, texts={0, 1, 2}) if rows else "")


def _restarts(report: Report, labels: Sequence[str], duration: Text) -> str:
    if not sum(report.restarts) and not sum(report.crashes):
        return "<p>Nothing crashed and nothing was restarted.</p>"
    charts = "".join(
        f"<h3>{name}</h3>" + bars({name: counts}, labels, f"{name} over time")
        for name, counts in (("restarts", report.restarts), ("crashes", report.crashes))
    )
    return charts + _table(_PATH_HEAD, [_path_cells(row, duration) for row in report.by_path], texts={0, 6})


def _runs(report: Report, labels: Sequence[str], duration: Text) -> str:
    if not report.runs:
        return "<p>Nothing ran.</p>"
    order = sorted(report.runs, key=lambda name: _OUTCOMES.index(name) if name in _OUTCOMES else 9)
    chart = bars({name: report.runs[name] for name in order}, labels, "runs over time by outcome")
    return _legend(order) + chart + _table(_RUN_HEAD, [_run_cells(row, duration) for row in report.run_rows], texts={0})


_OUTCOMES: Final = ("succeeded", "failed", "skipped", "timed-out", "cancelled")


def _waits(waits: Waits, labels: Sequence[str], duration: Text, name: str) -> str:
    if not waits.rows:
        return "<p>None was due.</p>"
    series = {"p50": waits.p50, "p99": waits.p99}
    chart = lines(series, labels, "seconds from due to begun, over time", duration)
    rows = [_wait_cells(row, duration) for row in waits.rows]
    return _legend(list(series)) + chart + _table((name, *_WAIT_HEAD), rows, texts={0})


def _load(report: Report, labels: Sequence[str], size: Text) -> str:
    parts = []
    for name, values, text in _loads(report, size):
        if any(value is not None for value in values):
            parts.append(f"<h3>{escape(name)}</h3>" + lines({"": values}, labels, f"{name} over time", text))
    return "".join(parts) or "<p>Nothing was measured.</p>"


def _loads(report: Report, size: Text) -> list[tuple[str, Sequence[float | None], Text]]:
    return [
        ("load of the host, 1 minute", report.load, "{:.3g}".format),
        ("processors used by the node's own process", report.cpu, "{:.3g}".format),
        ("memory of the node's processes", report.memory, size),
        ("memory of the host in use", report.host_memory, _percent),
    ]


def _path_cells(row: tuple[str, int, int, float, float | None, float | None, str], duration: Text) -> tuple[str, ...]:
    path, restarts, crashes, share, median, longest, error = row
    spans = ("-" if median is None else duration(median), "-" if longest is None else duration(longest))
    return path, f"{restarts:,}", f"{crashes:,}", _percent(share), *spans, error[:120]


def _run_cells(row: tuple[str, int, int, int, float, float, float], duration: Text) -> tuple[str, ...]:
    name, runs, failed, skipped, *spans = row
    return name, f"{runs:,}", f"{failed:,}", f"{skipped:,}", *map(duration, spans)


def _wait_cells(row: tuple[str, int, float, float, float], duration: Text) -> tuple[str, ...]:
    name, times, *spans = row
    return name, f"{times:,}", *map(duration, spans)


def _percent(share: float) -> str:
    text = f"{share * 100:.2f}"
    return "99.99 %" if text == "100.00" and share < 1 else f"{text.rstrip('0').rstrip('.')} %"


def _labels(report: Report, zone: tzinfo | None) -> list[str]:
    span = report.span
    form = "%H:%M:%S" if span.piece < 60 else "%H:%M" if span.seconds <= 86_400 else "%d %b %H:%M"
    form = "%d %b" if span.piece >= 86_400 else form
    return [_at(span.since + at * span.piece, zone).strftime(form) for at in range(span.count)]


def _span(report: Report, zone: tzinfo | None) -> str:
    return f"{_clock(report.span.since, zone)} to {_clock(report.span.until, zone)}"


def _clock(at: float, zone: tzinfo | None) -> str:
    return f"{_at(at, zone):%Y-%m-%d %H:%M:%S %Z}"


def _at(at: float, zone: tzinfo | None) -> datetime:
    return datetime.fromtimestamp(at, UTC).astimezone(zone)


def _spark(values: Sequence[float]) -> str:
    top = max(values, default=0)
    return "".join(" " if not v else BLOCKS[min(7, int(v / top * 7.999))] for v in values) if top else "none"


def _md(text: str) -> str:
    kept = " ".join(text.split())
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|" else c for c in kept)


def _md_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(_md(cell) for cell in row)} |"


def _card(name: str, value: str, bad: bool) -> str:
    kind = "card bad" if bad else "card"
    return f'<div class="{kind}"><b>{escape(value)}</b><span>{escape(name)}</span></div>'


def _section(name: str, content: str) -> str:
    return f"<section><h2>{escape(name)}</h2>{content}</section>"


def _legend(names: Sequence[str]) -> str:
    items = "".join(f'<span><i class="k{at}"></i>{escape(name)}</span>' for at, name in enumerate(names))
    return f"<p class=legend>{items}</p>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], texts: frozenset[int] | set[int] = frozenset()) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(
            f"<{tag}{'' if at in texts else ' class=n'}>{escape(cell)}</{tag}>" for at, cell in enumerate(cells)
        ) + "</tr>"  # fmt: skip

    body = "".join(row(cells, "td") for cells in rows)
    return f"<div class=wide><table><thead>{row(head, 'th')}</thead><tbody>{body}</tbody></table></div>"


_STYLE: Final = """
:root{--bg:#fbfbfa;--fg:#1c2024;--dim:#646b73;--line:#e2e4e7;--card:#fff;--bad:#b3261e;
--c0:#2f6fb2;--c1:#c8553d;--c2:#b8bec6;--c3:#8a5fb5;--c4:#5a8f5a;--up:#5a9e6f}
@media(prefers-color-scheme:dark){:root{--bg:#15181b;--fg:#e6e8ea;--dim:#99a1aa;--line:#2d3238;--card:#1d2125;
--bad:#ff8a7a;--c0:#6aa7e8;--c1:#ee8265;--c2:#6b737c;--c3:#b28be0;--c4:#86c08a;--up:#4f9465}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--fg);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
main{max-width:860px;margin:0 auto;padding:32px 20px 48px}h1{margin:0;font-size:26px}h2{font-size:18px;margin:0 0 10px}
h3{font-size:14px;font-weight:500;color:var(--dim);margin:16px 0 2px}.sub{color:var(--dim);margin:2px 0 20px}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:10px}
.card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:10px 14px}
.card b{display:block;font-size:22px;font-weight:600;font-variant-numeric:tabular-nums}.card span{color:var(--dim)}
.card.bad b{color:var(--bad)}section{margin-top:34px}svg{display:block;width:100%;height:auto;overflow:visible}
svg text{fill:var(--dim);font-size:10.5px}.grid{stroke:var(--line)}.strip{height:26px;border-radius:5px;overflow:hidden}
.up{fill:var(--up)}.down{fill:var(--bad)}.unknown{fill:var(--line)}
.s0,.d0{fill:var(--c0)}.s1{fill:var(--c1)}.s2{fill:var(--c2)}.s3{fill:var(--c3)}.s4{fill:var(--c4)}
.l0,.l1{fill:none;stroke:var(--c0);stroke-width:1.8;stroke-linejoin:round}.l1{stroke:var(--c1)}.d1{fill:var(--c1)}.d0{opacity:.75}
.legend{margin:0 0 6px;color:var(--dim)}.legend span{margin-right:16px}.legend i{display:inline-block;width:10px;
height:10px;border-radius:2px;margin-right:6px}.k0{background:var(--c0)}.k1{background:var(--c1)}.k2{background:var(--c2)}
.k3{background:var(--c3)}.k4{background:var(--c4)}.wide{overflow-x:auto;margin-top:12px}
table{border-collapse:collapse;width:100%;font-size:14px}th{font-weight:500;color:var(--dim)}
th,td{text-align:left;padding:5px 12px 5px 0;border-bottom:1px solid var(--line);vertical-align:top}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td:last-child,th:last-child{padding-right:0}footer{margin-top:36px;color:var(--dim);font-size:13px}
"""
