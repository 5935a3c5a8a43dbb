"""`Regions`: all Lambdas of all accounts, made when somebody first asks for one."""

from __future__ import annotations

import dataclasses
import threading
import time

from planton_build.emulator.state import Behaviour, Region, Runner, World


class Regions:
    """The state of Lambda by account and region. They share a world, a behaviour and a runner."""

    def __init__(self, world: World, runner: Runner, behaviour: Behaviour | None = None) -> None:
        self.world = world
        self.runner = runner
        self.behaviour = behaviour or Behaviour(now=time.monotonic)
        self._usual = dataclasses.replace(self.behaviour, failures=dict(self.behaviour.failures))
        self._lock = threading.Lock()
        self._regions: dict[tuple[str, str], Region] = {}

    def get(self, account: str, region: str) -> Region:
        """Return Lambda in an account (twelve digits) and region."""
        with self._lock:
            found = self._regions.get((account, region))
            if found is None:
                found = Region(account, region, self.world, self.behaviour, self.runner)
                self._regions[account, region] = found
            return found

    def code_at(self, path: str) -> bytes | None:
        """Return the ZIP whose `Location` ends in a path, None when no function or version has such a one."""
        with self._lock:
            regions = list(self._regions.values())
        for region in regions:
            with region.lock:
                versions = [
                    version
                    for function in region.functions.values()
                    for version in (function.latest, *function.versions.values())
                ]
            for version in versions:
                if version.code.location.endswith(path) and version.code.read is not None:
                    return version.code.read()
        return None

    def clear(self) -> None:
        """Forget all functions and whatever else there is, in all regions."""
        with self._lock:
            self._regions.clear()

    def behave(self) -> None:
        """Set the behaviour to what it was at the beginning."""
        for field in dataclasses.fields(self._usual):
            value = getattr(self._usual, field.name)
            setattr(self.behaviour, field.name, dict(value) if isinstance(value, dict) else value)
