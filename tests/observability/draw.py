"""Draws a trace as text: a line for each span, under its parent, with a bar for its time."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from tests.observability.collector import SpanSeen

BAR = 48
SHOWN = ("crossdock.file", "crossdock.entity")


def draw(spans: Sequence[SpanSeen]) -> str:
    """One trace, from its first span to its last; times are milliseconds from its beginning."""
    begun_ns = min(span.begun_ns for span in spans)
    whole_ns = max(span.ended_ns for span in spans) - begun_ns
    known = {span.span_id for span in spans}
    children: dict[str, list[SpanSeen]] = defaultdict(list)
    for span in sorted(spans, key=lambda span: span.begun_ns):
        children[span.parent_id if span.parent_id in known else ""].append(span)
    rows = [
        (f"{'  ' * depth}{_title(span)}", span.service, span)
        for depth, span in _under("", children)
    ]
    width = max(len(title) for title, _, _ in rows)
    return "\n".join(
        f"{title:{width}}  {service:9}  {_bar(span, begun_ns, whole_ns)}  "
        f"{(span.begun_ns - begun_ns) / 1e6:7.0f} +{(span.ended_ns - span.begun_ns) / 1e6:.0f} ms"
        for title, service, span in rows
    )


def _under(
    parent_id: str, children: dict[str, list[SpanSeen]], depth: int = 0
) -> Iterator[tuple[int, SpanSeen]]:
    for span in children[parent_id]:
        yield depth, span
        yield from _under(span.span_id, children, depth + 1)


def _title(span: SpanSeen) -> str:
    shown = [str(span.attributes[name]) for name in SHOWN if name in span.attributes]
    return " ".join([span.name, *shown, *(["FAULT"] if span.failed else [])])


def _bar(span: SpanSeen, begun_ns: int, whole_ns: int) -> str:
    first = (span.begun_ns - begun_ns) * BAR // whole_ns
    last = max(first + 1, -(-(span.ended_ns - begun_ns) * BAR // whole_ns))
    return f"{' ' * first}{'█' * (last - first)}".ljust(BAR)
