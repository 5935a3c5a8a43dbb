"""All aspects, in the order in which they are changed within their phase."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from planton_build.deploy.aspects.alarms import AlarmsAspect
from planton_build.deploy.aspects.aspect import UNMANAGED, Aspect, Scope
from planton_build.deploy.aspects.asynchronous import AsynchronousAspect
from planton_build.deploy.aspects.code_signing import CodeSigningAspect
from planton_build.deploy.aspects.event_sources import EventSourcesAspect
from planton_build.deploy.aspects.log_group import LogGroupAspect
from planton_build.deploy.aspects.permissions import PermissionsAspect
from planton_build.deploy.aspects.provisioned_concurrency import ProvisionedConcurrencyAspect
from planton_build.deploy.aspects.recursion import RecursionAspect
from planton_build.deploy.aspects.runtime_management import RuntimeManagementAspect
from planton_build.deploy.aspects.statements import SharedRead
from planton_build.deploy.aspects.tags import TagsAspect
from planton_build.deploy.aspects.url import UrlAspect
from planton_build.deploy.desired import DesiredFunction
from planton_build.parallel import each

ASPECTS: tuple[Aspect[Any], ...] = (
    LogGroupAspect(),
    TagsAspect(),
    CodeSigningAspect(),
    RecursionAspect(),
    RuntimeManagementAspect(),
    ProvisionedConcurrencyAspect(),
    # What becomes of events that fail is settled before anything brings events.
    AsynchronousAspect(),
    UrlAspect(),
    PermissionsAspect(),
    EventSourcesAspect(),
    AlarmsAspect(),
)
"""By phase, as in `Phase`. Alarms come last: what a deployment itself causes is not what they watch for."""

_READ_JOBS = 4
"""Aspects of one function that are read at once."""


def aspect_named(name: str) -> Aspect[Any]:
    """Return the aspect of a name. Raises KeyError for an unknown one."""
    return {aspect.name: aspect for aspect in ASPECTS}[name]


def wanted_aspects(desired: DesiredFunction) -> dict[str, object]:
    """Return the wanted state of every aspect that is managed, by name; None is "not there".

    Raises ConfigInvalid for settings that contradict each other.
    """
    wanted = {aspect.name: aspect.wanted(desired) for aspect in ASPECTS}
    return {name: state for name, state in wanted.items() if state is not UNMANAGED}


def observe_aspects(scope: Scope, desired: DesiredFunction) -> dict[str, object]:
    """Read every aspect that is managed, side by side. Raises what `Aspect.observe` raises."""
    wanted = wanted_aspects(desired)
    shared = SharedRead()
    managed = [_sharing(aspect, shared) for aspect in ASPECTS if aspect.name in wanted]
    states = each(managed, lambda aspect: aspect.observe(scope, wanted[aspect.name]), jobs=_READ_JOBS)
    return {aspect.name: state for aspect, state in zip(managed, states, strict=True)}


def _sharing(aspect: Aspect[Any], policy: SharedRead) -> Aspect[Any]:
    """Return the aspect, reading the resource policy by `policy` where it reads that."""
    return replace(aspect, read=policy) if isinstance(aspect, UrlAspect | PermissionsAspect) else aspect
