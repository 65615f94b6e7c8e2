"""Where the stack's programs are looked for, and what is said when they are missing."""

from pathlib import Path

import pytest

from crossdock.stack import mysql_binaries, mysql_debian, pubsub_emulator
from crossdock.stack.errors import EmulatorMissingError, StackError

JAR = "cloud-pubsub-emulator-0.8.20-all.jar"


def program(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def emulator_in(sdk: Path) -> Path:
    program(sdk / "platform/pubsub-emulator/bin/cloud-pubsub-emulator")
    return program(sdk / "platform/pubsub-emulator/lib" / JAR)


def java(path: Path, version: str) -> Path:
    return program(path, f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-04-15' >&2\n")


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A machine with no SDK in any of the usual folders."""
    home_folders = tuple(folder for folder in pubsub_emulator.SDK_FOLDERS if folder.startswith("~"))
    monkeypatch.setattr(pubsub_emulator, "SDK_FOLDERS", home_folders)
    return {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path / "home")}


def test_the_setting_may_name_the_jar_the_start_script_or_the_folder(
    tmp_path: Path, bare: dict[str, str]
) -> None:
    jar = emulator_in(tmp_path / "sdk")
    folder = jar.parent.parent
    for named in (jar, folder, folder / "bin/cloud-pubsub-emulator"):
        environ = {**bare, "CROSSDOCK_PUBSUB_EMULATOR": str(named)}
        assert pubsub_emulator.find_jar(environ) == jar


def test_a_setting_that_names_nothing_is_an_error_even_where_another_emulator_is_installed(
    tmp_path: Path, bare: dict[str, str]
) -> None:
    emulator_in(Path(bare["HOME"]) / "google-cloud-sdk")
    environ = {**bare, "CROSSDOCK_PUBSUB_EMULATOR": str(tmp_path / "nowhere")}
    with pytest.raises(EmulatorMissingError, match="CROSSDOCK_PUBSUB_EMULATOR"):
        pubsub_emulator.find_jar(environ)


def test_the_emulator_is_found_in_the_sdk_that_a_linked_gcloud_belongs_to(
    tmp_path: Path, bare: dict[str, str]
) -> None:
    jar = emulator_in(tmp_path / "sdk")
    gcloud = program(tmp_path / "sdk/bin/gcloud")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/gcloud").symlink_to(gcloud)
    assert pubsub_emulator.find_jar(bare) == jar


def test_the_emulator_is_found_in_the_home_folder_without_gcloud(bare: dict[str, str]) -> None:
    jar = emulator_in(Path(bare["HOME"]) / "google-cloud-sdk")
    assert pubsub_emulator.find_jar(bare) == jar


def test_the_emulator_is_found_by_its_start_script_on_the_path(
    tmp_path: Path, bare: dict[str, str]
) -> None:
    jar = emulator_in(tmp_path / "elsewhere")
    (tmp_path / "bin").mkdir()
    script = tmp_path / "elsewhere/platform/pubsub-emulator/bin/cloud-pubsub-emulator"
    (tmp_path / "bin/cloud-pubsub-emulator").symlink_to(script)
    assert pubsub_emulator.find_jar(bare) == jar


def test_a_machine_without_the_emulator_is_told_how_to_get_it(bare: dict[str, str]) -> None:
    with pytest.raises(EmulatorMissingError, match="gcloud components install pubsub-emulator"):
        pubsub_emulator.find_jar(bare)


def test_java_home_comes_before_the_path(tmp_path: Path, bare: dict[str, str]) -> None:
    chosen = java(tmp_path / "jdk/bin/java", "21.0.1")
    java(tmp_path / "bin/java", "17.0.15")
    assert pubsub_emulator.find_java({**bare, "JAVA_HOME": str(tmp_path / "jdk")}) == chosen


def test_an_old_java_home_gives_way_to_a_newer_java_on_the_path(
    tmp_path: Path, bare: dict[str, str]
) -> None:
    java(tmp_path / "jdk/bin/java", "1.8.0_402")
    chosen = java(tmp_path / "bin/java", "17.0.15")
    assert pubsub_emulator.find_java({**bare, "JAVA_HOME": str(tmp_path / "jdk")}) == chosen


def test_a_java_that_is_too_old_is_named_in_the_error(tmp_path: Path, bare: dict[str, str]) -> None:
    old = java(tmp_path / "bin/java", "11.0.2")
    with pytest.raises(EmulatorMissingError, match=f"{old} \\(11\\).*openjdk-17"):
        pubsub_emulator.find_java(bare)


@pytest.mark.parametrize(
    ("shown", "refusal"),
    [
        ("/usr/sbin/mysqld  Ver 8.4.5 for Linux on x86_64 (MySQL Community Server - GPL)", None),
        ("/usr/sbin/mysqld  Ver 9.7.4-2 for Linux on x86_64 ((Debian))", None),
        ("mysqld  Ver 10.11.6-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64", "MariaDB"),
        ("mysqld  Ver 8.0.42-0ubuntu0.24.04.1 for Linux on x86_64 ((Ubuntu))", "8.0.42"),
        ("something else", "unknown"),
        (None, "does not run"),
    ],
)
def test_only_a_mysql_that_is_new_enough_serves(shown: str | None, refusal: str | None) -> None:
    found = mysql_binaries.why_unusable(shown)
    assert found is None if refusal is None else refusal in (found or "")


def test_the_distributions_own_archive_is_tried_before_others_of_the_same_release() -> None:
    lines = [
        "http://sdk.example/apt\tOther\tcloud-bookworm\tmain",
        "http://mirror.example/debian\tDebian\tbookworm\tmain",
        "http://mirror.example/debian\tDebian\tbookworm-updates\tmain",
    ]
    assert mysql_debian.choose_mirrors(lines, "Debian", "bookworm") == [
        "http://mirror.example/debian"
    ]


def test_before_the_first_update_the_archive_of_the_own_release_is_tried_first() -> None:
    lines = [
        "http://sdk.example/apt\t\tcloud-bookworm\tmain",
        "http://mirror.example/debian\t\tbookworm\tmain",
        "http://mirror.example/debian\t\tbookworm\tcontrib",
        "http://security.example/debian\t\tbookworm-security\tmain",
    ]
    mirrors = mysql_debian.choose_mirrors(lines, "Debian", "bookworm")
    assert mirrors[0] == "http://mirror.example/debian"


def test_a_distribution_that_has_no_mysql_is_told_so_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql_debian, "os_release", lambda: {"ID": "void", "PRETTY_NAME": "Void"})
    with pytest.raises(StackError, match="Void is neither Debian nor Ubuntu"):
        mysql_debian.fetch(tmp_path, lambda _line: None)


def test_a_quoted_value_of_the_distributions_description_is_read_without_its_quotes(
    tmp_path: Path,
) -> None:
    described = tmp_path / "os-release"
    described.write_text("ID=debian\nPRETTY_NAME=\"Debian 12\"\nHOME_URL='x'\nnonsense\n")
    read = mysql_debian.os_release(described)
    assert read == {"ID": "debian", "PRETTY_NAME": "Debian 12", "HOME_URL": "x"}
