"""Code signing, recursion, runtime management and asynchronous invocation: one value, one call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from planton_build.deploy.aspects.aspect import UNMANAGED, Scope
from planton_build.deploy.aspects.asynchronous import AsynchronousAspect
from planton_build.deploy.aspects.code_signing import CodeSigningAspect
from planton_build.deploy.aspects.reading import pages
from planton_build.deploy.aspects.recursion import RecursionAspect
from planton_build.deploy.aspects.runtime_management import RuntimeManagementAspect
from planton_build.deploy.change import Change
from planton_build.deploy.desired import DesiredFunction
from planton_build.emulator.serve import Emulator
from planton_build.errors import AccessDenied, DeployRefused
from planton_build.settings.model import OFF, AsyncInvocation, RuntimeManagement

VERSION = "arn:aws:lambda:eu-west-1::runtime:" + "a" * 64


def test_an_image_has_no_code_signing_to_remove(desired: Callable[..., DesiredFunction]) -> None:
    zipped = desired(code_signing=OFF)
    assert CodeSigningAspect().wanted(zipped) is None
    assert CodeSigningAspect().wanted(replace(zipped, package="Image")) is UNMANAGED


def test_values_that_every_function_has_are_not_taken_from_it(scope: Scope) -> None:
    assert not RecursionAspect().calls(scope, "Allow", None)
    assert not RuntimeManagementAspect().calls(scope, RuntimeManagement(), None)


def test_a_runtime_version_is_shown_beside_its_mode() -> None:
    changes = RuntimeManagementAspect().changes(RuntimeManagement(), RuntimeManagement("Manual", VERSION))
    assert changes == [Change("runtime_management", "Auto", f"Manual {VERSION}")]


def test_asynchronous_invocation_is_that_of_the_alias(
    emulator: Emulator, scope: Scope, go: Callable[..., None]
) -> None:
    go("asynchronous", scope, None, AsyncInvocation(retries=0))
    assert list(emulator.region().functions["render"].event_invokes) == ["live"]


def test_each_property_of_asynchronous_invocation_is_a_change() -> None:
    changes = AsynchronousAspect().changes(AsyncInvocation(on_failure="arn:q"), AsyncInvocation(retries=0))
    assert changes == [
        Change("asynchronous.retries", "2", "0"),
        Change("asynchronous.on_failure", "arn:q", None),
    ]


def test_what_may_not_be_read_is_no_absence(emulator: Emulator, scope: Scope) -> None:
    emulator.faults.error("GetFunctionRecursionConfig", "AccessDeniedException", 403, "no")
    with pytest.raises(AccessDenied, match="reading the recursion of the function render"):
        RecursionAspect().observe(scope, None)


def test_a_list_without_an_end_is_refused() -> None:
    endless = pages(lambda _: {"Items": [{}], "Next": "again"}, "Items", "Next", "Marker")
    with pytest.raises(DeployRefused, match="without an end"):
        list(endless)
