"""Whether a build lock still holds: for the image, tools and system packages that are wanted now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from planton_build.ecosystems.python.building.build_lock import BuildLock, render
from planton_build.ecosystems.python.building.containers import toolchain_digest
from planton_build.ecosystems.python.building.room import BuildRoom
from planton_build.project.function import FunctionProject
from planton_build.sandbox.build_image import ImagePin

IMAGE = "mirror.example/build"
LOCKED, OTHER = (f"sha256:{digit * 64}" for digit in "12")


@pytest.mark.parametrize(
    ("options", "holds"),
    [
        ({"build_image": IMAGE}, True),
        ({"build_image": f"{IMAGE}@{LOCKED}"}, True),
        ({"build_image": f"{IMAGE}@{OTHER}"}, False),
        ({"build_image": "mirror.example/other"}, False),
        ({}, False),
        ({"build_image": IMAGE, "system_packages": ("libpq-devel",)}, False),
    ],
)
def test_a_build_lock_holds_for_what_is_wanted_now(
    function: Callable[..., FunctionProject], tmp_path: Path, options: dict[str, Any], holds: bool
) -> None:
    project = function({"app.py": ""})
    project = replace(project, options=replace(project.options, **options))
    lock = BuildLock(project.target, ImagePin(IMAGE, LOCKED), toolchain_digest(project.target))
    path = tmp_path / "some.build.lock"
    path.write_text(render(lock))
    containers: Any = None  # nothing is opened for a question
    room = BuildRoom(project, path, containers, mode="build")
    assert (room.locked is not None) is holds
    assert (room.digest is not None) is holds
    assert BuildRoom(project, path, containers, mode="build", upgrade=True).locked is None
