"""The accounts' SQL: who there is, and what each is granted, out of users.sql and the rights."""

from collections import defaultdict

from shared.mysql.queries import load_fragments
from shared.mysql.quoting import quoted
from shared.mysql.rights import accounts, rights_of

USERS = load_fragments("infra.mysql", "users.sql")
PREFIX = "crossdock"
DATABASE = "crossdock"
MIGRATE = "migrate"
PROGRAMS = (*accounts(), MIGRATE)


def user_statements(database: str = DATABASE, prefix: str = PREFIX) -> list[str]:
    """Statements that make the accounts; to be run before the first migration."""
    # Where GRANT takes a pattern, _ and % mean something.
    pattern = quoted(database).replace("_", r"\_")
    names = {"database": database, "pattern": pattern, "prefix": prefix}
    return [statement.format(**names) for statement in USERS.values()]


def grant_statements(database: str = DATABASE, prefix: str = PREFIX) -> list[str]:
    """Statements that give each account its rights; to be run after each migration.

    They only give. A right that a release needs no longer is taken a release later, by hand.
    """
    return [
        f"GRANT {', '.join(rights)} ON {place} TO '{prefix}_{account}'@'%'"
        for account in accounts()
        for place, rights in _by_place(database, account).items()
    ]


def _by_place(database: str, account: str) -> dict[str, list[str]]:
    places: dict[str, list[str]] = defaultdict(list)
    for right in rights_of(account):
        kind = "PROCEDURE " if right.verb == "EXECUTE" else ""
        columns = ", ".join(map(quoted, right.columns))
        text = f"{right.verb} ({columns})" if columns else right.verb
        places[f"{kind}{quoted(database)}.{quoted(right.on)}"].append(text)
    return places
