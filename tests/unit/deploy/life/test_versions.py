from __future__ import annotations

import pytest

from planton_build.deploy.life.record import BuildRecord
from planton_build.deploy.life.versions import PublishedVersion, find_version, modified_at, shares_of
from planton_build.errors import VersionUnknown


def version(number: str, digest: str = "", commit: str = "") -> PublishedVersion:
    record = BuildRecord(commit=commit) if commit else None
    return PublishedVersion(number, digest.ljust(64, "0") if digest else None, "", record, "")


VERSIONS = [
    version("12345678", "aaaabbbb1"),
    version("3", "12345678cc", "abcdef0123"),
    version("2", "aaaabbbb2", "abcdef0999"),
    version("1"),
]


@pytest.mark.parametrize(
    ("wanted", "number"),
    [
        ("3", "3"),
        ("12345678", "12345678"),
        ("sha256:12", "3"),
        ("12345678c", "3"),
        ("AAAABBBB1", "12345678"),
        ("abcdef09", "2"),
        ("sha256:aaaabbbb2", "2"),
    ],
)
def test_a_version_is_found_by_number_digest_or_commit(wanted: str, number: str) -> None:
    assert find_version(VERSIONS, wanted).number == number


@pytest.mark.parametrize("wanted", ["4", "sha256:ff", "ffffffff", "abcde", "$LATEST", "live", "", "1234567"])
def test_what_names_no_version_is_refused(wanted: str) -> None:
    with pytest.raises(VersionUnknown, match="no published version is"):
        find_version(VERSIONS, wanted)


@pytest.mark.parametrize(("wanted", "numbers"), [("aaaabbbb", "12345678, 2"), ("abcdef0", "3, 2")])
def test_what_names_several_versions_is_refused_with_all_of_them(wanted: str, numbers: str) -> None:
    with pytest.raises(VersionUnknown, match=f"may be any of 2 versions: {numbers}"):
        find_version(VERSIONS, wanted)


def test_without_versions_that_is_said() -> None:
    with pytest.raises(VersionUnknown, match="there are none"):
        find_version([], "1")


def test_shares_of_an_alias_sum_to_one() -> None:
    alias = {"FunctionVersion": "3", "RoutingConfig": {"AdditionalVersionWeights": {"4": 0.1}}}
    assert shares_of(alias) == {"3": 0.9, "4": 0.1}
    assert shares_of({"FunctionVersion": "3"}) == {"3": 1.0}


def test_lambdas_times_are_read() -> None:
    found = modified_at("2026-11-25T16:40:12.123+0000")
    assert found is not None and found.isoformat() == "2026-11-25T16:40:12.123000+00:00"
    assert modified_at("yesterday") is None
