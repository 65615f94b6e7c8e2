"""A chart of horizontal bars as SVG, drawn by ourselves: no library, no font, no script."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

WIDTH: Final = 760
LABELS: Final = 210
BARS: Final = 330
ROW: Final = 24
HEADING: Final = 34
MARGIN: Final = 16
INK, FAINT, OURS, OTHERS, GOAL = "#1f2933", "#616e7c", "#0b7a53", "#9aa5b1", "#c2410c"


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar.

    Attributes:
        label: stands left of it.
        value: its length; None where there is nothing to be drawn, only told.
        text: stands right of it.
        is_ours: whether it is crossdock's.
        goal: where a mark is set, in the unit of the values.
    """

    label: str
    value: float | None
    text: str
    is_ours: bool = True
    goal: float | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Bars that belong together, under a heading."""

    heading: str
    bars: Sequence[Bar]


def drawn(title: str, groups: Sequence[Group]) -> str:
    """The chart as an SVG document; every group has the same scale.

    Args:
        title: stands above it and is read out in its place.
        groups: from top to bottom.
    """
    bars = [bar for group in groups for bar in group.bars]
    longest = max((max(bar.value or 0.0, bar.goal or 0.0) for bar in bars), default=0.0) or 1.0
    height = 2 * MARGIN + HEADING * (1 + len(groups)) + ROW * len(bars)
    svg = Element(
        "svg",
        {"font-family": "sans-serif", "font-size": "13"},
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {height}",
        role="img",
    )
    SubElement(svg, "title").text = title
    SubElement(svg, "rect", width="100%", height="100%", fill="#ffffff")
    y = MARGIN + HEADING // 2
    _write(svg, MARGIN, y, title, weight="bold")
    for group in groups:
        y += HEADING
        _write(svg, MARGIN, y, group.heading, fill=FAINT)
        for bar in group.bars:
            y += ROW
            _draw(svg, y, bar, BARS / longest)
    indent(svg)
    return tostring(svg, encoding="unicode") + "\n"


def _draw(svg: Element, y: int, bar: Bar, scale: float) -> None:
    _write(svg, LABELS - 8, y, bar.label, anchor="end")
    length = (bar.value or 0.0) * scale
    if bar.value is not None:
        fill = OURS if bar.is_ours else OTHERS
        SubElement(
            svg,
            "rect",
            x=str(LABELS),
            y=str(y - 13),
            width=f"{max(length, 1):.1f}",
            height="17",
            fill=fill,
        )
    if bar.goal is not None:
        x = f"{LABELS + bar.goal * scale:.1f}"
        SubElement(svg, "line", x1=x, x2=x, y1=str(y - 16), y2=str(y + 7), stroke=GOAL)
        length = max(length, bar.goal * scale)
    _write(svg, LABELS + 8 + round(length), y, bar.text, fill=FAINT)


def _write(
    svg: Element,
    x: int,
    y: int,
    text: str,
    *,
    fill: str = INK,
    weight: str = "normal",
    anchor: str = "start",
) -> None:
    attributes = {"font-weight": weight, "text-anchor": anchor, "fill": fill}
    SubElement(svg, "text", attributes, x=str(x), y=str(y)).text = text
