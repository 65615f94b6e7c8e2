"""What an installation without the repository gets."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.drops import Drop

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("crossdock", "services", "shared", "infra")
# `make setup` runs the one, from the repository; the image has the others.
ONLY_IN_THE_REPOSITORY = {
    "crossdock/stack/setup.sh",
    "infra/containers/bin/crossdock",
    "infra/containers/bin/service",
}
# A process that ends where it reaches for the network.
OFFLINE = """
import sys

def refuse(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}:
        sys.exit(f"{event} {arguments}")

sys.addaudithook(refuse)
from crossdock.cli import main
main()
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    """The wheel, and the files that it was built from."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    shutil.copy(ROOT / "pyproject.toml", source)
    for package in PACKAGES:
        unwanted = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, source / package, ignore=unwanted)
    wanted = {
        path.relative_to(source).as_posix()
        for package in PACKAGES
        for path in (source / package).rglob("*")
        if path.is_file() and "terraform" not in path.parts
    }

    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    options = ["--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run([*pip, "wheel", *options, str(source)], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel, wanted


def test_a_built_wheel_holds_every_module_statement_and_catalogue(
    built: tuple[Path, set[str]],
) -> None:
    wheel, wanted = built
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == wanted - ONLY_IN_THE_REPOSITORY


def test_an_installation_alone_checks_a_drop_without_network_or_list_of_partners(
    built: tuple[Path, set[str]], tmp_path: Path
) -> None:
    wheel, _ = built
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    drop = Drop()
    folder = drop.write(tmp_path)

    def check() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", OFFLINE, "check", str(folder)],
            cwd=tmp_path,
            env={"PYTHONPATH": str(tmp_path / "installed")},
            capture_output=True,
            text=True,
            check=False,
        )

    assert "would be taken" in check().stdout
    (folder / "customers.csv").write_bytes(b"other bytes")
    spoilt = check()
    assert spoilt.returncode == 3
    assert "file.checksum_mismatch" in spoilt.stdout
