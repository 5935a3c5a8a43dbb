"""Fifty functions at once, at a bounded pace; one that fails stops none of the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from planton_build.errors import DeployRefused, SeveralErrors
from planton_build.publish.aws import Aws, AwsSettings

COUNT = 50
RATE = 60
"""High, so that the test is short. Fifty functions make more calls than this in their first second."""
LIVE = '[deploy]\nalias = "live"\n[deploy.rollout]\nsmoke-event = {}\n'


@pytest.fixture
def paced(account: Any) -> Iterator[Any]:
    """The account, with clients that keep a pace."""
    url = account.emulator.url
    account.aws = Aws(AwsSettings("eu-west-1", None, url, "123456789012", "testing", calls_per_second=RATE))
    key = account.upload("one")
    for number in range(COUNT):
        account.write(f"fleet-{number:02}", key=key, settings=LIVE)
    account.emulator.calls.clear()
    return account


def busiest(account: Any) -> int:
    """The most control-plane calls in any second, GetFunction and Invoke apart."""
    free = {"GetFunction", "Invoke", "GetPolicy"}
    calls = [call for call in account.emulator.calls if call.service == "lambda"]
    times = [call.at for call in calls if call.operation not in free]
    assert len(times) > 2 * RATE
    return max(sum(1 for other in times if start <= other < start + 1.0) for start in times)


def test_fifty_functions_are_deployed_no_faster_than_allowed(paced: Any) -> None:
    done = paced.apply()
    assert [one.version for one in done] == ["1"] * COUNT
    assert busiest(paced) <= RATE
    paced.converged()


def test_functions_that_fail_stop_no_others_and_all_are_told(paced: Any) -> None:
    failing = ("fleet-03", "fleet-31")
    for name in failing:
        paced.emulator.behaviour.failures[name] = ("InvalidRuntime", f"reason of {name}")
    with pytest.raises(SeveralErrors) as raised:
        paced.apply()
    assert len(raised.value.errors) == len(failing)
    told = " ".join(finding.message for finding in raised.value.findings)
    assert all(f"reason of {name}" in told for name in failing)
    functions = paced.emulator.region().functions
    assert sum(1 for one in functions.values() if "live" in one.aliases) == COUNT - len(failing)
    paced.apply()
    assert all("live" in one.aliases for one in functions.values())


def test_one_function_that_fails_is_the_error_itself(account: Any) -> None:
    for name in ("a", "b", "c"):
        account.write(name, key=account.upload("one"))
    account.emulator.faults.error("CreateFunction", "CodeStorageExceededException", 400, "full", nth=2)
    with pytest.raises(DeployRefused):
        account.apply()
    assert len(account.emulator.region().functions) == 2
