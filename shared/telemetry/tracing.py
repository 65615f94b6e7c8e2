"""One trace for each manifest's way: every span hangs on the message that brought its work.

The context travels in the attributes of messages, as the W3C's `traceparent`. A notification of the
bucket has none: its trace follows from the manifest's generation, so that another delivery of it,
or one that the sweep makes up, belongs to the same trace.

Where nothing is exported, all of this does next to nothing, and a context that comes in goes on as
it came. No attribute holds a row's value, and of a fault only its type is told.
"""

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared.bus.port import Message
from shared.gcs_notification import is_notification

TRACEPARENT = "traceparent"
_GENERATION = ("bucketId", "objectId", "objectGeneration")

# The id of the trace that a span begins which has no parent; None for one by chance.
first_trace_id: ContextVar[int | None] = ContextVar("first_trace_id", default=None)
# When the step before was done, in this task: a task that is split off goes on from there.
_step_since_ns: ContextVar[int | None] = ContextVar("step_since_ns", default=None)

_tracer = trace.get_tracer("crossdock")
_propagator = TraceContextTextMapPropagator()


@contextmanager
def taking(message: Message) -> Iterator[Span]:
    """The span of one delivery, under the span that published its message."""
    subscription = message.subscription.rpartition("/")[2]
    facts = {
        "messaging.operation.type": "process",
        "messaging.destination.subscription.name": subscription,
        "messaging.message.id": message.message_id,
    }
    parent = _parent_in(message.attributes) or _NO_PARENT
    with _started(f"process {subscription}", parent, SpanKind.CONSUMER, facts) as span:
        token = _step_since_ns.set(time.time_ns())
        try:
            yield span
        finally:
            _step_since_ns.reset(token)


@contextmanager
def publishing(topic: str, attributes: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The span of one publication; gives the attributes to publish, with this span's context.

    Its parent is the context that the attributes hold already, else the current span.
    """
    facts = {"messaging.operation.type": "send", "messaging.destination.name": topic}
    with _started(f"publish {topic}", _parent_in(attributes), SpanKind.PRODUCER, facts):
        yield {**attributes, **context_now()}


@contextmanager
def span(name: str, *, parent: str | None = None, **facts: str | int) -> Iterator[Span]:
    """A piece of work: under the current span, or under the `traceparent` that is given."""
    found = _parent_in({TRACEPARENT: parent}) if parent else None
    with _started(name, found, SpanKind.INTERNAL, _named(facts)) as opened:
        yield opened


def step_done(name: str, facts: Mapping[str, object]) -> None:
    """The span of a step that has just been done; it began where the step before it ended."""
    since_ns, now_ns = _step_since_ns.get(), time.time_ns()
    if since_ns is None:
        return
    _step_since_ns.set(now_ns)
    attributes = _named({key: str(value) for key, value in facts.items()})
    _tracer.start_span(name, start_time=since_ns, attributes=attributes).end(now_ns)


def steps_go_on() -> None:
    """The next step begins here; those before it were done in tasks of their own, side by side."""
    if _step_since_ns.get() is not None:
        _step_since_ns.set(time.time_ns())


def describe(**facts: str | int) -> None:
    """Put facts to the current span once they are known."""
    trace.get_current_span().set_attributes(_named(facts))


def mark_fault(fault: BaseException) -> None:
    """Mark the current span as ended by a fault; its text might hold what nobody may read here."""
    _mark(trace.get_current_span(), fault)


def context_now() -> dict[str, str]:
    """The current span's context as a message carries it; empty where there is none."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return context_of(carrier.get(TRACEPARENT))


def context_of(traceparent: str | None) -> dict[str, str]:
    """A context that was kept, as a message carries it; empty where there was none."""
    return {} if traceparent is None else {TRACEPARENT: traceparent}


def trace_of_generation(attributes: Mapping[str, str]) -> int:
    """The trace id of a manifest's generation, by the attributes of its notification."""
    named = "\0".join(attributes.get(name, "") for name in _GENERATION)
    return int.from_bytes(hashlib.sha256(named.encode()).digest()[:16])


@dataclass(frozen=True, slots=True)
class _Parent:
    """Where a span hangs that does not hang on the current one; `trace_id` is for a first span."""

    context: Context
    trace_id: int | None = None


_NO_PARENT = _Parent(Context())


@contextmanager
def _started(
    name: str, parent: _Parent | None, kind: SpanKind, facts: Mapping[str, str | int]
) -> Iterator[Span]:
    context = parent.context if parent else None
    token = first_trace_id.set(parent.trace_id if parent else None)
    try:
        span = _tracer.start_span(name, context=context, kind=kind, attributes=facts)
    finally:
        first_trace_id.reset(token)
    with trace.use_span(
        span, end_on_exit=True, record_exception=False, set_status_on_exception=False
    ):
        try:
            yield span
        except Exception as fault:
            _mark(span, fault)
            raise


def _mark(span: Span, fault: BaseException) -> None:
    span.set_attribute("error.type", type(fault).__name__)
    span.set_status(StatusCode.ERROR)


def _parent_in(attributes: Mapping[str, str]) -> _Parent | None:
    """The parent that a message's attributes tell of, or None where they tell of none."""
    if TRACEPARENT in attributes:
        return _Parent(
            _propagator.extract({TRACEPARENT: attributes[TRACEPARENT]}, context=Context())
        )
    if is_notification(attributes):
        return _Parent(Context(), trace_of_generation(attributes))
    return None


def _named(facts: Mapping[str, str | int]) -> dict[str, str | int]:
    return {f"crossdock.{name}": value for name, value in facts.items()}
