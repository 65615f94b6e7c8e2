"""What `crossdock doctor` finds in the facts about the database, subscriptions and services."""

from dataclasses import replace
from datetime import timedelta

import pytest
from google.pubsub_v1.types import DeadLetterPolicy, PushConfig, RetryPolicy, Subscription

from crossdock.cli.health import MySQLFacts, judge_mysql, judge_service, judge_subscription
from shared.ledger.takeover import Sight
from shared.mysql.rights import Right

SEEING = Sight(
    performance_schema=True,
    announced_bytes=512,
    sees_itself=True,
    runs_as="crossdock_migrate@%",
    ends_others=True,
)
BLIND = replace(SEEING, sees_itself=False)
GOOD_MYSQL = MySQLFacts(
    version="8.4.7",
    local_infile=True,
    sql_mode="STRICT_TRANS_TABLES,STRICT_ALL_TABLES",
    packet_bytes=67_108_864,
    account="crossdock_operator@%",
    missing_rights=(),
    sight=SEEING,
    clock_skew_seconds=-0.2,
    schema_differences=(),
)


def test_a_database_as_it_must_be_passes_every_check() -> None:
    assert [check for check in judge_mysql(GOOD_MYSQL) if not check.ok] == []


@pytest.mark.parametrize(
    ("facts", "check", "remedy"),
    [
        ({"version": "8.0.40"}, "mysql version", "8.4"),
        ({"version": "11.4.2-MariaDB"}, "mysql version", "MySQL"),
        ({"local_infile": False}, "mysql local_infile", "SET PERSIST local_infile"),
        ({"sql_mode": "ANSI"}, "mysql sql_mode", "proxy"),
        ({"packet_bytes": 1_048_576}, "mysql max_allowed_packet", "max_allowed_packet"),
        ({"sight": replace(BLIND, performance_schema=False)}, "mysql performance_schema", "= ON"),
        (
            {"sight": replace(BLIND, announced_bytes=0)},
            "mysql performance_schema",
            "attrs_size = 256",
        ),
        (
            {"sight": replace(SEEING, announced_bytes=255)},
            "mysql performance_schema",
            "attrs_size = 256",
        ),
        ({"sight": BLIND}, "mysql performance_schema", "proxy"),
        (
            {"sight": replace(SEEING, ends_others=False)},
            "mysql performance_schema",
            "Grant CONNECTION_ADMIN to crossdock_migrate@%",
        ),
        (
            {"missing_rights": (Right("outbox", "UPDATE", ("published_at",)),)},
            "mysql rights",
            "docs/operations/accounts.md",
        ),
        ({"clock_skew_seconds": 31.0}, "mysql clock", "NTP"),
        ({"clock_skew_seconds": -31.0}, "mysql clock", "NTP"),
        ({"schema_differences": ["0002"]}, "schema", "crossdock migrate"),
    ],
)
def test_what_is_wrong_with_a_database_is_found_alone_and_has_its_remedy(
    facts: dict[str, object], check: str, remedy: str
) -> None:
    wrong = [one for one in judge_mysql(replace(GOOD_MYSQL, **facts)) if not one.ok]  # type: ignore[arg-type]
    assert [one.check for one in wrong] == [check]
    assert remedy in (wrong[0].remedy or "")


def subscription(**facts: object) -> Subscription:
    known = {
        "name": "projects/p/subscriptions/stager.manifest.validated",
        "topic": "projects/p/topics/manifest.validated",
        "push_config": PushConfig(push_endpoint="https://stager.example/pubsub/push"),
        "ack_deadline_seconds": 600,
        "dead_letter_policy": DeadLetterPolicy(dead_letter_topic="projects/p/topics/dead-letter"),
        "retry_policy": RetryPolicy(minimum_backoff=timedelta(seconds=1)),
    }
    return Subscription(**{**known, **facts})


def judged(found: Subscription | None) -> tuple[bool, str, str | None]:
    check = judge_subscription("stager.manifest.validated", "p", "manifest.validated", found)
    return check.ok, check.detail, check.remedy


def test_a_subscription_that_would_lose_no_message_passes() -> None:
    assert judged(subscription()) == (True, "pushes to https://stager.example/pubsub/push", None)
    pulled = subscription(push_config=PushConfig())
    assert judged(pulled) == (True, "waits for a pull worker", None)


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ({"topic": "projects/p/topics/staged"}, "its topic is projects/p/topics/staged"),
        ({"push_config": PushConfig(push_endpoint="https://stager.example/")}, "push endpoint"),
        ({"ack_deadline_seconds": 10}, "10 s, not 600 s"),
        ({"dead_letter_policy": None}, "no dead-letter policy"),
        ({"retry_policy": None}, "no retry policy"),
    ],
)
def test_what_is_wrong_with_a_subscription_is_named(facts: dict[str, object], problem: str) -> None:
    ok, detail, remedy = judged(subscription(**facts))
    assert not ok
    assert problem in detail
    assert remedy


def test_the_letters_subscription_must_give_up_nothing() -> None:
    name = "reporter.dead-letter"
    wanted = {
        "topic": "projects/p/topics/dead-letter",
        "push_config": PushConfig(push_endpoint="https://reporter.example/pubsub/dead-letter"),
    }
    right = subscription(**wanted, dead_letter_policy=None)
    assert judge_subscription(name, "p", "dead-letter", right).ok
    wrong = judge_subscription(name, "p", "dead-letter", subscription(**wanted))
    assert not wrong.ok
    assert "it has a dead-letter policy" in wrong.detail


def test_a_subscription_that_is_not_there_is_told_from_one_that_is_wrong() -> None:
    ok, detail, remedy = judged(None)
    assert not ok
    assert "does not exist" in detail
    assert "crossdock up" in (remedy or "")


def test_a_service_that_runs_without_its_database_is_not_said_to_have_died() -> None:
    text = '{"status":"the database is unreachable: 127.0.0.1:3306"}'
    found = judge_service("stager", "http://127.0.0.1:1", 503, text)
    assert not found.ok
    assert "the database is unreachable" in found.detail
    assert "It runs" in (found.remedy or "")
    assert judge_service("stager", "http://127.0.0.1:1", 200, "ready").remedy is None
