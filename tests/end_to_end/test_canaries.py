"""No value of a row and no secret stands in anything that is told or written down for people.

Every field of every kind of drop holds a canary, and so does every secret of the settings. The real
services take the drops, while MySQL, the webhook and the mail server are at fault; then all that
came out of them is searched.
"""

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from crossdock.cli import environment
from crossdock.cli.app import app
from shared.contracts.row_rules import MOST_ROWS_NAMED
from shared.errors import catalogue
from shared.mysql.connect import MySQLAddress, connect
from tests.canaries import (
    BROKEN_FILES,
    Package,
    Planter,
    broken_file,
    broken_manifests,
    changed_file,
    packed,
    rejected_rows,
    too_many_rejects,
    wrong_total,
)
from tests.drops import HEADERS, Drop
from tests.faults.lane import BUCKET, SETTINGS, Lane, open_lane
from tests.faults.mysql_proxy import MySQLProxy, StatementFault, StatementFaultKind
from tests.faults.suite import Servers
from tests.observability.collector import Collector, collector
from tests.receivers import HANG_UP, Mailbox, Webhook, mail_server, webhook

LANE = 90
OFFLINE = "check"
ASKED_FOR = ("good", "rejects", "over-limit", "stuck", "total", "open-quote")
PATIENCE_SECONDS = 240
MOST_ATTEMPTS = 4
# Where rows are meant to stand: (table, column), a column of None for all of them.
HOMES = {
    ("load_reject", "source_key"),
    ("load_reject", "raw"),
    ("load_ledger", "manifest"),
    ("dead_letter", "data"),
    ("identity_collision", "source_key"),
}
TABLES_OF_ROWS = ("staging_", "crosswalk_", *HEADERS)
AT_REST = (
    "SELECT COUNT(*) FROM load_ledger WHERE lease_owner IS NULL AND (needs_attention "
    "OR (state IN ('reported', 'failed') AND COALESCE(reported_run, 0) = run))"
)
STILL_TO_TELL = "SELECT COUNT(*) FROM notification WHERE delivered_at IS NULL"
STRUCK = (
    StatementFault("services.stager.load.load_file", StatementFaultKind.CUT_AFTER),
    StatementFault("services.upserter.classify.classify", StatementFaultKind.LOCK_TIMEOUT),
    StatementFault("services.upserter.write.insert_rows", StatementFaultKind.DEADLOCK),
    StatementFault("services.upserter.write.insert_keys", StatementFaultKind.CUT_BEFORE),
)
SAYS_A_ROW = (
    "CREATE TRIGGER talkative BEFORE INSERT ON customers FOR EACH ROW BEGIN "
    "DECLARE said TEXT DEFAULT CONCAT('no such company: ', NEW.company_name, NEW.email); "
    "IF NEW.company_name = '{company}' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = said; "
    "END IF; END"
)

cli = CliRunner()


@dataclass
class Secrets:
    """One canary for each secret of the settings."""

    mysql: str = "zqmysqlsecret"
    mail: str = "zqmailsecret"
    hook: str = "zqhooksecret"
    traces: str = "zqtracessecret"
    bearer: str = "zqbearersecret"

    def planted(self) -> dict[str, str]:
        return {canary: f"secret: {name}" for name, canary in vars(self).items()}


@dataclass
class Scene:
    """The services with all that they talk to, and what is planted."""

    lane: Lane
    proxy: MySQLProxy
    hook: Webhook
    mailbox: Mailbox
    collected: Collector
    folder: Path
    secrets: Secrets
    planter: Planter = field(default_factory=Planter)
    printed: dict[str, str] = field(default_factory=dict)

    async def command(self, *words: str, **settings: str) -> None:
        """Run a command and keep what it prints."""
        env = {**self.lane.environment, "OTEL_EXPORTER_OTLP_ENDPOINT": "", **settings}
        done = await asyncio.to_thread(cli.invoke, app, words, env=env)
        self.printed[" ".join((*words, *settings))] = done.output

    async def until(self, query: str, wanted: int) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS), self.lane.database() as database:
            while True:
                if await database.fetch_value(query) == wanted:
                    return
                await asyncio.sleep(0.1)


@asynccontextmanager
async def own_account(server_url: str, password: str) -> AsyncIterator[str]:
    """An account of the services' own, whose password is a canary; its URL's login part."""
    name = f"canary_{secrets.token_hex(4)}"
    async with connect(server_url) as administrator:
        await administrator.execute(f"CREATE USER '{name}'@'%' IDENTIFIED BY '{password}'")
        await administrator.execute(f"GRANT ALL PRIVILEGES ON *.* TO '{name}'@'%'")
    try:
        yield f"{name}:{password}"
    finally:
        async with connect(server_url) as administrator:
            await administrator.execute(f"DROP USER '{name}'@'%'")


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook(f"/workflows/1?sig={Secrets().hook}") as opened:
        opened.answers.extend([500, HANG_UP, 404])
        yield opened


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    async with mail_server() as opened:
        opened.takes_logins = False  # and says so with the password
        yield opened


@pytest.fixture
async def scene(
    stack_dir: Path,
    mysql_server_url: str,
    pubsub_emulator_host: str,
    hook: Webhook,
    mailbox: Mailbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Scene]:
    monkeypatch.setattr(environment, "STATE_DIR", tmp_path / "no-stack")
    known = Secrets()
    address = MySQLAddress.parse(mysql_server_url)
    proxy = MySQLProxy(address.host, address.port)
    servers = Servers(stack_dir, mysql_server_url, pubsub_emulator_host)
    settings = {**SETTINGS, "CROSSDOCK_ATTEMPTS_BEFORE_ATTENTION": str(MOST_ATTEMPTS)}
    async with (
        own_account(mysql_server_url, known.mysql) as login,
        open_lane(servers, LANE, settings) as lane,
    ):
        with collector() as collected:
            database = MySQLAddress.parse(lane.database_url).database
            port = await proxy.start()
            lane.environment |= {
                "CROSSDOCK_MYSQL_URL": f"mysql://{login}@127.0.0.1:{port}/{database}",
                "CROSSDOCK_TEAMS_WEBHOOK_URL": hook.url,
                "CROSSDOCK_SMTP_URL": (
                    f"smtp://ops:{known.mail}@127.0.0.1:{mailbox.port}?starttls=never"
                ),
                "CROSSDOCK_EMAIL_TO": "ops@example.com",
                "CROSSDOCK_EMAIL_FROM": "crossdock@example.com",
                "CROSSDOCK_RETRY_LONGEST_SECONDS": "0.5",
                "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={known.traces}",
                **collected.environment(),
            }
            await lane.begin()
            yield Scene(lane, proxy, hook, mailbox, collected, tmp_path, known)
            await lane.end_processes()
            await proxy.close()


def drops_of(planter: Planter) -> dict[str, Package]:
    """A drop of each kind, each of a partner of its own."""

    def facts(name: str) -> dict[str, Any]:
        return {"load_id": f"load-{name}", "partner": f"partner-{name}"}

    return {
        "good": packed(Drop.of(planter.family(), **facts("good"))),
        "rejects": packed(Drop.of(rejected_rows(planter), **facts("rejects"))),
        "over-limit": packed(Drop.of(too_many_rejects(planter), **facts("over-limit"))),
        "changed": changed_file(planter, **facts("changed")),
        "total": wrong_total(planter, **facts("total")),
        "stuck": packed(Drop.of(planter.family(), **facts("stuck"))),
        **{
            name: broken_file(planter, breaks, **facts(name))
            for name, breaks in BROKEN_FILES.items()
        },
    }


def planted_in(drop: Package, planted: Mapping[str, str]) -> set[str]:
    return {canary for canary in planted if canary in drop.text}


async def take_everything(scene: Scene) -> dict[str, Package]:
    """Every drop through the services, to its end."""
    drops = drops_of(scene.planter)
    company = next(
        canary
        for canary in planted_in(drops["stuck"], scene.planter.planted)
        if scene.planter.planted[canary] == "customers.company_name"
    )
    async with scene.lane.database() as database:
        await database.execute(SAYS_A_ROW.format(company=company))
    scene.proxy.arm(*STRUCK)
    for drop in drops.values():
        for name, data in drop.objects.items():
            await scene.lane.put(name, data)
    bare = Drop(load_id="load-manifest", partner="partner-manifest")
    manifests = broken_manifests(scene.planter, bare)
    for name, manifest in manifests.items():
        await scene.lane.put(f"imports/partner-{name}/load-of-{name}/manifest.json", manifest)
    await send_letters(scene)
    await scene.until(AT_REST, len(drops) + len(manifests))
    assert scene.proxy.struck
    scene.mailbox.takes_logins = True
    await scene.until(STILL_TO_TELL, 0)
    return drops


async def send_letters(scene: Scene) -> None:
    """What no stage can take, from a caller with a token."""
    body = {"load_id": "load-letter", "event": "nonsense", "row": scene.planter.text("a letter")}
    row = json.dumps(body).encode()
    envelope = {
        "message": {
            "data": base64.b64encode(row).decode(),
            "messageId": "1",
            "publishTime": "2026-01-01T00:00:00Z",
        },
        "subscription": "projects/p/subscriptions/reporter.dead-letter",
    }
    headers = {"Authorization": f"Bearer {scene.secrets.bearer}"}
    url = scene.lane.workers["reporter"].url
    async with httpx.AsyncClient(base_url=url, headers=headers) as client:
        taken = await client.post("/pubsub/dead-letter", json=envelope)
        refused = await client.post("/pubsub/push", content=b"no envelope")
    assert (taken.status_code, refused.status_code) == (204, 400)


async def ask_every_command(scene: Scene, drops: Mapping[str, Package]) -> None:
    wrong = scene.lane.environment["CROSSDOCK_MYSQL_URL"].replace(
        scene.secrets.mysql, scene.secrets.mysql + "x"
    )
    for name in ASKED_FOR:
        for command in ("status", "report"):
            await scene.command(command, drops[name].load_id)
            await scene.command(command, drops[name].load_id, "--json")
    own = Drop.of(rejected_rows(scene.planter), load_id="load-own", partner="partner-own")
    folder = str(own.write(scene.folder))
    await scene.command(OFFLINE, folder)
    await scene.command(OFFLINE, folder, "--json")
    await scene.command("run", folder)
    await scene.command("run", folder, "--json")
    await scene.command("replay", "load-good", "--from", "reporter", "--reason", "a drill")
    for words in (["status"], ["dead-letter", "list"], ["doctor"]):
        await scene.command(*words)
        await scene.command(*words, "--json")
    await scene.command("sweep")
    await scene.command("migrate")
    await scene.command("dead-letter", "redrive", "--all")
    await scene.command("doctor", CROSSDOCK_MYSQL_URL=wrong)
    await scene.command("status", CROSSDOCK_MYSQL_URL=wrong)


async def everything_told(scene: Scene) -> dict[str, str]:
    """All that the system let out, by where it stands."""
    told = {f"printed by {words}": text for words, text in scene.printed.items()}
    for log in scene.lane.folder.glob("*.log"):
        told[f"log of {log.stem}"] = log.read_text(encoding="utf-8")
    told["cards"] = json.dumps(scene.hook.received)
    told["mails"] = "\n".join(
        f"{mail}\n{part.get_content()}"
        for mail in scene.mailbox.mails
        for part in mail.walk()
        if not part.is_multipart()
    )
    told["traces and metrics"] = b"\n".join(scene.collected.bodies).decode("utf-8", "replace")
    bucket = scene.lane.folder / "storage" / "objects" / BUCKET
    for path in bucket.rglob("*"):
        name = path.relative_to(bucket).as_posix()
        if path.is_file() and name.startswith("acks") and not name.endswith("rejects.csv"):
            told[name] = path.read_text(encoding="utf-8")
    return {**told, **await tables(scene, homes=False)}


async def tables(scene: Scene, *, homes: bool) -> dict[str, str]:
    """Every column of every table that rows may stand in, or of all the others."""
    told = {}
    async with scene.lane.database() as database:
        columns = await database.fetch_all(
            "SELECT TABLE_NAME AS t, COLUMN_NAME AS c FROM information_schema.COLUMNS "
            "WHERE TABLE_SCHEMA = DATABASE()"
        )
        for table, column in ((row["t"], row["c"]) for row in columns):
            home = table.startswith(TABLES_OF_ROWS) or (table, column) in HOMES
            if home is homes:
                rows = await database.fetch_all(f"SELECT `{column}` AS v FROM `{table}`")
                told[f"{table}.{column}"] = "\n".join(_text(row["v"]) for row in rows)
    return told


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def may_stand(where: str, what: str) -> bool:
    """Whoever has the files may read the keys of faulty rows, an operator what a letter says."""
    if where == "printed by dead-letter list --json":
        return what == "a letter"
    return where.startswith(f"printed by {OFFLINE} ") and what.endswith(("_id", ".key"))


@pytest.mark.timeout(600)
async def test_no_canary_comes_out_of_any_log_notice_letter_history_report_trace_or_command(
    scene: Scene,
) -> None:
    drops = await take_everything(scene)
    await ask_every_command(scene, drops)
    await scene.until(STILL_TO_TELL, 0)
    await scene.lane.end_processes()
    planted = scene.planter.planted | scene.secrets.planted()
    told = await everything_told(scene)
    found = {
        f"{planted[canary]} in {where}"
        for where, text in told.items()
        for canary in planted
        if canary in text and not may_stand(where, planted[canary])
    }
    assert not found, "\n".join(sorted(found))

    for place in ("cards", "mails", "traces and metrics", "log of stager", "dead_letter.reason"):
        assert told[place], place
    assert "load.notice" in told["log of reporter"]
    assert "SIGNAL_EXCEPTION" in told["load_ledger.last_error"]
    assert set(scene.mailbox.logins) == {scene.secrets.mail}
    rejects = set(told["load_reject.code"].split())
    assert rejects == {code for code in catalogue() if code.startswith("row.")}
    assert told["load_ledger.failure_code"].count(".") >= len(BROKEN_FILES) > MOST_ROWS_NAMED
    homes = "\n".join((await tables(scene, homes=True)).values())
    in_letters = {canary for canary in planted if planted[canary] == "a letter"}
    for canary in planted_in(drops["good"], planted) | in_letters:
        assert canary in homes
