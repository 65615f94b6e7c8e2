"""How the database, the bucket, the topics and the services are: facts read, then judged purely."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC
from http import HTTPStatus
from pathlib import Path

import httpx
from google.api_core.exceptions import GoogleAPICallError, NotFound
from google.auth.exceptions import GoogleAuthError
from google.cloud.pubsub_v1 import SubscriberClient
from google.cloud.storage import Client
from google.pubsub_v1.types import Subscription

from crossdock.stack import processes
from crossdock.stack.running import SWEEP, StackInfo
from crossdock.stack.topology import ACK_DEADLINE_SECONDS, LETTER_PATH, PUSH_PATH
from shared.clock import now
from shared.errors import TransientFault
from shared.events import DEAD_LETTER_SUBSCRIPTION, SUBSCRIPTIONS, Topic
from shared.ledger.takeover import Sight
from shared.mysql import own_rights
from shared.mysql.connect import connect
from shared.mysql.migrate import HISTORY, schema_differences, unapplied
from shared.mysql.rights import Right, rights_of
from shared.settings import Settings
from shared.storage.gcs import GcsStorage

OLDEST_MYSQL = (8, 4)
SMALLEST_PACKET_BYTES = 16 * 1024 * 1024
# A drop may be dated 5 minutes ahead; a clock that is wrong by a tenth of it is worth a word.
LARGEST_CLOCK_SKEW_SECONDS = 30.0
ANSWER_SECONDS = 5.0
START_THE_STACK = "Start it: `crossdock up` (local stack); else mend the setting or the network."

MYSQL_FACTS = """SELECT VERSION() AS version, @@GLOBAL.local_infile AS local_infile,
    @@SESSION.sql_mode AS sql_mode, @@GLOBAL.max_allowed_packet AS packet_bytes, NOW(6) AS now"""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be so: whether it is, what was found, and how to mend it if it is not."""

    check: str
    ok: bool
    detail: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class MySQLFacts:
    """What a database says of itself; the skew is its clock minus this machine's, in seconds.

    There is no sight for an account that is not to end connections, or may not.
    """

    version: str
    local_infile: bool
    sql_mode: str
    packet_bytes: int
    account: str
    missing_rights: Sequence[Right]
    sight: Sight | None
    clock_skew_seconds: float
    schema_differences: Sequence[str]


async def check_mysql(mysql_url: str) -> list[Check]:
    """Whether the database can be reached, and is as the project needs it."""
    try:
        facts = await read_mysql(mysql_url)
    except TransientFault as fault:
        return [Check("mysql", ok=False, detail=str(fault), remedy=START_THE_STACK)]
    return [Check("mysql", ok=True, detail="reachable"), *judge_mysql(facts)]


async def read_mysql(mysql_url: str) -> MySQLFacts:
    """Ask a database what it is like.

    Raises:
        TransientFault: it cannot be reached.
    """
    async with connect(mysql_url, program_name="crossdock:doctor") as database:
        asked_at = now()
        row = await database.fetch_one(MYSQL_FACTS)
        answered_at = now()
        account = await own_rights.whoami(database)
        program = own_rights.program_of(account)
        missing = await own_rights.missing_rights(database, program)
        calls = {right for right in rights_of(program) if right.verb == "EXECUTE"} - set(missing)
        sight = await Sight.of(database) if calls else None
        sees_history = HISTORY not in {right.on for right in missing}
        pending = await unapplied(database) if sees_history else []
    assert row is not None, "a SELECT without FROM has one row"
    here = asked_at + (answered_at - asked_at) / 2
    return MySQLFacts(
        version=row["version"],
        local_infile=bool(row["local_infile"]),
        sql_mode=row["sql_mode"],
        packet_bytes=row["packet_bytes"],
        account=account,
        missing_rights=missing,
        sight=sight,
        clock_skew_seconds=(row["now"].replace(tzinfo=UTC) - here).total_seconds(),
        schema_differences=(
            await schema_differences(mysql_url) if program in own_rights.SEE_ALL else pending
        ),
    )


def judge_mysql(facts: MySQLFacts) -> Iterator[Check]:
    """Hold a database's facts against what the project needs."""
    yield from _judge_server(facts)
    yield _judged(
        "mysql rights",
        not facts.missing_rights,
        own_rights.told(facts.account, facts.missing_rights)
        if facts.missing_rights
        else f"{facts.account} has what it needs",
        own_rights.REMEDY,
    )
    if facts.sight is not None:
        problem = facts.sight.problem
        yield _judged(
            "mysql performance_schema",
            problem is None,
            problem.detail if problem else "shows connections by their names",
            problem.remedy if problem else "",
        )
    yield _judged(
        "mysql clock",
        abs(facts.clock_skew_seconds) <= LARGEST_CLOCK_SKEW_SECONDS,
        f"{facts.clock_skew_seconds:+.3f} s against this machine",
        "Set both clocks by NTP: created_at is held against this one, leases against the other.",
    )
    yield _judged(
        "schema",
        not facts.schema_differences,
        "current" if not facts.schema_differences else "a migration has not been applied",
        "Run `crossdock migrate`.",
    )


def _judge_server(facts: MySQLFacts) -> Iterator[Check]:
    found = tuple(int(number) for number in re.findall(r"\d+", facts.version)[:2])
    yield _judged(
        "mysql version",
        found >= OLDEST_MYSQL and "maria" not in facts.version.lower(),
        facts.version,
        "Use MySQL 8.4 or later.",
    )
    yield _judged(
        "mysql local_infile",
        facts.local_infile,
        "on" if facts.local_infile else "off",
        "SET PERSIST local_infile = ON: the stager loads files with LOAD DATA LOCAL.",
    )
    yield _judged(
        "mysql sql_mode",
        "STRICT_ALL_TABLES" in facts.sql_mode,
        facts.sql_mode,
        "A proxy between here and the database resets what the session sets: go round it.",
    )
    yield _judged(
        "mysql max_allowed_packet",
        facts.packet_bytes >= SMALLEST_PACKET_BYTES,
        f"{facts.packet_bytes} bytes",
        f"SET PERSIST max_allowed_packet = {SMALLEST_PACKET_BYTES} or more.",
    )


async def check_bucket(settings: Settings) -> Check:
    """Whether the bucket is there and may be listed."""
    try:
        client = Client(project=settings.project)
        storage = GcsStorage(client, settings.bucket, patience_seconds=ANSWER_SECONDS)
        try:
            await storage.list_objects("imports/crossdock-doctor/")
        finally:
            await storage.close()
    except (TransientFault, GoogleAuthError) as fault:
        return Check("bucket", ok=False, detail=str(fault), remedy=START_THE_STACK)
    return Check("bucket", ok=True, detail=settings.bucket)


def check_topology(project: str) -> Iterator[Check]:
    """Whether each subscription exists on its topic, and would not lose a message."""
    names = {f"{each}.{topic}": topic for each, topics in SUBSCRIPTIONS.items() for topic in topics}
    names[DEAD_LETTER_SUBSCRIPTION] = Topic.DEAD_LETTER
    try:
        with SubscriberClient() as subscriber:
            for name, topic in names.items():
                path = f"projects/{project}/subscriptions/{name}"
                yield judge_subscription(name, project, topic, _read(subscriber, path))
    except (GoogleAPICallError, GoogleAuthError) as fault:
        detail = f"{type(fault).__name__}: {fault}"
        yield Check("pubsub", ok=False, detail=detail, remedy=START_THE_STACK)


def judge_subscription(name: str, project: str, topic: str, found: Subscription | None) -> Check:
    """Hold one subscription against what the service behind it needs."""
    what = f"subscription {name}"
    if found is None:
        return Check(
            what,
            ok=False,
            detail=f"does not exist in project {project}",
            remedy="Create it; on this machine `crossdock up` does.",
        )
    takes_letters = name == DEAD_LETTER_SUBSCRIPTION
    push_path = LETTER_PATH if takes_letters else PUSH_PATH
    endpoint = found.push_config.push_endpoint
    gives_up = bool(found.dead_letter_policy.dead_letter_topic)
    wrong = [
        problem
        for is_wrong, problem in (
            (found.topic != f"projects/{project}/topics/{topic}", f"its topic is {found.topic}"),
            (
                bool(endpoint) and not endpoint.endswith(push_path),
                f"its push endpoint {endpoint!r} does not end {push_path}",
            ),
            (
                found.ack_deadline_seconds < ACK_DEADLINE_SECONDS,
                f"its ack deadline is {found.ack_deadline_seconds} s, not {ACK_DEADLINE_SECONDS} s",
            ),
            (not gives_up and not takes_letters, "it has no dead-letter policy"),
            (gives_up and takes_letters, "it has a dead-letter policy, which loses what it ends"),
            ("retry_policy" not in found, "it has no retry policy"),
        )
        if is_wrong
    ]
    return _judged(
        what,
        not wrong,
        "; ".join(wrong) or (f"pushes to {endpoint}" if endpoint else "waits for a pull worker"),
        "Create it anew; on this machine `crossdock down` and `crossdock up` do.",
    )


def check_sweep(state_dir: Path) -> Check:
    """Whether the local stack's recovery runs: without it nothing that was lost is found."""
    pid = processes.alive(state_dir, SWEEP)
    detail = "not running" if pid is None else f"process {pid}"
    return _judged("sweep", pid is not None, detail, "`crossdock up` starts again what has died.")


def check_services(stack: StackInfo) -> Iterator[Check]:
    """Whether each service of the local stack says that it is ready."""
    for name, service in stack.services.items():
        try:
            answer = httpx.get(f"{service.url}/health/ready", timeout=ANSWER_SECONDS)
        except httpx.HTTPError as fault:
            detail = f"{service.url}: {type(fault).__name__}: {fault}"
            remedy = "`crossdock up` starts again what has died."
            yield Check(f"service {name}", ok=False, detail=detail, remedy=remedy)
        else:
            yield judge_service(name, service.url, answer.status_code, answer.text)


def judge_service(name: str, url: str, status: int, text: str) -> Check:
    """What the answer of a service that runs says of its readiness."""
    return _judged(
        f"service {name}",
        status == HTTPStatus.OK,
        f"{url}: {status} {text[:200]}",
        "It runs, but not what it says that it needs: mend that first. `crossdock up` starts the "
        "local stack's own MySQL again.",
    )


def _read(subscriber: SubscriberClient, path: str) -> Subscription | None:
    try:
        found: Subscription = subscriber.get_subscription(
            subscription=path, timeout=ANSWER_SECONDS, retry=None
        )
    except NotFound:
        return None
    return found


def _judged(check: str, ok: bool, detail: str, remedy: str) -> Check:
    return Check(check, ok, detail, None if ok else remedy)
