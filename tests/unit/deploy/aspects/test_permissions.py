from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from planton_build.deploy.aspects.aspect import Scope
from planton_build.deploy.aspects.permissions import PermissionsAspect
from planton_build.deploy.change import Change
from planton_build.deploy.desired import DesiredFunction
from planton_build.emulator.serve import Emulator
from planton_build.errors import ConfigInvalid
from planton_build.settings.model import FunctionUrl, Permission

PERMISSIONS = PermissionsAspect()
UPLOADS = Permission("uploads", "s3.amazonaws.com", source_arn="arn:aws:s3:::b")


def wanted(desired: Callable[..., DesiredFunction], *permissions: Permission, **more: Any) -> Any:
    return PERMISSIONS.wanted(desired(permissions=permissions, **more))


def add(scope: Scope, key: str, **members: str) -> None:
    usual = {"Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
    scope.aws.lambda_().add_permission(**scope.qualified, StatementId=key, **(usual | members))  # type: ignore[arg-type]


def ids(emulator: Emulator) -> list[str]:
    return sorted(emulator.region().functions["render"].policies.get("live", {}))


def test_statements_of_others_and_of_the_url_stay(
    emulator: Emulator, scope: Scope, desired: Callable[..., DesiredFunction], go: Callable[..., None]
) -> None:
    add(scope, "by-hand")
    go("url", scope, None, None if (url := desired(url=FunctionUrl("NONE"))) is None else _url(url))
    go("permissions", scope, None, wanted(desired, UPLOADS))
    assert len(ids(emulator)) == 4
    found = PERMISSIONS.observe(scope, None)
    assert found is not None and [one.id for one in found] == ["planton-uploads"]
    go("permissions", scope, found, None)
    assert ids(emulator) == ["by-hand", "planton-url-invoke", "planton-url-invoke-url"]


def _url(desired: DesiredFunction) -> Any:
    from planton_build.deploy.aspects.url import UrlAspect

    return UrlAspect().wanted(desired)


def test_a_statement_made_by_hand_that_says_the_same_is_taken_over(
    emulator: Emulator, scope: Scope, desired: Callable[..., DesiredFunction], go: Callable[..., None]
) -> None:
    add(scope, "uploads", SourceArn="arn:aws:s3:::b")
    state = wanted(desired, UPLOADS)
    assert PERMISSIONS.observe(scope, state) == state
    narrower = wanted(desired, replace(UPLOADS, source_account="123456789012"))
    assert PERMISSIONS.observe(scope, narrower) is None


def test_what_is_not_configured_any_more_is_taken(
    emulator: Emulator, scope: Scope, desired: Callable[..., DesiredFunction], go: Callable[..., None]
) -> None:
    go("permissions", scope, None, wanted(desired, UPLOADS, Permission("other", "events.amazonaws.com")))
    state = wanted(desired, UPLOADS)
    found = PERMISSIONS.observe(scope, state)
    assert PERMISSIONS.changes(found, state) == [
        Change("permissions.other", "events.amazonaws.com may lambda:InvokeFunction", None)
    ]
    go("permissions", scope, found, state)
    assert ids(emulator) == ["planton-uploads"]


def test_a_changed_statement_is_removed_and_added(
    scope: Scope, desired: Callable[..., DesiredFunction]
) -> None:
    before, after = wanted(desired, UPLOADS), wanted(desired, replace(UPLOADS, source_arn="arn:aws:s3:::c"))
    operations = [call.operation for call in PERMISSIONS.calls(scope, before, after)]
    assert operations == ["RemovePermission", "AddPermission"]


def test_another_statement_in_the_place_of_ours_is_a_conflict(
    emulator: Emulator, scope: Scope, desired: Callable[..., DesiredFunction], go: Callable[..., None]
) -> None:
    """Made by somebody else between reading and writing."""
    add(scope, "planton-uploads", SourceArn="arn:aws:s3:::other")
    with pytest.raises(ClientError, match="already exists"):
        go("permissions", scope, None, wanted(desired, UPLOADS))


def test_a_statement_that_add_permission_cannot_say_is_not_made_again(
    scope: Scope, desired: Callable[..., DesiredFunction]
) -> None:
    state = wanted(desired, UPLOADS)
    foreign = tuple(replace(one, foreign="more") for one in state)
    assert [call.operation for call in PERMISSIONS.calls(scope, state, foreign)] == ["RemovePermission"]


@pytest.mark.parametrize("key", ["url-invoke", "url-invoke-url"])
def test_the_ids_of_the_url_are_taken(key: str, desired: Callable[..., DesiredFunction]) -> None:
    with pytest.raises(ConfigInvalid, match=f"id '{key}'"):
        wanted(desired, replace(UPLOADS, id=key))


def test_a_permission_to_use_the_url_goes_with_its_kind_of_callers(
    desired: Callable[..., DesiredFunction],
) -> None:
    caller = Permission("caller", "210987654321", action="lambda:InvokeFunctionUrl")
    (public,) = wanted(desired, caller, url=FunctionUrl("NONE"))
    (known,) = wanted(desired, caller)
    assert (public.url_auth, known.url_auth) == ("NONE", "AWS_IAM")
