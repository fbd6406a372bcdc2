"""The page of licences is that of the lock, and what the audit says is read right."""

from __future__ import annotations

from stack import audit, licences


def test_the_page_of_licences_is_current() -> None:
    said = dict(licences.rows_of(licences.PAGE.read_text()))
    assert sorted(said) == licences.locked(), "make licences"
    wrong = {
        key: licence for key, licence in said.items() if licences.licence_of(key[0]) not in (None, licence)
    }
    assert not wrong, "make licences"


def test_an_audit_that_looked_at_nothing_is_not_good_news() -> None:
    well = {"dependencies": [{"name": "a", "version": "1", "vulns": []}]}
    assert audit.advisories(well) == []
    bad = {
        "dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}]
    }
    assert audit.advisories(bad) == ["a 1: PYSEC-1, mended in 2"]
    assert audit.advisories({"dependencies": [{"name": "a", "skip_reason": "not found"}]}) is None
