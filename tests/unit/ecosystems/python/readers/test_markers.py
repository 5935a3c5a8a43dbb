"""Markers with a set of chosen extras."""

from __future__ import annotations

import pytest

from planton_build.ecosystems.python.readers.markers import applies
from planton_build.errors import DependencyInputInvalid
from planton_build.runtimes.catalog import target_for

ARM = target_for("python3.13", "arm64")


@pytest.mark.parametrize(
    ("marker", "extras", "holds"),
    [
        ('extra == "a"', ("a", "b"), True),
        ('extra == "a"', (), False),
        ("extra == 'A_b'", ("a-b",), True),
        ('extra == "a" and extra == "b"', ("a", "b"), True),
        ('extra == "a" and extra != "b"', ("a", "b"), False),
        ('extra == "a" and extra != "b"', ("a",), True),
        ('"a" == extra or "c" != extra', ("c",), False),
        ('platform_machine == "aarch64" and (extra == "a" or python_version < "3")', ("a",), True),
        ('python_full_version >= "3.13" and sys_platform == "linux"', (), True),
    ],
)
def test_extras_are_a_set(marker: str, extras: tuple[str, ...], holds: bool) -> None:
    assert applies(marker, ARM, extras) is holds


@pytest.mark.parametrize("marker", ["nonsense", 'extra == "a', "os_name >", "(" * 2000])
def test_what_is_no_marker_is_refused(marker: str) -> None:
    with pytest.raises(DependencyInputInvalid, match="is not an environment marker"):
        applies(marker, ARM)
