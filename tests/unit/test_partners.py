"""Who may speak for which source_system, and how many rejects a partner may have."""

from decimal import Decimal
from pathlib import Path

import pytest

from shared.errors import Rejected
from shared.partners import Partners, PartnersError, RejectLimit, load_partners

REPOSITORY = Path(__file__).resolve().parents[2]
ACME = """
[partners.acme]
folder = "acme"
source_system = "AcmeERP"
contacts = ["data@acme.example", "ops@acme.example"]
reject_limit_percent = 0.5
"""


def partners_of(text: str, folder: Path) -> Partners:
    path = folder / "partners.toml"
    path.write_text(text, encoding="utf-8")
    return load_partners(path)


def refusal_of(partners: Partners, folder: str) -> str:
    with pytest.raises(Rejected) as caught:
        partners.source_system_of(folder)
    return caught.value.failure.code


def test_a_known_folder_speaks_for_its_source_system_only(tmp_path: Path) -> None:
    partners = partners_of(ACME, tmp_path)

    assert partners.source_system_of("acme") == "AcmeERP"
    assert partners.partners["acme"].contacts == ("data@acme.example", "ops@acme.example")
    assert partners.reject_limit("acme") == RejectLimit(Decimal("0.5"))


def test_an_unknown_folder_speaks_for_its_own_name_unless_the_file_says_otherwise(
    tmp_path: Path,
) -> None:
    assert partners_of("", tmp_path).source_system_of("globex") == "globex"
    assert partners_of('unknown_folders = "own-name"', tmp_path).source_system_of("a") == "a"
    refusing = partners_of('unknown_folders = "refuse"' + ACME, tmp_path)
    assert refusal_of(refusing, "globex") == "partner.unknown"
    assert refusing.source_system_of("acme") == "AcmeERP"


def test_an_unknown_folder_never_speaks_for_another_partners_source_system(tmp_path: Path) -> None:
    assert refusal_of(partners_of(ACME, tmp_path), "AcmeERP") == "partner.unknown"


@pytest.mark.parametrize("folder", ["acme.v2", "", "a" * 51, "\xe9", "acme\n", "a b"])
def test_an_unknown_folder_whose_name_is_no_source_system_is_refused(
    tmp_path: Path, folder: str
) -> None:
    assert refusal_of(partners_of(ACME, tmp_path), folder) == "partner.unknown"


def test_an_unknown_folder_has_the_contracts_limit_and_no_contacts() -> None:
    assert Partners().reject_limit("globex") == RejectLimit(Decimal(1))


@pytest.mark.parametrize("name", ["acme", "acme.v2", "0_a-b", "a" * 100])
def test_a_name_of_the_allowed_characters_can_be_a_folders(name: str) -> None:
    assert Partners().is_folder(name)


@pytest.mark.parametrize("name", ["", "a" * 101, ".a", "a/b", "a b", "a\n", "\uff41", "\xe9"])
def test_any_other_name_cannot(name: str) -> None:
    assert not Partners().is_folder(name)


@pytest.mark.parametrize(
    ("rows", "rejected", "fails"),
    [
        (5, 5, False),
        (100, 9, False),
        (100, 10, True),
        (999, 10, True),
        (1000, 10, False),
        (1000, 11, True),
        (2_000_000, 20_000, False),
        (2_000_000, 20_001, True),
        (0, 0, False),
    ],
)
def test_more_than_one_percent_but_at_least_ten_fails_a_load(
    rows: int, rejected: int, *, fails: bool
) -> None:
    if not fails:
        RejectLimit().check("vehicles.csv", rows=rows, rejected=rejected)
        return
    with pytest.raises(Rejected, match=rf"{rejected} of {rows} rows") as caught:
        RejectLimit().check("vehicles.csv", rows=rows, rejected=rejected)
    assert caught.value.failure.code == "rejects.over_limit"
    assert caught.value.failure.file == "vehicles.csv"


@pytest.mark.parametrize(
    ("percent", "fails"), [("0.5", True), ("1.1", False), ("0", True), ("100", False)]
)
def test_a_partners_own_limit_counts(percent: str, *, fails: bool) -> None:
    limit = RejectLimit(Decimal(percent))
    try:
        limit.check("vehicles.csv", rows=1000, rejected=11)
    except Rejected:
        assert fails
    else:
        assert not fails


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('unknown_folders = "allow"', "unknown_folders"),
        ("strict = true", "strict"),
        ('[partners.a]\nfolder = "a"', "partners.a.source_system"),
        ('[partners.a]\nsource_system = "a"', "partners.a.folder"),
        ('[partners.a]\nfolder = "a/b"\nsource_system = "a"', "partners.a.folder"),
        ('[partners.a]\nfolder = "a\\n"\nsource_system = "a"', "partners.a.folder"),
        ('[partners.a]\nfolder = "a"\nsource_system = "a.b"', "partners.a.source_system"),
        ('[partners.a]\nfolder = "a"\nsource_system = "a"\ncontacts = "x"', "partners.a.contacts"),
        ('[partners.a]\nfolder = "a"\nsource_system = "a"\nlimit = 1', "partners.a.limit"),
        (ACME.replace("0.5", "101"), "partners.acme.reject_limit_percent"),
        (ACME.replace("0.5", "-1"), "partners.acme.reject_limit_percent"),
        (ACME + ACME.replace("partners.acme", "partners.b").replace("ERP", ""), "folder 'acme'"),
        (
            ACME + ACME.replace("partners.acme", "partners.b").replace('"acme"', '"b"'),
            "source_system 'AcmeERP'",
        ),
        ("[partners", "no TOML"),
    ],
)
def test_a_mistake_in_the_file_stops_with_its_place(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(PartnersError) as caught:
        partners_of(text, tmp_path)

    assert named in str(caught.value)
    assert str(tmp_path / "partners.toml") in str(caught.value)


def test_several_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(PartnersError, match=r"(?s)unknown_folders.*partners\.a\.folder"):
        partners_of('unknown_folders = "x"\n[partners.a]\nsource_system = "a"', tmp_path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PartnersError, match=r"nowhere\.toml cannot be read: No such file"):
        load_partners(tmp_path / "nowhere.toml")


def test_the_file_that_the_project_ships_lets_each_folder_speak_for_its_own_name() -> None:
    assert load_partners(REPOSITORY / "partners.toml") == Partners()


def test_the_commented_example_is_a_partner(tmp_path: Path) -> None:
    text = (REPOSITORY / "partners.toml").read_text(encoding="utf-8")
    example = text.split("\n\n")[-1].replace("# ", "", 1).replace("\n# ", "\n")

    assert partners_of(example, tmp_path).source_system_of("acme") == "AcmeERP"
