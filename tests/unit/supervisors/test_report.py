"""A report's page and Markdown, from its figures alone."""

from __future__ import annotations

import re
from datetime import UTC
from html.parser import HTMLParser
from typing import Any

import pytest

from supervisors.cli.texts import duration
from supervisors.report.charts import bars, lines
from supervisors.report.gathering import BUCKETS, Outage, Report, Waits, gather, span_of
from supervisors.report.page import html, markdown

HOSTILE = "<script>alert(1)</script>|`*\n"
DAY = 86_400.0


def report(**fields: Any) -> Report:
    span = span_of(0.0, DAY)
    nothing = (None,) * span.count
    given: dict[str, Any] = {
        "span": span, "node": "n", "version": "1", "starts": 1, "outages": (), "up": DAY, "known": DAY,
        "restarts": (0,) * span.count, "crashes": (0,) * span.count, "by_path": (), "runs": {}, "run_rows": (),
        "lateness": Waits(nothing, nothing), "queues": Waits(nothing, nothing),
        "load": nothing, "cpu": nothing, "memory": nothing, "host_memory": nothing,
        "totals": {"events": 0, "commands": 0, "dead letters": 0, "failed asks": 0, "lost rows": 0},
    }  # fmt: skip
    return Report(**{**given, **fields})


def full() -> Report:
    count = span_of(0.0, DAY).count
    return report(
        node=HOSTILE,
        outages=(Outage(100.0, 4_000.0, HOSTILE),),
        up=DAY - 3_900.0,
        restarts=tuple(range(count)),
        crashes=tuple(range(count)),
        by_path=((f"/{HOSTILE}", 3, 2, 0.99999, None, 4.0, HOSTILE),),
        runs={"succeeded": (3,) * count, HOSTILE: (1,) * count},
        run_rows=((HOSTILE, 9, 1, 1, 0.5, 1.0, 2.0),),
        lateness=Waits((0.25, None) * (count // 2), (2.5, None) * (count // 2), ((HOSTILE, 5, 0.25, 2.5, 3.0),)),
        load=(*([1.0, None] * (count // 2)),),
        memory=(1e9,) * count,
    )


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)
        if tag not in {"meta", "line", "rect", "circle", "polyline"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while self.open.pop() != tag:
                pass


@pytest.mark.parametrize("made", [report(), full(), report(known=0.0, up=0.0)], ids=["quiet", "full", "unknown"])
def test_the_page_is_one_file_whatever_names_are_in_it(made: Report) -> None:
    page = html(made, duration=duration, size="{:g} B".format, zone=UTC)
    tags = Tags()
    tags.feed(page)

    assert tags.open == []
    assert not tags.seen & {"script", "link", "img", "iframe", "object"}
    assert not re.search(r"https?:|url\(|@import", page)
    assert "prefers-color-scheme:dark" in page


def test_the_markdown_has_the_same_figures_and_rows_stay_rows() -> None:
    text = markdown(full(), duration=duration, size="{:g} B".format, zone=UTC)

    rows = [line for line in text.splitlines() if line.startswith("| /")]
    assert len(rows) == 1
    assert len(re.findall(r"(?<!\\)\|", rows[0])) == 8
    assert "99.99 %" in rows[0]
    assert "\n<" not in text


def test_waits_are_charts_of_both_percentiles_with_a_table() -> None:
    page = html(full(), duration=duration, size="{:g} B".format, zone=UTC)
    text = markdown(full(), duration=duration, size="{:g} B".format, zone=UTC)

    lateness, queues = page.split("Lateness of schedules")[1].split("Waiting of jobs in their queues")
    assert lateness.count('class="d0"') == lateness.count('class="d1"') == span_of(0.0, DAY).count // 2
    assert "2.5s p99" in lateness
    assert "None was due." in queues.split("<section>")[0]
    assert re.search(r"- p99 `.*` most 2.5s\n", text)
    assert "| 5 | 0.2s | 2.5s | 3s |" in text


def test_availability_is_of_what_is_known() -> None:
    assert report().availability == 1.0
    assert report(known=0.0).availability is None
    assert report(up=43_200.0, known=DAY).availability == 0.5


@pytest.mark.parametrize("seconds", [1.0, 59.0, 3_600.0, DAY, 30 * DAY, 4_000 * DAY])
def test_a_span_of_any_length_has_few_pieces(seconds: float) -> None:
    span = span_of(1_000.0, 1_000.0 + seconds)

    assert 1 <= span.count <= BUCKETS
    assert span.count * span.piece >= seconds


def test_a_span_without_length_is_refused() -> None:
    with pytest.raises(ValueError, match="before"):
        span_of(5.0, 5.0)


def test_a_chart_of_nothing_and_of_one_value_is_a_chart() -> None:
    assert "<rect" not in bars({"a": (0, 0)}, ["x", "y"], "n")
    assert bars({"a": (3, 0), "b": (1, 0)}, ["x", "y"], "n").count("<rect") == 2
    assert "polyline" not in lines({"": (None, 1e-12, None)}, ["x", "y", "z"], "n", "{:g}".format)


def test_a_history_that_knows_nothing_is_a_report_too() -> None:
    class Empty:
        def rows(self, sql: str, parameters: Any, limit: int) -> tuple[list[tuple[Any, ...]], bool]:
            return ([(0,)] if sql.startswith(("SELECT count(*) FROM", "SELECT coalesce")) else []), False

    made = gather(Empty(), span_of(0.0, DAY), running_epoch=None)

    assert (made.availability, made.by_path, sum(made.restarts)) == (None, (), 0)
