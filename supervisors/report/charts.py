"""Charts as inline SVG: bars, stacked bars, lines and a strip of time. Pure; colours are the page's CSS variables."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Final

WIDTH: Final = 720
HEIGHT: Final = 150
LEFT: Final = 46
BOTTOM: Final = 20
TOP: Final = 8

Text = Callable[[float], str]


def bars(series: Mapping[str, Sequence[float]], labels: Sequence[str], name: str, text: Text = "{:g}".format) -> str:
    """Return stacked bars, a bar for each piece.

    Args:
        series: Values by name, all of one length; stacked in this order.
        labels: What each piece is, for the axis and for pointing at it.
        name: What the chart shows, for those who cannot see it.
        text: How a value is written.
    """
    count = len(labels)
    sums = [sum(values[at] for values in series.values()) for at in range(count)]
    top = _top(max(sums, default=0.0))
    step = (WIDTH - LEFT) / max(1, count)
    parts = _axes(top, labels, text)
    for at in range(count):
        below = 0.0
        for number, (key, values) in enumerate(series.items()):
            if values[at] <= 0:
                continue
            high, low = _y(below + values[at], top), _y(below, top)
            tip = escape(f"{labels[at]}: {text(values[at])} {key}")
            parts.append(
                f'<rect class="s{number}" x="{LEFT + at * step + 0.5:.1f}" y="{high:.1f}" '
                f'width="{max(1.0, step - 1):.1f}" height="{max(1.0, low - high):.1f}"><title>{tip}</title></rect>'
            )
            below += values[at]
    return _svg(parts, name)


def lines(series: Mapping[str, Sequence[float | None]], labels: Sequence[str], name: str, text: Text) -> str:
    """Return lines with gaps where nothing was measured; arguments as for `bars`."""
    values = [value for found in series.values() for value in found if value is not None]
    top = _top(max(values, default=0.0))
    step = (WIDTH - LEFT) / max(1, len(labels))
    parts = _axes(top, labels, text)
    for number, (key, found) in enumerate(series.items()):
        pieces: list[list[str]] = [[]]
        for at, value in enumerate(found):
            if value is None:
                pieces.append([])
                continue
            x, y = LEFT + (at + 0.5) * step, _y(value, top)
            pieces[-1].append(f"{x:.1f},{y:.1f}")
            tip = escape(f"{labels[at]}: {text(value)} {key}")
            parts.append(f'<circle class="d{number}" cx="{x:.1f}" cy="{y:.1f}" r="2.2"><title>{tip}</title></circle>')
        parts += [f'<polyline class="l{number}" points="{" ".join(piece)}"/>' for piece in pieces if len(piece) > 1]
    return _svg(parts, name)


def strip(spans: Sequence[tuple[float, float, str]], since: float, until: float, known: float, name: str) -> str:
    """Return a strip of time: up, but for `spans`, and unknown before `known`."""
    scale = WIDTH / max(1e-9, until - since)

    def piece(kind: str, begin: float, end: float, tip: str) -> str:
        x, width = (begin - since) * scale, max(1.5, (end - begin) * scale)
        place = f'x="{x:.1f}" y="0" width="{width:.1f}" height="26"'
        return f'<rect class="{kind}" {place}><title>{escape(tip)}</title></rect>'

    parts = [piece("unknown", since, known, "not in the history")] if known > since else []
    if until > known:
        parts.append(piece("up", known, until, "a node ran"))
    parts += [piece("down", begin, end, tip) for begin, end, tip in spans]
    return (
        f'<svg class="strip" viewBox="0 0 {WIDTH} 26" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(name)}">{"".join(parts)}</svg>'
    )


def _svg(parts: Sequence[str], name: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)}">{"".join(parts)}</svg>'


def _axes(top: float, labels: Sequence[str], text: Text) -> list[str]:
    parts = []
    for share in (0.0, 0.5, 1.0):
        y = _y(top * share, top)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{escape(text(top * share))}</text>')
    every = max(1, math.ceil(len(labels) / 6))
    step = (WIDTH - LEFT) / max(1, len(labels))
    for at in range(0, len(labels), every):
        x = LEFT + at * step
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 5}">{escape(labels[at])}</text>')
    return parts


def _y(value: float, top: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value / top if top else 0.0))


def _top(value: float) -> float:
    """Return a round number at or above `value`, at least 1e-9; 1 for nothing at all."""
    if value <= 0 or not math.isfinite(value):
        return 1.0
    size = 10.0 ** math.floor(math.log10(value))
    return next(size * step for step in (1, 2, 4, 5, 10) if size * step >= value * (1 - 1e-9))
