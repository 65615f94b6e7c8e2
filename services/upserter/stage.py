"""The upserter: staged rows into production, in the transaction that also moves the ledger."""

from functools import partial
from typing import Final

import pymysql

from services.upserter.apply import apply
from services.upserter.attempt import Attempt
from services.upserter.classify import forget_earlier
from services.upserter.gate import add_gate, advance_epoch, let_older_go_first, take_gate
from services.upserter.hands import Hands
from services.upserter.plan import plan_of
from services.upserter.write import record_counts
from shared.contracts.model import contract_of
from shared.errors import Rejected
from shared.ledger.lease import Claim
from shared.mysql.connect import DUPLICATE_ENTRY, LONG_SILENCE_SECONDS
from shared.stage import Parts, Stage
from shared.steps import passed

MOST_TRIES: Final = 3


async def upsert(claim: Claim, parts: Parts) -> None:
    """Bring a staged load into production.

    Raises:
        Rejected: too many rows are rejected, or the counts do not agree; production is untouched.
        Waiting: another load of the source_system goes first.
        LeaseLost: another worker took over.
        TransientFault: the database did not answer, or staging does not hold what the files did.
    """
    seeks_collisions = False
    for tries_left in reversed(range(MOST_TRIES)):
        try:
            return await _upsert_once(claim, parts, seeks_collisions=seeks_collisions)
        except Rejected:
            # A helper's statement goes on in the server, and must not outlive the verdict.
            await parts.ledger.end_connections(claim.token)
            raise
        except pymysql.err.IntegrityError as error:
            if error.args[0] != DUPLICATE_ENTRY or not tries_left:
                raise
            await parts.ledger.end_connections(claim.token)
            seeks_collisions = True
    raise AssertionError("the last try returns or raises")


async def _upsert_once(claim: Claim, parts: Parts, *, seeks_collisions: bool) -> None:
    attempt = Attempt.of(claim)
    plans = plan_of(contract_of(claim.load.schema_version))
    limit = parts.partners.reject_limit(claim.load.partner)
    patience_seconds = parts.settings.order_wait_seconds
    connect = partial(parts.ledger.connect, claim)
    async with (
        connect(silence_seconds=LONG_SILENCE_SECONDS) as second,
        connect(silence_seconds=LONG_SILENCE_SECONDS) as third,
    ):
        await let_older_go_first(second, attempt, claim.load, patience_seconds)
        await forget_earlier(second, plans, attempt)
        await add_gate(second, attempt)
        async with connect() as writer, parts.ledger.milestone(claim, writer):
            gate = await take_gate(writer, attempt, seeks_collisions=seeks_collisions)
            passed("upserter", "gate_taken", load_id=attempt.load_id)
            warning = await let_older_go_first(writer, attempt, claim.load, patience_seconds)
            hands = Hands(writer, (second, third))
            try:
                counts = await apply(hands, plans, attempt, gate=gate, limit=limit)
            except Rejected:
                # Helpers reach a verdict without the writer, and see at once what it has lost.
                await hands.see_that_it_stands()
                raise
            await advance_epoch(writer, attempt)
            await record_counts(writer, plans, attempt, counts)
            passed("upserter", "work_asserted", load_id=attempt.load_id)
            if warning is not None:
                await parts.ledger.warn(claim, writer, warning)


STAGE = Stage("upserter", upsert)
