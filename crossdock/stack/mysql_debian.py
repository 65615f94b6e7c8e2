"""Fetches the MySQL server from the distribution's own archive, without installing it.

Debian keeps MySQL in its unstable suite only, Ubuntu's newest one in its development suite. apt
itself does the work, in a private root: its own lists, an empty list of installed packages (so
that every library comes along) and one source, built from the mirror that this machine is set up
with and signed by the distribution's keyring. The packages are unpacked into a folder and run there
with their own loader and libraries, so nothing depends on what the system has, and no right is
needed.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from crossdock.stack.errors import StackError

PACKAGE = "mysql-server-core"
# What the server needs of the unpacked packages; documentation, Perl and tools stay behind.
KEPT = (
    "usr/sbin/mysqld",
    "usr/lib/*/*.so*",
    "usr/lib/mysql/plugin/*.so",
    "usr/share/mysql/charsets",
    "usr/share/mysql/english",
    "usr/share/mysql/dictionary.txt",
    "usr/share/doc/mysql-server-core/copyright",
)


@dataclass(frozen=True, slots=True)
class Distribution:
    """Where a distribution keeps a MySQL that is new enough."""

    origin: str
    suite: str
    components: str
    keyrings: tuple[str, ...]


DISTRIBUTIONS = {
    "debian": Distribution(
        origin="Debian",
        suite="unstable",
        components="main",
        keyrings=(
            "/usr/share/keyrings/debian-archive-keyring.gpg",
            "/usr/share/keyrings/debian-archive-keyring.pgp",
        ),
    ),
    "ubuntu": Distribution(
        origin="Ubuntu",
        suite="devel",
        components="main universe",
        keyrings=("/usr/share/keyrings/ubuntu-archive-keyring.gpg",),
    ),
}


def fetch(cache: Path, progress: Callable[[str], None]) -> Path:
    """Fetch the server into `cache/mysql-<version>`.

    The folder appears under its name only when it is complete. The caller holds the cache's lock.

    Args:
        cache: the folder of all versions.
        progress: told what is being done.

    Returns:
        The folder.

    Raises:
        StackError: this machine's distribution offers none, or the fetching failed.
    """
    release = os_release()
    distribution = _distribution(release)
    for tool in ("apt-get", "dpkg", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise StackError(f"{tool} is not installed, so no package can be fetched.")
    cache.mkdir(parents=True, exist_ok=True)
    for leftover in cache.glob(".fetch-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache) as private:
        root = Path(private)
        mirrors = _mirrors(distribution, release)
        _download(root, distribution, mirrors, progress)
        packages = sorted((root / "cache/archives").glob("*.deb"))
        progress(f"MySQL: unpacking {len(packages)} packages")
        version = _unpack(packages, root / "all")
        _keep_needed(root / "all", root / "kept")
        target = cache / f"mysql-{version}"
        if target.exists():
            shutil.rmtree(target)
        (root / "kept").rename(target)
    return target


def os_release(path: Path = Path("/etc/os-release")) -> dict[str, str]:
    """The machine's own description of its distribution; empty where there is none."""
    if not path.exists():
        return {}
    pairs = (line.partition("=") for line in path.read_text(encoding="utf-8").splitlines())
    return {name: value.strip("\"'") for name, separator, value in pairs if separator}


def choose_mirrors(lines: Iterable[str], origin: str, codename: str) -> list[str]:
    """The archives to try, most likely first, out of what apt says of its sources.

    Before the first `apt-get update` apt does not know an archive's origin, only its address and
    suite; the keyring then decides which one is the distribution's.

    Args:
        lines: one source a line: address, origin, suite and component, tab between.
        origin: the distribution as its archives call it.
        codename: the release that this machine runs.
    """
    certain: list[str] = []
    likely: list[str] = []
    for line in lines:
        site, source_origin, suite, component = (line.split("\t") + [""] * 4)[:4]
        if component != "main":
            continue
        if source_origin == origin:
            certain.append(site)
        elif not source_origin or source_origin.startswith("$("):
            likely.insert(0 if suite == codename else len(likely), site)
    return list(dict.fromkeys(certain + likely))


def _distribution(release: dict[str, str]) -> Distribution:
    names = [release.get("ID", ""), *release.get("ID_LIKE", "").split()]
    for name in names:
        if name in DISTRIBUTIONS:
            return DISTRIBUTIONS[name]
    system = release.get("PRETTY_NAME", "this system")
    raise StackError(f"{system} is neither Debian nor Ubuntu, so none can be fetched.")


def _mirrors(distribution: Distribution, release: dict[str, str]) -> list[str]:
    fields = "$(SITE)\t$(ORIGIN)\t$(RELEASE)\t$(COMPONENT)"
    lines: list[str] = []
    # With the lists of an earlier update apt knows the origins; without, only the addresses.
    for option in ("--release-info", "--no-release-info"):
        shown = _run("apt-get", "indextargets", option, "--format", fields, "Created-By: Packages")
        lines += shown.splitlines()
    codename = release.get("UBUNTU_CODENAME") or release.get("VERSION_CODENAME", "")
    mirrors = choose_mirrors(lines, distribution.origin, codename)
    if not mirrors:
        raise StackError(
            f"apt has no source of {distribution.origin}'s archive (apt-get indextargets)."
        )
    return mirrors


def _download(
    root: Path, distribution: Distribution, mirrors: list[str], progress: Callable[[str], None]
) -> None:
    """Download the server and all that it needs into `root`, from the first mirror that has it."""
    keyring = next((path for path in distribution.keyrings if Path(path).exists()), None)
    if keyring is None:
        raise StackError(f"the keyring {distribution.keyrings[0]} is missing.")
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (root / folder).mkdir(parents=True)
    (root / "status").touch()
    failures: list[str] = []
    for mirror in mirrors:
        source = (
            f"deb [signed-by={keyring}] {mirror} {distribution.suite} {distribution.components}"
        )
        (root / "sources.list").write_text(source + "\n", encoding="utf-8")
        progress(f"MySQL: reading {distribution.origin}'s {distribution.suite} package lists")
        try:
            _apt(root, "update")
            progress(f"MySQL: downloading {PACKAGE} and its libraries (about 60 MB)")
            _apt(root, "install", "--yes", "--download-only", PACKAGE)
        except StackError as error:
            failures.append(str(error))
        else:
            return
    raise StackError("\n".join(failures))


def _apt(root: Path, *arguments: str) -> None:
    options = {
        "Dir::Etc::sourcelist": root / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::Etc::preferences": "-",
        "Dir::Etc::preferencesparts": "-",
        "Dir::State": root / "state",
        "Dir::State::lists": root / "state/lists",
        "Dir::State::status": root / "status",
        "Dir::State::extended_states": root / "state/extended_states",
        "Dir::Cache": root / "cache",
        "Dir::Cache::archives": root / "cache/archives",
        "APT::Install-Recommends": "false",
        "APT::Get::List-Cleanup": "false",
        "APT::Update::Error-Mode": "any",
        "APT::Sandbox::User": pwd.getpwuid(os.getuid()).pw_name if os.getuid() else "root",
        # A suite that moves is often older at a mirror than its own expiry date.
        "Acquire::Check-Valid-Until": "false",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    given = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
    _run("apt-get", *given, "-q", *arguments)


def _unpack(packages: list[Path], target: Path) -> str:
    """Unpack all packages into one folder.

    Returns:
        The upstream version of the server among them.

    Raises:
        StackError: the server is not among them, or is too old to be packaged as such.
    """
    target.mkdir()
    version = ""
    for package in packages:
        _run("dpkg-deb", "--extract", str(package), str(target))
        if package.name.startswith(f"{PACKAGE}_"):
            version = _run("dpkg-deb", "--field", str(package), "Version").strip()
    if not version:
        raise StackError(f"apt downloaded no {PACKAGE}.")
    return version.partition(":")[2] if ":" in version else version


def _keep_needed(unpacked: Path, kept: Path) -> None:
    for pattern in KEPT:
        for source in list(unpacked.glob(pattern)):
            target = kept / source.relative_to(unpacked)
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)


def _run(*command: str) -> str:
    """Run a tool of the distribution.

    Raises:
        StackError: it failed; the text holds what it printed.
    """
    done = subprocess.run(  # noqa: S603 - the distribution's own tools
        command,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
    )
    if done.returncode != 0:
        printed = "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise StackError(f"{command[0]} {command[-1]} failed:\n{printed}")
    return done.stdout
