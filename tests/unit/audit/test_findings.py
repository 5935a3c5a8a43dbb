from __future__ import annotations

from pathlib import Path

import pytest

from planton_build.audit.findings import AuditFinding, AuditReport, raise_for, report_of
from planton_build.errors import ConfigInvalid, DependencyMissing, NativeCodeUnloadable

LIBRARY = AuditFinding("library", "libx.so.1", "p", "p/a.so needs libx.so.1", "bring it", files=("p/a.so",))
GLIBC = AuditFinding("glibc", "q/b.so", "q", "q/b.so needs GLIBC_2.40", "rebuild", files=("q/b.so",))
MISSING = AuditFinding("requirement", "bar", "foo", "foo requires bar", "add bar")
ZIP = Path("function.zip")


def test_findings_and_notes_are_apart_and_sorted() -> None:
    note = AuditFinding("library", "liby.so", "a", "perhaps", "", "note")
    report = report_of([GLIBC, note, LIBRARY, MISSING], {})
    assert report.findings == (MISSING, LIBRARY, GLIBC)
    assert report.notes == (note,)


@pytest.mark.parametrize("name", ["libx.so.1", "libx.so*", "p/a.so", "p/*"])
def test_an_exception_makes_a_note_that_says_the_reason(name: str) -> None:
    report = report_of([LIBRARY, GLIBC], {name: "loaded by hand"})
    assert report.findings == (GLIBC,)
    (note,) = report.notes
    assert note.message == "p/a.so needs libx.so.1; allowed: loaded by hand"


def test_a_note_needs_no_exception_and_uses_one() -> None:
    note = AuditFinding("library", "liby.so", "a", "perhaps", "", "note")
    assert report_of([note], {"liby.so": "why"}).notes == (note,)


def test_an_exception_of_one_file_leaves_the_others_of_its_package() -> None:
    other = AuditFinding("library", "libx.so.1", "p", "p/b.so needs libx.so.1", "bring it", files=("p/b.so",))
    report = report_of([LIBRARY, other], {"p/a.so": "never imported"})
    assert [one.files for one in report.findings] == [("p/b.so",)]
    assert [one.files for one in report.notes] == [("p/a.so",)]


def test_an_exception_that_excuses_nothing_is_told() -> None:
    report = report_of([], {"libold.so": "gone since"})
    (note,) = report.notes
    assert (note.rule, note.subject) == ("unused-exception", "libold.so")
    assert "gone since" in note.message


@pytest.mark.parametrize("allow", [{"libx.so": ""}, {"libx.so": "  "}, {"": "why"}])
def test_an_exception_needs_a_name_and_a_reason(allow: dict[str, str]) -> None:
    with pytest.raises(ConfigInvalid):
        report_of([], allow)


def test_the_error_has_all_findings_with_codes_of_their_own() -> None:
    raise_for(AuditReport((), (LIBRARY,)), ZIP)
    with pytest.raises(NativeCodeUnloadable) as caught:
        raise_for(AuditReport((MISSING, LIBRARY), ()), ZIP)
    assert [(one.code, one.rule, one.file) for one in caught.value.findings] == [
        ("dependency_missing", "requirement", ZIP),
        ("native_code_unloadable", "library", ZIP),
    ]
    assert caught.value.findings[1].hint == "bring it"
    with pytest.raises(DependencyMissing, match="foo requires bar"):
        raise_for(AuditReport((MISSING,), ()), ZIP)
