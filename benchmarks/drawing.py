"""Line charts as SVG, without a library: a few panels one below the other, each with the same lines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from msgspec import Struct

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#6b6b6b", "#000000", "#8c564b", "#17becf")
"""Told apart by the colour-blind as far as there are that many."""
WIDTH, HEIGHT = 760, 190
LEFT, TOP, GAP, RIGHT = 60, 46, 44, 20


class Panel(Struct, frozen=True):
    """One panel: its title, and points (x, y) by name of the line, ascending in x."""

    title: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


def chart(title: str, panels: Sequence[Panel], *, x_label: str, x_most: float) -> str:
    """Return the SVG of the panels; x runs from 0 to `x_most` in all of them."""
    names = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    rows = math.ceil(len(names) / 4)
    height = TOP + len(panels) * (HEIGHT + GAP) + 24 + 18 * rows
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + RIGHT} {height}" '
        'font-family="sans-serif" font-size="12" fill="#222">',
        f'<rect width="100%" height="100%" fill="#fff"/><text x="{LEFT}" y="22" font-size="15">{escape(title)}</text>',
    ]
    for number, panel in enumerate(panels):
        out += _panel(panel, TOP + number * (HEIGHT + GAP), names, x_most)
    below = TOP + len(panels) * (HEIGHT + GAP)
    out.append(f'<text x="{LEFT + WIDTH / 2:.0f}" y="{below - 8}" text-anchor="middle">{escape(x_label)}</text>')
    for at, name in enumerate(names):
        x, y = LEFT + (at % 4) * WIDTH // 4, below + 16 + 18 * (at // 4)
        colour = COLOURS[at % len(COLOURS)]
        out.append(f'<rect x="{x}" y="{y - 9}" width="14" height="4" fill="{colour}"/>')
        out.append(f'<text x="{x + 20}" y="{y}">{escape(name)}</text>')
    return "\n".join([*out, "</svg>"]) + "\n"


def _panel(panel: Panel, top: int, names: Sequence[str], x_most: float) -> list[str]:
    most = max((y for points in panel.lines.values() for _, y in points), default=1.0)
    step = _round_step(most / 4)
    y_most = max(step, math.ceil(most / step) * step)
    out = [f'<text x="{LEFT}" y="{top - 6}" font-weight="bold">{escape(panel.title)}</text>']
    value = 0.0
    while value <= y_most + step / 2:
        y = top + HEIGHT * (1 - value / y_most)
        out.append(f'<line x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
        value += step
    step = _round_step(x_most / 6)
    value = 0.0
    while value <= x_most:
        x = LEFT + WIDTH * value / x_most
        out.append(f'<text x="{x:.1f}" y="{top + HEIGHT + 16}" text-anchor="middle">{value:g}</text>')
        value += step
    for name, points in panel.lines.items():
        colour = COLOURS[names.index(name) % len(COLOURS)]
        path = " ".join(f"{LEFT + WIDTH * x / x_most:.1f},{top + HEIGHT * (1 - y / y_most):.1f}" for x, y in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    return out


def _round_step(least: float) -> float:
    """Return the next larger 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(max(least, 1e-9)))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least)
