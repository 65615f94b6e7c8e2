"""The ledger's transitions in any order, on the real MySQL, against a model of the pages.

Each rule does one thing to one load and tells beforehand what must come of it; after each, the
ledger is held against the model.
"""

import asyncio
import json
from collections.abc import Mapping

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.validator.admission import admit
from shared.errors import Failure, LeaseLost, Waiting
from shared.events import Event, StageName
from shared.gcs_notification import notification_of, read_notification
from shared.ledger.delivery import Delivery
from shared.ledger.lease import Claim
from shared.sweep import sweep
from tests.drops import Drop, later
from tests.faults.arena import BUCKET, Arena
from tests.faults.legal_paths import INPUT, MILESTONE, Line, lines_of, walk
from tests.property.ledger_model import MOST_ATTEMPTS, STAGES, TOPIC, Model, Verdict

STEPS = 40
DROP = Drop(load_id="L")
MANIFEST = f"{DROP.prefix}manifest.json"
BYTES = {
    "one": json.dumps(DROP.manifest()).encode(),
    "other": json.dumps(Drop(load_id="L", created_at=later(1)).manifest()).encode(),
    "unreadable": b"{",
}


AMONG_CLAIMS = st.sampled_from((0, 0, 0, 1, 2))  # mostly the last one


class Heard:
    """A bus that keeps what is published on it."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes, Mapping[str, str]]] = []

    async def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        self.messages.append((topic, data, attributes))
        return str(len(self.messages))

    async def close(self) -> None:
        """Nothing to give back."""


class LedgerMachine(RuleBasedStateMachine):
    """One load, its workers alive and dead, and its manifest."""

    def __init__(self, runner: asyncio.Runner, arena: Arena) -> None:
        super().__init__()
        self.arena = arena
        self.do = runner.run
        self.parts = arena.parts_with(Heard())
        self.ledger = self.parts.ledger
        self.model = Model()
        self.claims: list[Claim] = []
        self.replays = 0
        self.lies: tuple[int, str] | None = None

    @initialize(content=st.sampled_from(("one", "one", "one", "unreadable", None)))
    def begin(self, content: str | None) -> None:
        self.do(self.arena.clear())
        if content is not None:
            self.a_manifest_is_uploaded(content, is_told=True)

    # --- messages ----------------------------------------------------

    @rule(stage=st.sampled_from(STAGES), runs_off=st.sampled_from((0, 0, 0, 0, -1, 1)))
    def an_event_comes(self, stage: StageName, runs_off: int) -> None:
        run = max(1, self.model.way.run + runs_off)
        self.deliver(
            stage, Event(load_id="L", event_id="e", run=run), self.model.on_event(stage, run)
        )

    @precondition(lambda self: self.model.due_topic)
    @rule(goes_well=st.sampled_from((True, True, False)))
    def the_stage_that_is_due_gets_its_message(self, goes_well: bool) -> None:
        stage = next(one for one in STAGES if self.model.way.is_due_at(one))
        before = len(self.claims)
        self.an_event_comes(stage, 0)
        if goes_well and len(self.claims) > before:
            self.a_worker_finishes(0)

    @rule(stage=st.sampled_from(STAGES))
    def a_replay_comes(self, stage: StageName) -> None:
        self.replays += 1
        verdict = self.model.on_replay(stage)
        self.deliver(stage, Event(load_id="L"), verdict, f"replay {self.replays}")
        if verdict == "replay":
            again = Delivery(stage, Event(load_id="L"), BUCKET)
            found = self.do(self.ledger.claim(again, f"replay {self.replays}"))
            assert found == "already_replayed"

    def deliver(
        self, stage: StageName, event: Event, verdict: Verdict, key: str | None = None
    ) -> None:
        found = self.do(self.ledger.claim(Delivery(stage, event, BUCKET), key))
        if verdict in {"claim", "replay"}:
            assert isinstance(found, Claim), found
            self.claims.append(found)
            self.granted(stage, is_replay=verdict == "replay")
            return
        assert found == verdict
        model = self.model
        if verdict == "duplicate" and model.due_topic and not model.is_live:
            model.events[model.way.run, model.due_topic] = "waiting"
        elif verdict == "give_up":
            model.go(Line("give_up", model.way.run, stage))
            model.attempts += 1
            model.needs_attention, model.is_live = True, False

    def granted(self, stage: StageName, *, is_replay: bool) -> None:
        model = self.model
        model.fence += 1
        kind, run = ("replayed", model.way.run + 1) if is_replay else ("claimed", model.way.run)
        model.attempts = 0 if is_replay else model.attempts + model.is_owned
        model.is_owned = model.is_live = True
        model.next_attempt = None
        model.go(Line(kind, run, stage, model.fence))
        if is_replay:
            model.needs_attention = False
            topic = "failed" if model.way.failed_run == run else TOPIC[INPUT[stage]]
            model.events[run, topic] = "fresh"

    # --- workers: the one that holds the load, and all that did ------

    def a_claim(self, number: int) -> Claim:
        return self.claims[-1 - number % len(self.claims)]

    def line(self, kind: str, claim: Claim) -> Line:
        return Line(kind, claim.run, claim.stage, claim.fence)

    def holds(self, claim: Claim) -> bool:
        """Whether the fence has not been passed, be the lease alive or not."""
        return self.model.way.open_claim_of(self.line("", claim))

    async def finish(self, claim: Claim) -> bool:
        try:
            async with self.ledger.connect(claim) as own, self.ledger.milestone(claim, own):
                pass
        except LeaseLost:
            return False
        return True

    async def fail(self, claim: Claim) -> bool:
        try:
            await self.ledger.fail(claim, Failure.of("file.missing", "no customers.csv"))
        except LeaseLost:
            return False
        return True

    @precondition(lambda self: self.claims)
    @rule(number=AMONG_CLAIMS)
    def a_worker_finishes(self, number: int) -> None:
        claim = self.a_claim(number)
        holds = self.holds(claim)
        assert self.do(self.finish(claim)) is holds
        if not holds:
            return
        model = self.model
        tells_failure = claim.stage == "reporter" and model.way.failed_run == claim.run
        model.go(self.line("finished", claim))
        self.came_to_an_end()
        if claim.stage == "upserter":
            model.applied = model.stands
        if not tells_failure:
            topic = TOPIC[MILESTONE.get(claim.stage, "reported")]
            model.events[claim.run, topic] = "waiting"

    def came_to_an_end(self) -> None:
        self.model.attempts, self.model.needs_attention = 0, False
        self.model.end_lease()

    @precondition(lambda self: self.claims)
    @rule(number=AMONG_CLAIMS)
    def a_worker_rejects(self, number: int) -> None:
        claim = self.a_claim(number)
        if claim.stage == "reporter":
            return
        holds = self.holds(claim)
        assert self.do(self.fail(claim)) is holds
        if holds:
            self.model.go(self.line("failed", claim))
            self.came_to_an_end()
            self.model.events[claim.run, "failed"] = "waiting"

    @precondition(lambda self: self.claims)
    @rule(number=AMONG_CLAIMS)
    def a_worker_meets_a_fault(self, number: int) -> None:
        claim, model = self.a_claim(number), self.model
        holds = self.holds(claim)
        gives_up = self.do(self.ledger.postpone(claim, OSError("no space left on device")))
        if holds:
            model.go(self.line("postponed", claim))
            model.attempts += 1
            model.needs_attention = model.attempts >= MOST_ATTEMPTS
            model.next_attempt = "later"
            model.end_lease()
        assert gives_up is (holds and model.needs_attention)

    @precondition(lambda self: self.claims)
    @rule(number=AMONG_CLAIMS, older=st.sampled_from((None, "A", "B")))
    def a_worker_waits_for_another_load(self, number: int, older: str | None) -> None:
        claim = self.a_claim(number)
        if claim.stage != "upserter":
            return
        holds = self.holds(claim)
        self.do(self.ledger.wait(claim, Waiting("another goes first", older=older)))
        self.gave_back("waiting", claim, holds, "later")

    @precondition(lambda self: self.claims)
    @rule(number=AMONG_CLAIMS)
    def a_worker_is_told_to_stop(self, number: int) -> None:
        claim = self.a_claim(number)
        holds = self.holds(claim)
        self.do(self.ledger.release(claim))
        self.gave_back("released", claim, holds, "now")

    def gave_back(self, kind: str, claim: Claim, holds: bool, next_attempt: str) -> None:
        if holds:
            self.model.go(self.line(kind, claim))
            self.model.next_attempt = next_attempt
            self.model.end_lease()

    # --- time and recovery -------------------------------------------

    @rule()
    def time_passes(self) -> None:
        self.do(self.arena.pass_time())
        model = self.model
        model.is_live = False
        model.next_attempt = model.next_attempt and "now"
        for event, state in model.events.items():
            model.events[event] = "old" if state == "fresh" else state

    @rule()
    def the_sweep_passes(self) -> None:
        heard = Heard()
        model, parts = self.model, self.arena.parts_with(heard)
        expected = {event for event, state in model.events.items() if state == "waiting"}
        expected |= self.woken()
        looked_at = self.generations_to_look_at()
        self.do(sweep(parts))
        events = [Event.parse(data) for _, data, told in heard.messages if "eventType" not in told]
        assert {(event.run, event.event) for event in events} == expected
        told = [attributes for _, _, attributes in heard.messages if "eventType" in attributes]
        assert {int(one["objectGeneration"]) for one in told} == looked_at
        model.events |= dict.fromkeys(expected, "fresh")
        for generation in looked_at:
            self.admit(generation)

    def woken(self) -> set[tuple[int, str]]:
        """The event of a load that is at rest and due."""
        model = self.model
        topic = model.due_topic
        if topic is None or model.needs_attention or model.is_live:
            return set()
        event = (model.way.run, topic)
        state = model.events[event]
        if state == "waiting":
            return set()
        if model.next_attempt is not None:
            is_due = model.next_attempt == "now"
        else:
            is_due = (model.is_owned) or state == "old"
        if not is_due:
            return set()
        model.next_attempt = None
        return {event}

    # --- manifests ---------------------------------------------------

    @rule(content=st.sampled_from(sorted(BYTES)), is_told=st.sampled_from((True, True, False)))
    def a_manifest_is_uploaded(self, content: str, is_told: bool) -> None:
        (self.arena.bucket_dir / DROP.prefix).mkdir(parents=True, exist_ok=True)
        (self.arena.bucket_dir / MANIFEST).write_bytes(BYTES[content])
        found = self.do(self.parts.storage.stat(MANIFEST))
        assert found is not None
        self.lies = (found.generation, content)
        if is_told:
            self.admit(found.generation)

    @precondition(lambda self: self.model.arrivals)
    @rule(number=st.integers(0, 3))
    def a_notification_comes_again(self, number: int) -> None:
        generations = sorted(self.model.arrivals)
        self.admit(generations[-1 - number % len(generations)])

    def admit(self, generation: int) -> None:
        model, run_before = self.model, self.model.way.run
        assert self.lies is not None
        newest, content = self.lies
        if model.arrivals.get(generation, "pending") == "pending":
            if generation != newest:
                model.arrivals[generation] = "superseded"
            if model.arrivals.get(newest, "pending") == "pending":
                model.arrivals[newest] = model.on_arrival(newest, content)
        attributes = notification_of(BUCKET, MANIFEST, generation)
        arrival = read_notification(attributes, BUCKET)
        assert arrival is not None
        event = self.do(admit(arrival, self.parts))
        if model.way.run > run_before:
            assert event is not None
            assert event.run == model.way.run

    def generations_to_look_at(self) -> set[int]:
        model = self.model
        ended = model.way.state == "failed" or bool(model.way.applied_run)
        waiting = {one for one, verdict in model.arrivals.items() if verdict == "pending" and ended}
        unknown = {self.lies[0]} - set(model.arrivals) if self.lies else set()
        return waiting | unknown

    # --- what must hold ----------------------------------------------

    @invariant()
    def the_ledger_is_as_the_pages_say(self) -> None:
        self.do(self.compare())

    async def compare(self) -> None:
        model, way, load = self.model, self.model.way, await self.ledger.read("L")
        if load is None:
            assert way.state is None
            return
        assert (load.state, load.run, load.fence) == (way.state, way.run, model.fence)
        assert (load.reached, load.failed_run) == (way.reached, way.failed_run)
        assert (load.applied_run or 0, load.reported_run or 0) == (way.applied_run, way.told_run)
        assert (load.lease_owner is not None, load.leased) == (model.is_owned, model.is_live)
        assert (load.attempts, load.needs_attention) == (model.attempts, model.needs_attention)
        due = load.next_attempt_at and ("later" if load.next_attempt_at > load.now else "now")
        assert due == model.next_attempt
        assert load.due_topic == model.due_topic
        database = self.arena.database
        rows = await database.fetch_all("SELECT run, topic, published_at FROM outbox")
        waiting = {(row["run"], row["topic"]): row["published_at"] is None for row in rows}
        assert waiting == {event: state == "waiting" for event, state in model.events.items()}
        rows = await database.fetch_all("SELECT generation, verdict FROM arrival")
        assert {row["generation"]: row["verdict"] for row in rows} == model.arrivals

    def teardown(self) -> None:
        rows = self.do(
            self.arena.database.fetch_all(
                "SELECT kind, run, stage, fence FROM load_event ORDER BY event_no"
            )
        )
        assert walk(lines_of(list(rows)))[1] is None


def live_through(
    runner: asyncio.Runner, arena: Arena, *, lives: int, number: int | None = None
) -> None:
    """Let so many loads live through forty steps each; `number` seeds the dice, if it is given.

    Raises:
        AssertionError: the ledger was not as the pages say; the steps stand in its notes.
    """

    def machine() -> LedgerMachine:
        return LedgerMachine(runner, arena)

    if number is not None:
        seed(number)(machine)
    run_state_machine_as_test(
        machine,  # type: ignore[arg-type]  # a function that makes one will do
        settings=settings(
            max_examples=lives,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
