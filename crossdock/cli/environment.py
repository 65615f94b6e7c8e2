"""The settings of a command: the environment first, else the local stack that runs."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossdock.stack.running import StackInfo, default_state_dir, find_running
from shared.errors import TransientFault
from shared.mysql.migrate import schema_differences
from shared.partners import Partners, load_partners
from shared.settings import Settings, SettingsError, load_settings

REPO_ROOT = Path(__file__).resolve().parents[2]
STATE_DIR = default_state_dir(REPO_ROOT)
PARTNERS_FILE = "partners.toml"
# An emulator belongs to the stack's own project or bucket: where a setting names another one, the
# call must not end up on this machine.
EMULATOR_OF = {
    "PUBSUB_EMULATOR_HOST": "CROSSDOCK_PROJECT",
    "STORAGE_EMULATOR_HOST": "CROSSDOCK_BUCKET",
}


def missing_settings(environ: Mapping[str, str], stack: Mapping[str, str]) -> dict[str, str]:
    """What a running stack supplies to a process: only what no setting says otherwise."""

    def means_this_stack(name: str) -> bool:
        owner = EMULATOR_OF.get(name, name)
        return environ.get(owner, stack[owner]) == stack[owner]

    return {
        name: value
        for name, value in stack.items()
        if name not in environ and means_this_stack(name)
    }


def use_running_stack(*, bucket: str | None = None) -> StackInfo | None:
    """Let this process work on the local stack, as far as no setting says otherwise.

    Args:
        bucket: the bucket that the call itself names; it goes before every setting.
    """
    if bucket is not None:
        os.environ["CROSSDOCK_BUCKET"] = bucket
    stack = find_running(STATE_DIR)
    if stack is not None:
        os.environ.update(missing_settings(os.environ, stack.environment()))
    return stack


def read_settings(**given: Any) -> Settings:
    """The settings of this process, with a running local stack to fill them up.

    Raises:
        SettingsError: one or more are missing or wrong; the message names them all.
    """
    use_running_stack()
    try:
        return load_settings(partners_file=partners_file(), **given)
    except SettingsError as error:
        raise SettingsError(
            f"{error}\nSet them in the environment, or start the local stack with `crossdock up`."
        ) from error


def partners_file() -> Path:
    """The list of partners: the one that a setting names, that of this folder, or the project's."""
    named = os.environ.get("CROSSDOCK_PARTNERS_FILE")
    if named:
        return Path(named)
    here = Path(PARTNERS_FILE)
    return here if here.exists() else REPO_ROOT / PARTNERS_FILE


def known_partners() -> Partners:
    """The partners as far as this machine knows them: without a list, each folder's own name.

    Raises:
        PartnersError: there is a list, or a setting names one, but it cannot be read or is wrong.
    """
    path = partners_file()
    is_named = bool(os.environ.get("CROSSDOCK_PARTNERS_FILE"))
    return load_partners(path) if is_named or path.exists() else Partners()


async def require_schema(mysql_url: str) -> None:
    """See that the database is ours and up to date.

    Raises:
        TransientFault: it is not, or it cannot be reached.
    """
    if await schema_differences(mysql_url):
        raise TransientFault("the database's schema is not current: run `crossdock migrate`")
