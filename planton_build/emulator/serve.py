"""`serve`: the emulated AWS on a port of the loopback interface, for tests."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from planton_build.emulator.application import Application
from planton_build.emulator.calls import Calls
from planton_build.emulator.faults import Faults
from planton_build.emulator.moto_world import MotoWorld
from planton_build.emulator.regions import Regions
from planton_build.emulator.scripted import Scripted
from planton_build.emulator.services import DEFAULT_ACCOUNT
from planton_build.emulator.state import Behaviour, Region


@dataclass(frozen=True, slots=True)
class Emulator:
    """A running emulator: where it is, and its controls."""

    url: str
    application: Application
    world: MotoWorld
    scripted: Scripted

    @property
    def calls(self) -> Calls:
        """Return the calls so far."""
        return self.application.calls

    @property
    def faults(self) -> Faults:
        """Return what goes wrong on command."""
        return self.application.faults

    @property
    def behaviour(self) -> Behaviour:
        """Return how long things take, and what fails."""
        return self.application.regions.behaviour

    def region(self, account: str = DEFAULT_ACCOUNT, region: str = "eu-west-1") -> Region:
        """Return the state of Lambda in an account and region."""
        return self.application.regions.get(account, region)

    def reset(self) -> None:
        """Forget everything, in Lambda and in moto, and behave as at the beginning."""
        from moto.moto_api._internal.models import moto_api_backend

        moto_api_backend.reset()
        self.application.regions.clear()
        self.application.regions.behave()
        self.faults.clear()
        self.world.late_roles.clear()
        self.scripted.clear()
        self.calls.clear()


def moto() -> Any:
    """Return moto's WSGI application for all of its services."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    return DomainDispatcherApplication(create_backend_app)


def listen(application: Any) -> Any:
    """Return werkzeug's server for an application, bound to a free loopback port."""
    from moto.moto_server.werkzeug_app import MotoRequestHandler
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # one line per request helps nobody
    return make_server("127.0.0.1", 0, application, threaded=True, request_handler=MotoRequestHandler)


@contextlib.contextmanager
def serve(*, behaviour: Behaviour | None = None) -> Iterator[Emulator]:
    """Run Lambda before moto in a thread of this process, on a free port, within the block."""
    scripted = Scripted()
    world = MotoWorld(strict=lambda: regions.behaviour.strict_world)
    regions = Regions(world, scripted, behaviour)
    application = Application(moto(), regions)
    server = listen(application)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield Emulator(f"http://127.0.0.1:{server.server_port}", application, world, scripted)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        world.close()
