"""Google's Pub/Sub emulator: found in the Google Cloud SDK, run by this machine's Java.

The emulator keeps nothing: after a restart it has no topics and no subscriptions, and counts its
message ids from 1 again.
"""

import functools
import http.client
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from crossdock.stack import processes
from crossdock.stack.errors import EmulatorMissingError

PROCESS = "pubsub"
START_SECONDS = 60.0
OLDEST_JAVA = 17
# The emulator inside an SDK, and where SDKs are usually unpacked or installed.
INSIDE_SDK = Path("platform/pubsub-emulator")
SDK_FOLDERS = (
    "/usr/lib/google-cloud-sdk",
    "/usr/share/google-cloud-sdk",
    "/opt/google-cloud-sdk",
    "/usr/local/google-cloud-sdk",
    "/snap/google-cloud-cli/current",
    "/opt/homebrew/share/google-cloud-sdk",
    "~/google-cloud-sdk",
    "~/.local/google-cloud-sdk",
    "~/.local/share/google-cloud-sdk",
    "~/.local/lib/google-cloud-sdk",
)
HOW_TO_GET_IT = (
    "Install it with `gcloud components install pubsub-emulator` (or, where gcloud came from apt, "
    "`apt-get install google-cloud-cli-pubsub-emulator`), or name its jar or start script in "
    "CROSSDOCK_PUBSUB_EMULATOR."
)
HOW_TO_GET_JAVA = (
    "Install it (Debian, Ubuntu: apt-get install openjdk-17-jre-headless), or name its folder in "
    "JAVA_HOME."
)


@dataclass(frozen=True, slots=True)
class PubSubEmulator:
    """A running emulator.

    Attributes:
        host: `127.0.0.1:port`, as PUBSUB_EMULATOR_HOST wants it.
        pid: its process.
    """

    host: str
    pid: int


def find_jar(environ: Mapping[str, str] = os.environ) -> Path:
    """The emulator's jar.

    Args:
        environ: CROSSDOCK_PUBSUB_EMULATOR, PATH and HOME are read from it.

    Raises:
        EmulatorMissingError: it is nowhere, or not where CROSSDOCK_PUBSUB_EMULATOR says.
    """
    named = environ.get("CROSSDOCK_PUBSUB_EMULATOR")
    if named:
        jar = _jar_of(Path(named).expanduser())
        if jar is None:
            raise EmulatorMissingError(
                f"CROSSDOCK_PUBSUB_EMULATOR={named} is neither the Pub/Sub emulator's jar nor its "
                "start script."
            )
        return jar
    for place in _usual_places(environ):
        jar = _jar_of(place)
        if jar is not None:
            return jar
    raise EmulatorMissingError(f"Google's Pub/Sub emulator is not installed. {HOW_TO_GET_IT}")


def find_java(environ: Mapping[str, str] = os.environ) -> Path:
    """A Java that runs the emulator.

    Args:
        environ: JAVA_HOME and PATH are read from it.

    Raises:
        EmulatorMissingError: there is none, or only one that is too old.
    """
    home = environ.get("JAVA_HOME")
    named = [str(Path(home) / "bin/java")] if home else []
    on_path = shutil.which("java", path=environ.get("PATH", ""))
    seen: list[str] = []
    for candidate in [*named, *([on_path] if on_path else [])]:
        version = _java_version(candidate)
        if version >= OLDEST_JAVA:
            return Path(candidate)
        seen.append(f"{candidate} ({version or 'does not run'})")
    found = f"found only {', '.join(seen)}" if seen else "none was found"
    raise EmulatorMissingError(
        f"Google's Pub/Sub emulator needs Java {OLDEST_JAVA} or later; {found}. {HOW_TO_GET_JAVA}"
    )


def ensure_started(state_dir: Path, *, port: int | None = None) -> PubSubEmulator:
    """Start the emulator of this state folder, or return the one that runs.

    Args:
        state_dir: its log and its port are kept here.
        port: the port to take if it is free; else that of an earlier start, else any.

    Raises:
        EmulatorMissingError: it, or its Java, is not installed.
        StackError: it does not start; the text holds the end of its log.
    """
    remembered = state_dir / "pubsub" / "port"

    def serving() -> int | None:
        return int(remembered.read_text(encoding="ascii")) if remembered.exists() else None

    def start_it() -> None:
        java, jar = find_java(), find_jar()
        chosen = processes.usable_port(port or serving())
        remembered.parent.mkdir(parents=True, exist_ok=True)
        remembered.write_text(str(chosen), encoding="ascii")
        # It is small, and memory and cores are better left to MySQL.
        options = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        command = [str(java), *options, "-jar", str(jar), "--host=127.0.0.1", f"--port={chosen}"]
        processes.start(state_dir, PROCESS, command)

    pid = processes.ensure(
        state_dir,
        PROCESS,
        start_it,
        lambda: _answers(serving() or 0),
        timeout_seconds=START_SECONDS,
    )
    return PubSubEmulator(host=f"127.0.0.1:{serving()}", pid=pid)


def stop(state_dir: Path) -> bool:
    """End the emulator of this state folder; whatever it held is gone.

    Returns:
        Whether it was running.
    """
    return processes.terminate(state_dir, PROCESS)


def _usual_places(environ: Mapping[str, str]) -> Iterator[Path]:
    search_path = environ.get("PATH", "")
    gcloud = shutil.which("gcloud", path=search_path)
    if gcloud is not None:
        # .../google-cloud-sdk/bin/gcloud, behind whatever links point at it
        yield Path(gcloud).resolve().parent.parent / INSIDE_SDK
    for folder in SDK_FOLDERS:
        yield Path(folder.replace("~", environ.get("HOME", "~"), 1)) / INSIDE_SDK
    script = shutil.which("cloud-pubsub-emulator", path=search_path)
    if script is not None:
        yield Path(script)


def _jar_of(place: Path) -> Path | None:
    """The jar that a jar, the start script beside it, or the emulator's folder stands for."""
    if place.suffix == ".jar":
        return place if place.is_file() else None
    folder = place if place.is_dir() else place.resolve().parent.parent
    if not place.exists():
        return None
    return next(iter(sorted(folder.glob("lib/cloud-pubsub-emulator*.jar"), reverse=True)), None)


@functools.cache
def _java_version(java: str) -> int:
    """The major version of a Java, 0 if it does not run."""
    try:
        shown = subprocess.run(  # noqa: S603 - a Java found on this machine
            [java, "-version"], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    found = re.search(r'version "(\d+)', shown.stderr + shown.stdout)
    return int(found.group(1)) if found else 0


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
