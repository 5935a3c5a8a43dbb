from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from planton_build.errors import ConfigInvalid, PlantonError, ResolutionFailed, SeveralErrors
from planton_build.parallel import SingleFlight, each

JOBS = pytest.mark.parametrize("jobs", [1, 2, 16])


@JOBS
def test_results_come_in_the_order_of_the_items(jobs: int) -> None:
    assert each(range(50), lambda n: n * n, jobs=jobs) == [n * n for n in range(50)]
    assert each([], str, jobs=jobs) == []


def test_items_are_worked_on_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=20)  # breaks when they come one after the other
    assert len(each([1, 2], lambda _: both.wait(), jobs=2)) == 2


def test_no_more_run_at_a_time_than_allowed() -> None:
    running, most, guard = 0, 0, threading.Lock()
    pause = threading.Event()

    def work(_: int) -> None:
        nonlocal running, most
        with guard:
            running += 1
            most = max(most, running)
        pause.wait(0.005)
        with guard:
            running -= 1

    each(range(20), work, jobs=3)
    assert most <= 3


@JOBS
def test_one_failure_is_itself_and_the_others_are_done(jobs: int) -> None:
    done: list[int] = []

    def work(n: int) -> None:
        if n == 2:
            raise ConfigInvalid("two")
        done.append(n)

    with pytest.raises(ConfigInvalid, match="two"):
        each(range(5), work, jobs=jobs)
    assert sorted(done) == [0, 1, 3, 4]


@JOBS
def test_several_failures_are_all_told_in_order(jobs: int) -> None:
    def work(n: int) -> None:
        raise (ResolutionFailed if n % 2 else ConfigInvalid)(f"item {n}")

    with pytest.raises(SeveralErrors) as caught:
        each(range(4), work, jobs=jobs)
    assert [str(error) for error in caught.value.errors] == [f"item {n}" for n in range(4)]
    assert [finding.message for finding in caught.value.findings] == [f"item {n}" for n in range(4)]


@JOBS
def test_a_bug_is_not_hidden_by_a_users_mistake(jobs: int) -> None:
    def work(n: int) -> None:
        raise (KeyError("bug") if n == 1 else PlantonError("mistake"))

    with pytest.raises(KeyError, match="bug"):
        each(range(3), work, jobs=jobs)


def test_after_an_interrupt_running_work_is_not_waited_for() -> None:
    release, begun = threading.Event(), threading.Event()
    started: list[int] = []
    ended: list[int] = []

    def work(n: int) -> None:
        started.append(n)
        if n == 0:
            begun.wait(20)
            raise KeyboardInterrupt
        begun.set()
        release.wait(5)
        ended.append(n)

    with pytest.raises(KeyboardInterrupt):
        each(range(10), work, jobs=2)
    assert ended == []
    release.set()
    assert sorted(started)[:2] == [0, 1]
    assert len(started) < 10


def test_what_several_threads_ask_for_is_done_once_for_all_of_them() -> None:
    flight, begun, end, looked_up = SingleFlight[str](), *(threading.Event() for _ in range(3))

    class Key:
        """Equal to all of its kind; tells when it is looked up, which is done in one step with joining."""

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Key)

        def __hash__(self) -> int:
            looked_up.set()
            return 1

    def work() -> str:
        begun.set()
        assert end.wait(20)
        return "the first one's"

    with ThreadPoolExecutor(2) as executor:
        first = executor.submit(flight.run, Key(), work)
        assert begun.wait(20)
        looked_up.clear()
        joined = executor.submit(flight.run, Key(), lambda: "the joining one's")
        assert looked_up.wait(20)
        assert flight.run("another key", lambda: "its own") == "its own"
        assert len(flight) == 1
        end.set()
        assert first.result(20) == joined.result(20) == "the first one's"
    assert len(flight) == 0
    assert flight.run(Key(), lambda: "done anew") == "done anew"


def test_a_failure_reaches_all_who_asked_and_is_not_kept() -> None:
    flight, gate = SingleFlight[int](), threading.Event()

    def work() -> int:
        gate.wait(20)
        raise ConfigInvalid("no")

    with ThreadPoolExecutor(2) as executor:
        asked = [executor.submit(flight.run, 1, work) for _ in range(2)]
        gate.set()
        assert all(isinstance(one.exception(20), ConfigInvalid) for one in asked)
    assert flight.run(1, lambda: 7) == 7
