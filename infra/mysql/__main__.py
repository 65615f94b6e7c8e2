"""Prints the accounts' SQL, for an administrator to apply; docs/operations/accounts.md tells when.

python -m infra.mysql users  | mysql …    before the first migration
python -m infra.mysql grants | mysql …    after every migration
"""

import argparse
import re
import sys

from infra.mysql.accounts import DATABASE, PREFIX, grant_statements, user_statements

STATEMENTS = {"users": user_statements, "grants": grant_statements}


def main() -> None:
    """Print what is asked for, as one script."""
    parser = argparse.ArgumentParser(prog="python -m infra.mysql", description=__doc__)
    parser.add_argument("what", choices=STATEMENTS)
    parser.add_argument("--database", type=_name, default=DATABASE)
    parser.add_argument("--prefix", type=_name, default=PREFIX, help="how accounts' names begin")
    given = parser.parse_args()
    for statement in STATEMENTS[given.what](given.database, given.prefix):
        sys.stdout.write(f"{statement};\n")


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_]{1,64}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no plain name")
    return text


if __name__ == "__main__":
    main()
