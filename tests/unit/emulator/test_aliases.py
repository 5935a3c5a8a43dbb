from __future__ import annotations

from typing import Any

import pytest

from planton_build.emulator.aliases import next_version

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:orders"


@pytest.fixture
def lam(here: Any) -> Any:
    """Lambda with the function `orders` and its versions 1 to 3."""
    here.add("orders", "1", "2", "3")
    return here


def _create(here: Any, version: str = "1", **more: Any) -> Any:
    return here.call("CreateAlias", FunctionName="orders", Name="live", FunctionVersion=version, **more)


def _update(here: Any, **more: Any) -> Any:
    return here.call("UpdateAlias", FunctionName="orders", Name="live", **more)


def _routing(**weights: float) -> dict[str, Any]:
    return {"AdditionalVersionWeights": {name.removeprefix("v"): weight for name, weight in weights.items()}}


def test_an_alias_is_created_once_and_read_back(lam: Any) -> None:
    created = _create(lam, Description="what customers see")
    assert created.pop("RevisionId")
    assert created == {
        "AliasArn": f"{ARN}:live",
        "Name": "live",
        "FunctionVersion": "1",
        "Description": "what customers see",
    }
    refusal = lam.refused("CreateAlias", FunctionName="orders", Name="live", FunctionVersion="2")
    assert (refusal.code, refusal.status) == ("ResourceConflictException", 409)
    assert refusal.message == f"Alias already exists: {ARN}:live"


def test_an_alias_names_a_version_that_exists(lam: Any) -> None:
    request = {"FunctionName": "orders", "Name": "live"}
    text = f"Function not found: {ARN}:9"
    assert lam.refused("CreateAlias", **request, FunctionVersion="9").message == text
    _create(lam, "$LATEST")
    assert lam.refused("UpdateAlias", **request, FunctionVersion="9").message == text
    routed = lam.refused("UpdateAlias", **request, FunctionVersion="1", RoutingConfig=_routing(v9=0.5))
    assert routed.message == text
    assert lam.call("GetAlias", **request)["FunctionVersion"] == "$LATEST"


def test_what_is_not_there_is_told_with_its_arn(lam: Any) -> None:
    request = {"FunctionName": "orders", "Name": "live"}
    assert lam.refused("GetAlias", **request).message == f"Cannot find alias arn: {ARN}:live"
    assert lam.refused("UpdateAlias", **request).message == f"Alias not found: {ARN}:live"
    assert lam.call("DeleteAlias", **request) == {}


def test_every_update_gives_a_new_revision_and_a_stale_one_is_refused(lam: Any) -> None:
    first = _create(lam)["RevisionId"]
    second = _update(lam, RevisionId=first, FunctionVersion="2")["RevisionId"]
    refusal = lam.refused("UpdateAlias", FunctionName="orders", Name="live", RevisionId=first)
    assert refusal.status == 412
    assert _update(lam)["RevisionId"] not in {first, second}


def test_weights_stay_until_they_are_cleared(lam: Any) -> None:
    _create(lam, RoutingConfig=_routing(v2=0.25))
    kept = _update(lam, Description="d")
    assert (kept["RoutingConfig"], kept["FunctionVersion"]) == (_routing(v2=0.25), "1")
    for empty in ({}, _routing()):
        _update(lam, RoutingConfig=_routing(v2=0.5))
        assert "RoutingConfig" not in _update(lam, RoutingConfig=empty)
    moved = _update(lam, FunctionVersion="2")
    assert (moved["FunctionVersion"], moved["Description"]) == ("2", "d")


@pytest.mark.parametrize(
    ("version", "routing", "message"),
    [
        (
            "1",
            _routing(v2=0.1, v3=0.1),
            "Number of items in AdditionalVersionWeights cannot be greater than 1",
        ),
        (
            "1",
            _routing(v1=0.1),
            "Invalid function version 1. Function version 1 is already included in routing",
        ),
        (
            "$LATEST",
            _routing(v1=0.1),
            "$LATEST is not supported for an alias pointing to more than 1 version",
        ),
    ],
)
def test_weights_are_of_one_other_version(lam: Any, version: str, routing: Any, message: str) -> None:
    request = {"FunctionName": "orders", "Name": "live", "FunctionVersion": version, "RoutingConfig": routing}
    assert lam.refused("CreateAlias", **request).message.startswith(message)
    _create(lam, "3")
    assert lam.refused("UpdateAlias", **request).message.startswith(message)


def test_an_alias_does_not_move_onto_the_version_it_has_weights_for(lam: Any) -> None:
    _create(lam, RoutingConfig=_routing(v2=0.1))
    refusal = lam.refused("UpdateAlias", FunctionName="orders", Name="live", FunctionVersion="2")
    assert "already included in routing configuration" in refusal.message
    assert _update(lam, FunctionVersion="2", RoutingConfig={})["FunctionVersion"] == "2"


def test_a_provisioned_alias_takes_weights(lam: Any) -> None:
    """AWS Lambda Developer Guide: routing may be added to an alias that is provisioned."""
    _create(lam)
    lam.call(
        "PutProvisionedConcurrencyConfig",
        FunctionName="orders",
        Qualifier="live",
        ProvisionedConcurrentExecutions=1,
    )
    moved = _update(lam, RoutingConfig=_routing(v2=0.1))
    assert moved["RoutingConfig"] == _routing(v2=0.1)


def _provisioned(here: Any, reads: int) -> None:
    _create(here)
    here.behaviour.provisioning_reads = reads
    here.call(
        "PutProvisionedConcurrencyConfig",
        FunctionName="orders",
        Qualifier="live",
        ProvisionedConcurrentExecutions=1,
    )


def test_a_provisioned_alias_that_moves_serves_the_old_version_until_the_new_one_is_ready(lam: Any) -> None:
    _provisioned(lam, reads=1)
    moved = _update(lam, FunctionVersion="2")
    assert (moved["FunctionVersion"], moved["RoutingConfig"]) == ("2", _routing(v1=1.0))
    assert next_version(lam.region.functions["orders"].aliases["live"]) == "1"
    refusal = lam.refused(
        "PutProvisionedConcurrencyConfig",
        FunctionName="orders",
        Qualifier="live",
        ProvisionedConcurrentExecutions=2,
    )
    assert refusal.message == "Alias with weights can not be used with Provisioned Concurrency"
    read = [lam.call("GetAlias", FunctionName="orders", Name="live") for _ in range(2)]
    assert [one.get("RoutingConfig") for one in read] == [_routing(v1=1.0), None]
    assert read[1]["RevisionId"] != read[0]["RevisionId"]
    assert next_version(lam.region.functions["orders"].aliases["live"]) == "2"


def test_a_provisioned_alias_may_move_back_while_it_moves(lam: Any) -> None:
    _provisioned(lam, reads=1)
    _update(lam, FunctionVersion="2")
    assert _update(lam, FunctionVersion="1")["RoutingConfig"] == _routing(v2=1.0)


def test_a_provisioned_alias_moves_at_once_where_nothing_takes_time(lam: Any) -> None:
    _provisioned(lam, reads=0)
    assert "RoutingConfig" not in _update(lam, FunctionVersion="2")


def test_deleting_an_alias_deletes_what_hangs_on_it(lam: Any) -> None:
    _create(lam)
    function = lam.region.functions["orders"]
    function.urls["live"] = function.event_invokes["live"] = {}
    lam.call("DeleteAlias", FunctionName="orders", Name="live")
    assert (function.aliases, function.urls, function.event_invokes) == ({}, {}, {})


def test_aliases_are_listed_by_name_and_by_version(lam: Any) -> None:
    for number in range(60):
        lam.call(
            "CreateAlias", FunctionName="orders", Name=f"a{number:02}", FunctionVersion=str(number % 2 + 1)
        )
    first = lam.call("ListAliases", FunctionName="orders")
    assert (len(first["Aliases"]), first["Aliases"][0]["Name"]) == (50, "a00")
    rest = lam.call("ListAliases", FunctionName="orders", Marker=first["NextMarker"])
    assert [one["Name"] for one in rest["Aliases"]] == [f"a{number}" for number in range(50, 60)]
    some = lam.call("ListAliases", FunctionName="orders", FunctionVersion="2")["Aliases"]
    assert [one["FunctionVersion"] for one in some] == ["2"] * 30


@pytest.mark.parametrize(("weight", "expected"), [(0.1, 10), (0.33, 33), (0.0, 0), (1.0, 100)])
def test_weights_are_kept_to_the_invocation(weight: float, expected: int) -> None:
    alias = {"FunctionVersion": "1", "RoutingConfig": _routing(v2=weight)}
    served = [next_version(alias) for _ in range(100)]
    assert served.count("2") == expected
    assert served.count("1") == 100 - expected
