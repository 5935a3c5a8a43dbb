from __future__ import annotations

import pytest

from planton_build.runtimes.catalog import runtimes, target_for
from planton_build.runtimes.libraries import libraries_of
from planton_build.runtimes.target import Architecture

BUILDABLE = [name for name, row in runtimes().items() if row.system != "al1"]


@pytest.mark.parametrize("runtime", BUILDABLE)
@pytest.mark.parametrize("architecture", ["x86_64", "arm64"])
def test_every_runtime_has_the_libraries_that_all_code_needs(
    runtime: str, architecture: Architecture
) -> None:
    found = libraries_of(target_for(runtime, architecture))
    loader = "ld-linux-x86-64.so.2" if architecture == "x86_64" else "ld-linux-aarch64.so.1"
    assert {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6", "libz.so.1", loader} <= found.sure
    assert not found.sure & found.image
    for certain, newest in found.versions.values():
        assert tuple(map(int, certain.split("."))) <= tuple(map(int, newest.split(".")))


def test_systems_differ() -> None:
    old, new = (libraries_of(target_for(name, "x86_64")) for name in ("python3.11", "python3.13"))
    assert old.versions["libstdc++.so.6", "GLIBCXX"] == ("3.4.24", "3.4.24")
    assert new.versions["libstdc++.so.6", "GLIBCXX"] == ("3.4.29", "3.4.33")
    assert "libnsl.so.1" in old.sure
    assert "libnsl.so.1" not in new.sure | new.image


def test_what_functions_are_known_to_lack_is_nowhere() -> None:
    for name in ("python3.11", "python3.13"):
        found = libraries_of(target_for(name, "arm64"))
        assert not {"libGL.so.1", "libX11.so.6", "libgomp.so.1", "libexpat.so.1"} & (found.sure | found.image)


def test_python_runtimes_bring_python_and_the_sdk() -> None:
    found = libraries_of(target_for("python3.13", "arm64"))
    assert {"libpython3.13.so.1.0", "libpython3.so"} <= found.sure
    assert {"boto3", "botocore", "urllib3"} <= found.packages
    assert "setuptools" not in found.packages
    assert "setuptools" in libraries_of(target_for("python3.11", "arm64")).packages
    other = libraries_of(target_for("provided.al2023", "arm64"))
    assert not other.packages
    assert not [name for name in other.sure if "python" in name]
