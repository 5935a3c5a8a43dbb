from __future__ import annotations

from collections.abc import Callable

import pytest

from planton_build.deploy.aspects.aspect import UNMANAGED, Scope
from planton_build.deploy.aspects.provisioned_concurrency import Provisioned, ProvisionedConcurrencyAspect
from planton_build.deploy.desired import DesiredFunction
from planton_build.emulator.serve import Emulator
from planton_build.errors import ConfigInvalid, FunctionFailed
from planton_build.settings.model import OFF

PROVISIONED = ProvisionedConcurrencyAspect()


def test_a_failure_ends_the_wait_with_its_reason(
    emulator: Emulator, scope: Scope, go: Callable[..., None]
) -> None:
    emulator.behaviour.failures["render:provisioned"] = ("X", "FUNCTION_ERROR_INIT_FAILURE")
    with pytest.raises(FunctionFailed, match=r"render:live failed \(FUNCTION_ERROR_INIT_FAILURE\)"):
        go("provisioned_concurrency", scope, None, Provisioned(2))


def test_what_failed_is_asked_for_again(emulator: Emulator, scope: Scope, go: Callable[..., None]) -> None:
    emulator.behaviour.failures["render:provisioned"] = ("X", "no room")
    with pytest.raises(FunctionFailed):
        go("provisioned_concurrency", scope, None, Provisioned(2))
    found = PROVISIONED.observe(scope, Provisioned(2))
    assert found == Provisioned(2, "no room")
    (change,) = PROVISIONED.changes(found, Provisioned(2))
    assert (change.before, change.after) == ("2 (failed: no room)", "2")
    go("provisioned_concurrency", scope, found, Provisioned(2))
    assert PROVISIONED.observe(scope, Provisioned(2)) == Provisioned(2)


def test_what_is_under_way_counts_as_there(emulator: Emulator, scope: Scope) -> None:
    emulator.behaviour.provisioning_reads = 5
    (call,) = PROVISIONED.calls(scope, None, Provisioned(2))
    call.send()
    assert PROVISIONED.observe(scope, Provisioned(2)) == Provisioned(2)
    assert call.settled is not None and not call.settled()


def test_without_an_alias_there_is_none(desired: Callable[..., DesiredFunction]) -> None:
    with pytest.raises(ConfigInvalid, match="no alias"):
        PROVISIONED.wanted(desired(alias=None, provisioned_concurrency=2))
    assert PROVISIONED.wanted(desired(alias=None, provisioned_concurrency=OFF)) is UNMANAGED
