"""What came of a build in the container, taken for hostile: a wheel that fits, or why there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion

from planton_build.ecosystems.python.building.compiler_output import explain
from planton_build.errors import CompileFailed
from planton_build.runtimes.tags import wheel_tags
from planton_build.runtimes.target import Target
from planton_build.sandbox.job import Outcome

if TYPE_CHECKING:
    from planton_build.ecosystems.python.building.sdist import Sdist
    from planton_build.ecosystems.python.building.source import ProjectSource

_ASKED = "asked.json"
_ASKED_LIMIT = 1 << 20
_ASKED_COUNT = 200
_STEPS = {
    2: "its sources cannot be unpacked",
    3: "its build requirements cannot be installed",
    5: "the shared libraries that it needs cannot be added",
}
"""What failed, by the exit code of `inside/build_wheel.py`."""


def failure(outcome: Outcome, label: str, target: Target, image: str) -> CompileFailed:
    """Return the error about a build that failed, in the words of the compiler or the backend."""
    explanation = explain(outcome.log)
    what = _STEPS.get(outcome.exit_code)
    message = f"{label} cannot be built for {target.name} in {image}" + (f": {what}" if what else "")
    return CompileFailed("\n".join([f"{message}:", *explanation.lines]), hint=explanation.hint)


def unfinished(outcome: Outcome, label: str) -> list[str]:
    """Return what the backend asked for instead of building, sorted; mostly nothing.

    Raises:
        CompileFailed: it is no list of requirements.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    path = next((path for path in outcome.files if path.name == _ASKED), None)
    if path is None:
        return []
    try:
        with path.open("rb") as stream:
            asked = json.loads(stream.read(_ASKED_LIMIT))
        if not isinstance(asked, list) or not 0 < len(asked) <= _ASKED_COUNT:
            raise CompileFailed(f"the backend of {label} asks for {len(asked)} build requirements")
        for one in asked:
            if Requirement(str(one)).url is not None:
                raise CompileFailed(
                    f"the backend of {label} asks for {one[:200]!r}, which cannot be locked",
                    hint="take a version with a wheel for the target, or publish a wheel to your index",
                )
    except (ValueError, TypeError, RecursionError, InvalidRequirement) as error:
        raise CompileFailed(f"the backend of {label} asks for what is no requirement: {error}") from error
    return sorted(map(str, asked))


def accepted(outcome: Outcome, source: Sdist | ProjectSource, target: Target) -> Path:
    """Return the one wheel that a build left.

    Raises:
        CompileFailed: there is none or several, or it is of another package, Python or machine.
    """
    wheels = [path for path in outcome.files if path.suffix == ".whl"]
    if len(wheels) != 1:
        raise CompileFailed(
            f"building {source.label} left {len(wheels)} wheels instead of one",
            hint="take another version of the package, or tell its authors",
        )
    (wheel,) = wheels
    try:
        name, version, _, tags = parse_wheel_filename(wheel.name)
    except (InvalidWheelFilename, InvalidVersion) as error:
        raise CompileFailed(
            f"building {source.label} left a wheel with a wrong name: {wheel.name[:200]!r}",
            hint="take another version of the package, or tell its authors",
        ) from error
    if not source.is_named(canonicalize_name(name), version):
        raise CompileFailed(
            f"building {source.label} left the wheel of another package or version: {wheel.name}",
            hint="an index or lock may be wrong: look at where the package comes from",
        )
    if not any(fits(tag, target) for tag in tags):
        raise CompileFailed(
            f"building {source.label} left {wheel.name}, which does not load on {target.name}",
            hint="its build must not name a machine or a Python: correct that, or take another version",
        )
    return wheel


def fits(tag: Tag, target: Target) -> bool:
    """Tell whether a wheel built in the target's image may have this tag.

    What glibc it needs is judged later, by its files: auditwheel's tag is about the symbols it knows, and a
    plain `linux` tag says nothing.
    """
    platform = tag.platform
    if platform.startswith("manylinux") and platform.endswith(f"_{target.machine}"):
        platform = f"linux_{target.machine}"
    return Tag(tag.interpreter, tag.abi, platform) in wheel_tags(target)
