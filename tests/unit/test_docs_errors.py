"""docs/errors.md against the catalogue."""

from infra.docs_errors import with_codes
from services.reporter.partner_view import REJECTS_NAME
from shared.errors import catalogue
from shared.events import Topic
from shared.manifest import MANIFEST_NAME
from tests.pages import ROOT, column, page, quoted, section, table

PAGES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.md"))


def test_the_page_and_the_catalogue_tell_the_same_in_the_same_order() -> None:
    text = page("docs/errors.md")
    assert with_codes(text) == text, "write it anew: python -m infra.docs_errors"


def test_every_area_of_the_catalogue_says_who_acts() -> None:
    areas = list(dict.fromkeys(code.partition(".")[0] for code in catalogue()))
    rows = table(section(page("docs/errors.md"), "## For operators"))
    assert column(rows, "area") == areas
    assert all(row["who acts"] for row in rows)


def test_no_page_names_a_code_that_does_not_exist() -> None:
    areas = {code.partition(".")[0] for code in catalogue()}
    for name in PAGES:
        for word in quoted(page(name)):
            is_code = word.partition(".")[0] in areas and "." in word
            if is_code and word not in {MANIFEST_NAME, REJECTS_NAME, *Topic}:
                assert word in catalogue(), f"{name}: {word}"
