"""Line charts as SVG, drawn here and not in the browser, with their numbers as text beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from .markup import Markup, el

__all__ = ["line_chart", "nice_ceiling"]

WIDTH, HEIGHT = 600, 160
#: Lines that are told apart by colour and dashes; the others are added up.
LINES = 8

Series = Mapping[str, Sequence[float | None]]


def nice_ceiling(value: float) -> float:
    """Return the next of 1, 2, 5, 10, 20 ... that is not below a value; 1 for none above 0."""
    if not math.isfinite(value) or value <= 0:
        return 1.0
    power = float(10.0 ** math.floor(math.log10(value)))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))


def line_chart(title: str, series: Series, *, unit: str, seconds: float, points: int) -> Markup:
    """Return a figure with a line for each series.

    Args:
        title: what it shows.
        series: values by name, the latest last; None where there is none.
        unit: behind the numbers.
        seconds: between two values.
        points: values that fit from the left to the right.
    """
    shown = _busiest(series)
    values = [v for line in shown.values() for v in line if v is not None and math.isfinite(v)]
    if not values:
        return el(
            "figure", el("figcaption", title), el("p", "Nothing to show yet.", class_="empty"), class_="chart"
        )
    top = nice_ceiling(max(values))
    lines, legend = [], []
    for number, (name, line) in enumerate(shown.items()):
        lines += [el("polyline", points=part, class_=f"line c{number}") for part in _parts(line, top, points)]
        last = next((v for v in reversed(line) if v is not None), None)
        swatch = el(
            "svg",
            el("line", x1="0", y1="5", x2="24", y2="5", class_=f"line c{number}"),
            viewBox="0 0 24 10", class_="swatch", aria_hidden="true",
        )  # fmt: skip
        legend.append(el("li", swatch, el("span", name, class_="name"), " ", el("b", _number(last, unit))))
    heights = map(str, (1, HEIGHT // 2, HEIGHT - 1))
    grid = [el("line", x1="0", x2=str(WIDTH), y1=y, y2=y, class_="grid") for y in heights]
    label = f"{title}, in {unit}: " + "; ".join(
        f"{name} {_number(next((v for v in reversed(line) if v is not None), None), unit)} now"
        for name, line in shown.items()
    )
    svg = el(
        "svg", *grid, *lines,
        viewBox=f"0 0 {WIDTH} {HEIGHT}", preserveAspectRatio="none", role="img", aria_label=label,
        class_="plot",
    )  # fmt: skip
    scale = el(
        "div",
        el("span", _number(top, "")), el("span", _number(top / 2, "")), el("span", "0"),
        class_="scale", aria_hidden="true",
    )  # fmt: skip
    minutes = f"{points * seconds / 60:g} min ago"
    return el(
        "figure",
        el("figcaption", title, " ", el("span", unit, class_="unit")),
        el("div", scale, svg, class_="area"),
        el("div", el("span", minutes), el("span", "now"), class_="times", aria_hidden="true"),
        el("ul", *legend, class_="legend"),
        class_="chart",
    )


def _busiest(series: Series) -> dict[str, Sequence[float | None]]:
    """Return at most `LINES` series: the largest ones, and the sum of the rest."""
    if len(series) <= LINES:
        return dict(series)
    ordered = sorted(series, key=lambda name: -sum(v or 0 for v in series[name] if v != math.inf))
    rest = [series[name] for name in ordered[LINES - 1 :]]
    length = max(len(line) for line in rest)
    padded: list[list[float | None]] = [[*[None] * (length - len(line)), *line] for line in rest]
    total = [sum(v or 0 for v in column) for column in zip(*padded, strict=True)]
    kept: dict[str, Sequence[float | None]] = {name: series[name] for name in sorted(ordered[: LINES - 1])}
    kept[f"{len(rest)} others"] = total
    return kept


def _parts(line: Sequence[float | None], top: float, points: int) -> list[str]:
    """Return the pieces of a line between its gaps, as SVG writes points."""
    parts: list[list[str]] = [[]]
    start = points - len(line)
    for at, value in enumerate(line):
        if value is None or not math.isfinite(value):
            parts.append([])
            continue
        x = (start + at) / max(1, points - 1) * WIDTH
        y = (HEIGHT - 2) * (1 - min(value, top) / top) + 1
        parts[-1].append(f"{x:.1f},{y:.1f}")
    # A lonely point is drawn as a short line.
    return [" ".join(part if len(part) > 1 else [part[0], part[0]]) for part in parts if part]


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "unknown"
    if math.isinf(value):
        return "stopped"
    text = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"{text} {unit}".strip()
