"""From uv's explanation of a failed resolution to the error that fits, with what to do next."""

from __future__ import annotations

import re
from pathlib import Path

from planton_build.errors import (
    ContainerRequired,
    DependencyInputInvalid,
    IndexUnreachable,
    LocalProjectFailed,
    NoFittingWheel,
    PlantonError,
    ResolutionFailed,
)
from planton_build.runtimes.target import Target

_MAX_LINES = 40
_MAX_LENGTH = 4000
"""Bounds of an explanation in lines and characters; uv's grow with the number of versions it tried."""

_SDIST_ONLY = re.compile(r"Wheels are required for `([^`]+)` because building from source is disabled")
_UNFIT = re.compile(
    r"([A-Za-z0-9][\w.-]*?)(?:==\S+)? has no wheels with a matching|Wheels are available for `([^`]+)`"
    r"|we only found wheels for `([^`]+)`"
)
_UNFIT_PIN = re.compile(r"([A-Za-z0-9][\w.-]*?)==(\S+) has no wheels with a matching")
_UNKNOWN = re.compile(
    r"Because (?:there are no versions of )?([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])? was not found in"
)
_UNREACHABLE = re.compile(
    r"Failed to fetch: (\S+)|error sending request|client error \(|dns error|operation timed out"
    r"|lack of valid authentication|network was disabled"
)
_UNBUILDABLE = re.compile(r"Failed to (?:download and )?build `([^`@ ]+) @ file:")
_DISABLED = re.compile(r"Building source distributions for `([^`]+)` is disabled")
_REMOTE = re.compile(r"`([^`@ ]+) @ (?:git\+|https?:)")
_OTHER_PYTHON = re.compile(r"requires Python ?([<>=!~][^ ]*)")


def unknown_packages(explanation: str) -> list[str]:
    """Return the packages that no index knows, according to uv. It also says so after an HTTP 401 or 403."""
    return sorted(set(_UNKNOWN.findall(explanation)))


def unfit_pins(explanation: str) -> list[tuple[str, str]]:
    """Return the names and versions that are asked for exactly and have wheels for other targets only."""
    return sorted(set(_UNFIT_PIN.findall(explanation)))


def unfit_packages(explanation: str) -> list[str]:
    """Return the packages that have wheels, but none that a version in question could take."""
    return sorted({name for found in _UNFIT.findall(explanation) for name in found if name})


def unbuilt_projects(explanation: str) -> set[str]:
    """Return local projects whose metadata is dynamic and was not built because building was disabled."""
    return set(_DISABLED.findall(explanation)) if _UNBUILDABLE.search(explanation) else set()


def has_wheel_trouble(explanation: str) -> bool:
    """Tell whether packages without a wheel for the target took part in the failure."""
    return bool(_SDIST_ONLY.search(explanation) or _UNFIT.search(explanation))


def failure(explanation: str, path: Path, target: Target) -> PlantonError:
    """Return the error to raise for a failed resolution.

    Args:
        explanation: uv's error text, cleaned.
        path: the dependency input.
        target: what was resolved for.
    """
    told = _bounded(explanation)
    if _REMOTE.search(explanation):
        name = _REMOTE.findall(explanation)[0]
        return DependencyInputInvalid(
            f"{path.name}: {name} comes from a URL or version control, which a lock cannot hold\n{told}",
            hint="publish it to a package index, or put it into the repository and require it by path",
            file=path,
        )
    if match := _UNREACHABLE.search(explanation):
        where = f" ({match[1]})" if match[1] else ""
        return IndexUnreachable(
            f"a package index cannot be read{where}\n{told}",
            hint="check the network, the index URL and its credentials in pip's configuration",
            file=path,
        )
    if match := _UNBUILDABLE.search(explanation):
        return LocalProjectFailed(
            f"the dependencies of the local project {match[1]} cannot be read: its build failed\n{told}",
            hint="correct its build, or state its dependencies in [project] of its pyproject.toml",
            file=path,
        )
    return _wheel_failure(explanation, told, path, target) or _conflict(explanation, told, path, target)


def _wheel_failure(explanation: str, told: str, path: Path, target: Target) -> PlantonError | None:
    if names := sorted(set(_SDIST_ONLY.findall(explanation))):
        return ContainerRequired(
            f"no wheel of {_listed(names)} loads on {target.name}; the index has sources only\n{told}",
            hint="leave out `--container never`, so that it is built in a container; or allow a version with "
            "wheels, or publish a wheel of your own to an index of yours",
            file=path,
        )
    if names := unfit_packages(explanation):
        return NoFittingWheel(
            f"no wheel of {_listed(names)} loads on {target.name}\n{told}",
            hint="allow other versions, or choose a runtime and architecture that the package has wheels for",
            file=path,
        )
    return None


def _conflict(explanation: str, told: str, path: Path, target: Target) -> PlantonError:
    hint = "relax one of the requirements named above"
    if unknown := unknown_packages(explanation):
        hint = f"check the spelling of {_listed(unknown)} and the configured indexes"
    elif _OTHER_PYTHON.search(explanation):
        hint = f"choose versions that support Python {'.'.join(map(str, target.version))}, or another runtime"
    return ResolutionFailed(f"{path.name} cannot be resolved for {target.name}\n{told}", hint=hint, file=path)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _bounded(text: str) -> str:
    """Return uv's text without what names its own options, cut to a length that fits a terminal."""
    lines = [line.removeprefix("error: ") for line in text.splitlines() if not _SDIST_ONLY.search(line)]
    shown = "\n".join(lines[:_MAX_LINES]) + (
        f"\n... {len(lines) - _MAX_LINES} more lines" if len(lines) > _MAX_LINES else ""
    )
    return shown if len(shown) <= _MAX_LENGTH else shown[:_MAX_LENGTH] + " ..."
