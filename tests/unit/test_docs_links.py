"""Links between the pages: each leads to a page that is there, and to a heading that it has."""

import re

import pytest

from tests.pages import ROOT, anchors

PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("infra/**/*.md")]
LINKS = sorted(
    {
        (path.relative_to(ROOT).as_posix(), target)
        for path in PAGES
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8"))
        if not re.match(r"[a-z]+:", target)
    }
)


@pytest.mark.parametrize(("name", "target"), LINKS)
def test_a_link_leads_to_a_page_and_a_heading_that_are_there(name: str, target: str) -> None:
    place, _, anchor = target.partition("#")
    found = (ROOT / name).parent / place if place else ROOT / name
    assert found.exists()
    if anchor:
        assert anchor in anchors(found.read_text(encoding="utf-8"))
