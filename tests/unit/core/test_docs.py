"""The reference is what the code says, and every link in the documentation leads somewhere."""

from __future__ import annotations

import re

from stack import reference
from stack.reference import ROOT


def test_the_reference_is_current() -> None:
    for path, page in reference.PAGES.items():
        assert path.read_text() == page(), f"{path.name} is old: make reference"


def test_every_setting_is_in_the_example_or_is_nobodys_business() -> None:
    """What a deployment may set is in `.env.example`; compose.yaml gives the rest."""
    example = (ROOT / ".env.example").read_text() + (ROOT / "compose.yaml").read_text()
    of_tests = {"PAYDESK_FAULT_DIR", "DEBUG", "LOG_JSON"}
    read = set(re.findall(r"^\| `([A-Z_]+)`", reference.settings_page(), re.MULTILINE))
    assert {name for name in read if name not in example} - of_tests == set()


def test_every_link_leads_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in pages
        for link in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text())
        if "://" not in link and not (page.parent / link).exists()
    ]
    assert broken == []
