"""Independent work side by side, with every failure reported and none hidden by another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from planton_build.errors import PlantonError, SeveralErrors

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(items: Sequence[Item], work: Callable[[Item], Result], *, jobs: int) -> list[Result]:
    """Apply `work` to every item with up to `jobs` threads; return the results in the items' order.

    All items are tried. Raises the one PlantonError that occurred, or SeveralErrors; any other exception at
    once. After a KeyboardInterrupt nothing new is begun, and what is under way is not waited for.
    """
    if len(items) <= 1 or jobs <= 1:
        outcomes = [_attempt(work, item) for item in items]
    else:
        executor = ThreadPoolExecutor(min(jobs, len(items)), thread_name_prefix="planton")
        waiting = True
        try:
            outcomes = list(executor.map(lambda item: _attempt(work, item), items))
        except KeyboardInterrupt:
            waiting = False
            raise
        finally:
            executor.shutdown(wait=waiting, cancel_futures=True)
    errors = [outcome for outcome in outcomes if isinstance(outcome, PlantonError)]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise SeveralErrors(errors)
    return [outcome for outcome in outcomes if not isinstance(outcome, PlantonError)]


class SingleFlight(Generic[Result]):
    """Work that several threads may ask for at the same time, and that one of them does for all."""

    def __init__(self) -> None:
        self._running: dict[Hashable, Future[Result]] = {}
        self._guard = threading.Lock()

    def __len__(self) -> int:
        """Return how many pieces of work are under way."""
        return len(self._running)

    def run(self, key: Hashable, work: Callable[[], Result]) -> Result:
        """Do `work` unless another thread is doing that of the same `key`; then wait for what comes of it.

        Raises what the work raises, in every thread that asked for it.
        """
        mine: Future[Result] = Future()
        with self._guard:
            running = self._running.setdefault(key, mine)
        if running is not mine:
            return running.result()
        try:
            result = work()
        except BaseException as error:
            mine.set_exception(error)
            raise
        else:
            mine.set_result(result)
            return result
        finally:
            with self._guard:
                del self._running[key]


def _attempt(work: Callable[[Item], Result], item: Item) -> Result | PlantonError:
    try:
        return work(item)
    except PlantonError as error:
        return error
