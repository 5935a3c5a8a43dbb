"""Requirements that are pinned with hashes already."""

from __future__ import annotations

from pathlib import Path

import pytest

from planton_build.ecosystems.python.lock import LockedPackage
from planton_build.ecosystems.python.readers.hashed_requirements import read_hashed_requirements
from planton_build.errors import DependencyInputInvalid
from planton_build.runtimes.catalog import target_for

ARM = target_for("python3.13", "arm64")
A, B = "a" * 64, "b" * 64


def written(folder: Path, text: str) -> Path:
    (folder / "requirements.txt").write_text(text)
    return folder / "requirements.txt"


def test_markers_are_evaluated_for_the_target_and_extras_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    text = (
        f"Two_x[extra]==2.0 --hash=sha256:{A}\n"
        f"one==1.0 ; platform_machine == 'x86_64' --hash=sha256:{A}\n"
        f"one==1.1 ; platform_machine == 'aarch64' --hash=sha256:{B}\n"
        "-e ./lib ; python_version >= '3.13'\n"
        ". ; sys_platform == 'win32'\n"
    )
    lock = read_hashed_requirements(written(tmp_path, text), ARM)
    assert lock.packages == (
        LockedPackage("one", "1.1", frozenset({B})),
        LockedPackage("two-x", "2.0", frozenset({A})),
    )
    assert [one.folder for one in lock.local] == [tmp_path / "lib"]


def test_a_package_given_twice_keeps_all_hashes_of_one_version(tmp_path: Path) -> None:
    text = f"one==1 --hash=sha256:{A}\none==1 --hash=sha256:{B}\n"
    assert read_hashed_requirements(written(tmp_path, text), ARM).packages[0].hashes == {A, B}
    with pytest.raises(DependencyInputInvalid, match=r":2: one is pinned to 1 and to 2"):
        read_hashed_requirements(
            written(tmp_path, text.replace("one==1 --hash=sha256:b", "one==2 --hash=sha256:b")), ARM
        )


@pytest.mark.parametrize("text", ["one==1\n", f"one>=1 --hash=sha256:{A}\n", ". ; nonsense\n"])
def test_what_is_not_pinned_with_a_hash_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(DependencyInputInvalid, match=r"requirements\.txt:1: "):
        read_hashed_requirements(written(tmp_path, text), ARM)
