from __future__ import annotations

from typing import Any

import pytest

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:orders"
ROLE = "arn:aws:iam::123456789012:role/worker"


@pytest.fixture
def lam(here: Any, archive: bytes) -> Any:
    """Lambda with the function `orders`."""
    here.call(
        "CreateFunction",
        FunctionName="orders",
        Role=ROLE,
        Runtime="python3.12",
        Handler="app.handler",
        Code={"ZipFile": archive},
        Description="all orders",
    )
    return here


def _publish(here: Any, **more: Any) -> Any:
    return here.call("PublishVersion", FunctionName="orders", **more)


def _change(here: Any, timeout: int) -> None:
    here.call("UpdateFunctionConfiguration", FunctionName="orders", Timeout=timeout)


def _read(here: Any, **more: Any) -> Any:
    return here.call("GetFunctionConfiguration", FunctionName="orders", **more)


def test_a_version_is_a_copy_with_a_number_and_a_description(lam: Any) -> None:
    before = _read(lam)["RevisionId"]
    version = _publish(lam, Description="commit 1")
    assert (version["Version"], version["FunctionArn"]) == ("1", f"{ARN}:1")
    assert (version["Description"], version["State"]) == ("commit 1", "Active")
    assert _read(lam)["RevisionId"] != before
    _change(lam, 9)
    assert (_read(lam)["Timeout"], _read(lam, Qualifier="1")["Timeout"]) == (9, 3)
    assert _read(lam)["Description"] == "all orders"
    assert _publish(lam)["Description"] == "all orders"


def test_nothing_changed_publishes_nothing_and_numbers_are_never_used_again(lam: Any) -> None:
    assert [_publish(lam, Description=text)["Version"] for text in ("a", "b")] == ["1", "1"]
    assert _read(lam, Qualifier="1")["Description"] == "a"
    _change(lam, 9)
    assert _publish(lam)["Version"] == "2"
    _change(lam, 3)
    assert _publish(lam)["Version"] == "3"
    lam.call("DeleteFunction", FunctionName="orders", Qualifier="3")
    assert _publish(lam)["Version"] == "4"
    lam.call("DeleteFunction", FunctionName="orders", Qualifier="1")
    _change(lam, 5)
    assert _publish(lam)["Version"] == "5"


def test_an_update_to_the_same_values_is_no_change(lam: Any, archive: bytes) -> None:
    _publish(lam)
    _change(lam, 3)
    lam.call("UpdateFunctionCode", FunctionName="orders", ZipFile=archive)
    assert _publish(lam)["Version"] == "1"
    lam.call("UpdateFunctionCode", FunctionName="orders", ZipFile=archive, Architectures=["arm64"])
    assert _publish(lam)["Version"] == "2"


def test_code_and_revision_are_compared_first(lam: Any) -> None:
    current = _read(lam)
    refusal = lam.refused("PublishVersion", FunctionName="orders", CodeSha256="other")
    assert refusal.message == (
        f"CodeSHA256 (other) is different from current CodeSHA256 in $LATEST ({current['CodeSha256']}). "
        "Please try again with the CodeSHA256 in $LATEST."
    )
    assert lam.refused("PublishVersion", FunctionName="orders", RevisionId="other").status == 412
    assert lam.region.functions["orders"].versions == {}
    _publish(lam, CodeSha256=current["CodeSha256"], RevisionId=current["RevisionId"])


def test_a_version_takes_time_of_its_own(lam: Any) -> None:
    _read(lam)
    lam.behaviour.reads = 1
    assert _publish(lam)["State"] == "Pending"
    _read(lam)
    assert lam.refused("Invoke", FunctionName="orders", Qualifier="1").message.endswith("state: Pending")
    assert [_read(lam, Qualifier="1")["State"] for _ in range(2)] == ["Pending", "Active"]
    assert _read(lam, Qualifier="1")["LastUpdateStatus"] == "Successful"


def test_a_snapshot_takes_time_in_any_case(lam: Any) -> None:
    lam.call("UpdateFunctionConfiguration", FunctionName="orders", SnapStart={"ApplyOn": "PublishedVersions"})
    version = _publish(lam)
    assert version["State"] == "Pending"
    assert version["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"}
    assert _read(lam)["SnapStart"]["OptimizationStatus"] == "Off"
    assert version["ConfigSha256"] == _read(lam)["ConfigSha256"]
    assert _read(lam, Qualifier="1")["State"] == "Active"


def test_a_version_fails_on_command_and_after_an_update_that_failed(lam: Any) -> None:
    lam.behaviour.failures["orders:version"] = ("FunctionError", "no start")
    assert _publish(lam)["State"] == "Pending"
    found = _read(lam, Qualifier="1")
    assert (found["State"], found["StateReasonCode"], found["StateReason"]) == (
        "Failed",
        "FunctionError",
        "no start",
    )
    lam.behaviour.failures["orders"] = ("InvalidZipFileException", "broken")
    _change(lam, 9)
    _publish(lam)
    assert _read(lam, Qualifier="2")["StateReasonCode"] == "InvalidZipFileException"


def test_versions_are_listed_page_by_page_in_their_order(lam: Any) -> None:
    for timeout in range(1, 61):
        _change(lam, timeout)
        _publish(lam)
    first = lam.call("ListVersionsByFunction", FunctionName="orders", MaxItems=1000)
    rest = lam.call("ListVersionsByFunction", FunctionName="orders", Marker=first["NextMarker"])
    assert (len(first["Versions"]), "NextMarker" in rest) == (50, False)
    numbers = [one["Version"] for one in (*first["Versions"], *rest["Versions"])]
    assert numbers == ["$LATEST", *map(str, range(1, 61))]
    assert first["Versions"][0]["FunctionArn"] == f"{ARN}:$LATEST"
    assert "State" not in first["Versions"][0]
