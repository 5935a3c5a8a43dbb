from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from planton_build.deploy.aspects.aspect import Scope
from planton_build.deploy.aspects.url import UrlAspect, UrlState
from planton_build.deploy.change import Change
from planton_build.deploy.desired import DesiredFunction
from planton_build.emulator.serve import Emulator
from planton_build.settings.model import Cors, FunctionUrl

URL = UrlAspect()
IDS = ["planton-url-invoke", "planton-url-invoke-url"]


def wanted(desired: Callable[..., DesiredFunction], url: FunctionUrl) -> UrlState:
    state = URL.wanted(desired(url=url))
    assert isinstance(state, UrlState)
    return state


def test_a_public_url_gets_both_permissions_on_what_serves(
    emulator: Emulator, scope: Scope, desired: Callable[..., DesiredFunction], go: Callable[..., None]
) -> None:
    go("url", scope, None, wanted(desired, FunctionUrl("NONE")))
    function = emulator.region().functions["render"]
    assert list(function.urls) == list(function.policies) == ["live"]
    conditions = {key: one["Condition"] for key, one in function.policies["live"].items()}
    assert conditions == {
        "planton-url-invoke": {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}},
        "planton-url-invoke-url": {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}},
    }


def test_without_an_alias_the_url_is_the_functions(
    emulator: Emulator, bare: Scope, desired: Callable[..., DesiredFunction], go: Callable[..., None]
) -> None:
    state = wanted(lambda **settings: desired(alias=None, **settings), FunctionUrl("NONE"))
    go("url", bare, None, state)
    function = emulator.region().functions["render"]
    assert list(function.urls) == list(function.policies) == [""]
    assert URL.observe(bare, state) == state


def test_a_url_with_iam_gets_no_permission(desired: Callable[..., DesiredFunction]) -> None:
    assert wanted(desired, FunctionUrl("AWS_IAM")).statements == ()


def test_a_url_that_is_closed_is_closed_before_its_permissions_go(
    scope: Scope, desired: Callable[..., DesiredFunction]
) -> None:
    before, after = wanted(desired, FunctionUrl("NONE")), wanted(desired, FunctionUrl("AWS_IAM"))
    calls = URL.calls(scope, before, after)
    assert [call.operation for call in calls] == ["UpdateFunctionUrlConfig", *["RemovePermission"] * 2]
    assert URL.changes(before, after)[0] == Change("url.auth", "NONE", "AWS_IAM")


def test_only_what_is_missing_is_given(
    emulator: Emulator, scope: Scope, desired: Callable[..., DesiredFunction], go: Callable[..., None]
) -> None:
    state = wanted(desired, FunctionUrl("NONE"))
    go("url", scope, None, state)
    scope.aws.lambda_().remove_permission(**scope.qualified, StatementId=IDS[0])
    found = URL.observe(scope, state)
    assert [call.operation for call in URL.calls(scope, found, state)] == ["AddPermission"]
    assert [change.field for change in URL.changes(found, state)] == [f"url.permission.{IDS[0]}"]
    go("url", scope, found, state)
    assert URL.observe(scope, state) == state


def test_a_statement_of_our_id_that_says_something_else_is_replaced(
    emulator: Emulator, scope: Scope, desired: Callable[..., DesiredFunction], go: Callable[..., None]
) -> None:
    state = wanted(desired, FunctionUrl("NONE"))
    go("url", scope, None, state)
    client = scope.aws.lambda_()
    client.remove_permission(**scope.qualified, StatementId=IDS[0])
    client.add_permission(
        **scope.qualified, StatementId=IDS[0], Action="lambda:InvokeFunction", Principal="210987654321"
    )
    found = URL.observe(scope, state)
    assert found != state
    go("url", scope, found, state)
    assert URL.observe(scope, state) == state


def test_permissions_that_outlived_their_url_are_taken(
    emulator: Emulator, scope: Scope, desired: Callable[..., DesiredFunction], go: Callable[..., None]
) -> None:
    go("url", scope, None, wanted(desired, FunctionUrl("NONE")))
    scope.aws.lambda_().delete_function_url_config(**scope.qualified)
    found = URL.observe(scope, None)
    assert found is not None and found.config is None
    go("url", scope, found, None)
    assert URL.observe(scope, None) is None


def test_neither_order_nor_letter_case_of_cors_is_a_difference(
    emulator: Emulator, scope: Scope, desired: Callable[..., DesiredFunction], go: Callable[..., None]
) -> None:
    cors = Cors(("https://b", "https://a"), ("GET", "PUT"), ("X-One", "x-two"), ("X-Three",), True, 5)
    other = Cors(("https://a", "https://b"), ("PUT", "GET"), ("X-TWO", "x-one"), ("x-three",), True, 5)
    go("url", scope, None, wanted(desired, FunctionUrl("AWS_IAM", cors=cors)))
    state = wanted(desired, FunctionUrl("AWS_IAM", cors=other))
    assert URL.observe(scope, state) == state
    longer = wanted(desired, FunctionUrl("AWS_IAM", cors=replace(other, max_age=6)))
    assert [change.field for change in URL.changes(URL.observe(scope, longer), longer)] == ["url.cors"]
