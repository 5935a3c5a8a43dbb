from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from planton_build.archive.member import Member
from planton_build.audit.closure import closure_findings
from planton_build.audit.findings import AuditFinding
from planton_build.cache import Store
from planton_build.errors import ArchiveInvalid
from planton_build.runtimes.catalog import target_for
from planton_build.runtimes.target import Target

Make = Callable[..., Member]
Close = Callable[..., list[AuditFinding]]

TARGET = target_for("python3.13", "arm64")


@pytest.fixture
def package(make: Make) -> Make:
    """Return a function that makes a package's METADATA: `package("Foo", "1.0", "bar>=2", extras=[...])`."""

    def made(name: str, version: str, *requires: str, folder: str = "") -> Member:
        lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {line}" for line in requires)]
        text = "Metadata-Version: 2.1\n" + "\n".join(lines) + "\n\nRequires-Dist: not-a-header\n"
        path = f"{folder}{name}-{version}.dist-info/METADATA"
        return make(path, text.encode(), origin=name.lower())

    return made


@pytest.fixture
def close(store: Store) -> Close:
    def closed(
        *members: Member,
        versions: Mapping[str, str] | None = None,
        target: Target = TARGET,
        layers: Collection[str] | None = (),
    ) -> list[AuditFinding]:
        return closure_findings(members, versions or {}, target, store=store, layer_packages=layers)

    return closed


def messages(found: Sequence[AuditFinding]) -> list[str]:
    return [one.message for one in found]


def test_what_is_there_in_the_right_version_is_fine(close: Close, package: Make) -> None:
    assert close(package("Foo", "1.0", "Bar_Baz>=2,<3"), package("bar-baz", "2.5rc1")) == []


def test_a_missing_package_is_named_with_who_requires_it(close: Close, package: Make) -> None:
    (found,) = close(package("Foo", "1.0", "Bar_Baz (>=2)"))
    assert (found.rule, found.subject, found.package, found.level) == (
        *("requirement", "bar-baz", "foo", "failure"),
    )
    assert found.message == ("foo requires Bar_Baz>=2, and neither the artifact nor python3.13 has it")
    assert "add bar-baz" in found.hint


def test_a_wrong_version_is_a_finding(close: Close, package: Make) -> None:
    (found,) = close(package("foo", "1.0", "bar<2"), package("bar", "2.1"))
    assert found.rule == "requirement-version"
    assert found.message == "foo requires bar<2, and the artifact has bar 2.1"


def test_markers_are_those_of_the_target(close: Close, package: Make) -> None:
    foo = package(
        "foo",
        "1.0",
        'on-windows; sys_platform == "win32"',
        'on-arm; platform_machine == "aarch64"',
        'on-old; python_version < "3.12"',
    )
    assert [one.subject for one in close(foo)] == ["on-arm"]
    other = target_for("python3.11", "x86_64")
    assert [one.subject for one in close(foo, target=other)] == ["on-old"]


def test_extras_count_only_when_asked_for_and_in_turn(close: Close, package: Make) -> None:
    foo = package("foo", "1.0", 'deep; extra == "all"', 'foo[All]; extra == "every"')
    assert close(foo) == []
    user = package("user", "1.0", "foo[every]>=1")
    assert [one.subject for one in close(foo, user)] == ["deep"]
    assert close(foo, user, package("deep", "1")) == []


def test_what_the_runtime_brings_counts_by_name(close: Close, package: Make) -> None:
    foo = package("foo", "1.0", "boto3>=99", "python-dateutil", "urllib3", "setuptools")
    assert [one.subject for one in close(foo)] == ["setuptools"]
    assert close(foo, target=target_for("python3.11", "arm64")) == []
    assert [one.subject for one in close(foo, package("boto3", "1.0"))] == ["boto3", "setuptools"]


def test_packages_without_metadata_count_by_what_is_known_of_them(close: Close, package: Make) -> None:
    foo = package("foo", "1.0", "bar>=2")
    assert close(foo, versions={"bar": "2.0"}) == []
    assert close(foo, versions={"bar": ""}) == []
    assert [one.rule for one in close(foo, versions={"bar": "1.0"})] == ["requirement-version"]


def test_layers_may_have_it(close: Close, package: Make) -> None:
    foo = package("foo", "1.0", "bar")
    assert [one.level for one in close(foo, layers=["bar"])] == ["note"]
    assert [one.level for one in close(foo, layers=None)] == ["note"]
    assert [one.level for one in close(foo, layers=["other"])] == ["failure"]


def test_metadata_of_what_a_package_brings_for_itself_is_not_read(close: Close, package: Make) -> None:
    assert close(package("inner", "1.0", "missing", folder="setuptools/_vendor/")) == []
    assert len(close(package("inner", "1.0", "missing", folder="python/"))) == 1
    assert len(close(package("inner", "1.0", "missing", folder="python/lib/python3.13/site-packages/"))) == 1


@pytest.mark.parametrize("line", ["bar >dev", "", "@@", 'bar; python_version ~= "x"', 'bar; wrong == "x"'])
def test_lines_that_mean_nothing_are_passed_over(line: str, close: Close, package: Make) -> None:
    found = close(package("foo", "1.0", line, "other"))
    assert "other" in [one.subject for one in found]


def test_metadata_without_a_name_is_refused(close: Close, make: Make) -> None:
    with pytest.raises(ArchiveInvalid, match="names no package"):
        close(make("foo-1.dist-info/METADATA", b"Version: 1\n"))


def test_the_second_time_no_file_is_opened(close: Close, package: Make) -> None:
    members = [package("foo", "1.0", "bar", "boto3"), package("x", "1", "foo>=2")]
    first = close(*members)
    again = close(*(replace(member, file=Path("gone")) for member in members))
    assert again == first
    assert len(first) == 2
