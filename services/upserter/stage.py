"""The upserter: staged rows into production, in the transaction that also moves the ledger."""

from collections.abc import Sequence
from typing import Final

import pymysql

from services.upserter.attempt import Attempt
from services.upserter.checks import hold_limit
from services.upserter.classify import prepare
from services.upserter.gate import PlanOutdated, advance_epoch, let_older_go_first, take_gate
from services.upserter.plan import EntityPlan, plan_of
from services.upserter.write import assert_reconciled, record_counts, write
from shared.contracts.model import contract_of
from shared.errors import TransientFault
from shared.ledger.lease import Claim
from shared.mysql.connect import DUPLICATE_ENTRY, LONG_SILENCE_SECONDS, Database
from shared.stage import Parts, Stage
from shared.steps import passed

MOST_PLANS: Final = 3


async def upsert(claim: Claim, parts: Parts) -> None:
    """Bring a staged load into production.

    A plan holds only as long as no other upsert changes what it rests on; then it is made again.

    Raises:
        Rejected: too many rows are rejected, or the counts do not agree; production is untouched.
        Waiting: another load of the source_system goes first.
        LeaseLost: another worker took over.
        TransientFault: the database did not answer, or other loads kept coming in between.
    """
    plans = plan_of(contract_of(claim.load.schema_version))
    seeks_collisions = False
    async with parts.ledger.connect(claim) as database:
        for plans_left in reversed(range(MOST_PLANS)):
            try:
                await _upsert_once(claim, parts, database, plans, seeks_collisions=seeks_collisions)
            except PlanOutdated:
                continue
            except pymysql.err.IntegrityError as error:
                if error.args[0] != DUPLICATE_ENTRY or not plans_left:
                    raise
                seeks_collisions = True
                continue
            return
    raise TransientFault(f"other loads changed what {claim.load.load_id} rests on, time and again")


async def _upsert_once(
    claim: Claim,
    parts: Parts,
    database: Database,
    plans: Sequence[EntityPlan],
    *,
    seeks_collisions: bool,
) -> None:
    attempt = Attempt.of(claim)
    limit = parts.partners.reject_limit(claim.load.partner)
    patience_seconds = parts.settings.order_wait_seconds

    await let_older_go_first(database, attempt, claim.load, patience_seconds)
    async with parts.ledger.connect(claim, silence_seconds=LONG_SILENCE_SECONDS) as second:
        prepared = await prepare((database, second), plans, attempt, seeks_collisions)
        await hold_limit(database, plans, attempt, prepared, limit)
        passed("upserter", "plan_made", load_id=attempt.load_id)
        async with parts.ledger.milestone(claim, database):
            await take_gate(database, attempt, prepared.epoch)
            passed("upserter", "gate_taken", load_id=attempt.load_id)
            warning = await let_older_go_first(database, attempt, claim.load, patience_seconds)
            await write(database, plans, attempt, prepared)
            await advance_epoch(database, attempt)
            await assert_reconciled(database, second, plans, attempt, prepared)
            await record_counts(database, plans, attempt, prepared)
            passed("upserter", "work_asserted", load_id=attempt.load_id)
            if warning is not None:
                await parts.ledger.warn(claim, database, warning)


STAGE = Stage("upserter", upsert)
