from __future__ import annotations

import pytest

from planton_build.errors import EngineUnavailable
from planton_build.oci.image import Image
from planton_build.sandbox.disposable import removed_after
from planton_build.sandbox.engine import Engine
from planton_build.sandbox.serving import Service, serve_once


class Api:
    """Stands where docker's client is, and remembers what it was told to remove."""

    def __init__(self) -> None:
        self.removed: list[str] = []

    def remove_container(self, name: str, *, force: bool, v: bool) -> None:
        assert force
        assert v
        self.removed.append(name)

    def inspect_container(self, name: str) -> dict[str, str]:
        return {"Name": name}


@pytest.mark.parametrize("endpoint", ["ssh://builder", "tcp://10.0.0.5:2375", "https://engine.example:2376"])
def test_an_engine_on_another_machine_is_refused(endpoint: str) -> None:
    service = Service("invoking f", Image("", b"", b"", ()), 1, 1, {})
    with pytest.raises(EngineUnavailable, match=f"the container engine at {endpoint} is on another machine"):
        serve_once(Engine(None, "x86_64", "", endpoint), service, b"null")


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_container_is_removed_however_its_use_ends(error: type[BaseException]) -> None:
    api, made = Api(), []
    with pytest.raises(error), removed_after(Engine(api, "", "", ""), "invoke", made.append):
        raise error
    assert api.removed == made


def test_a_container_that_comes_to_be_after_ctrl_c_is_removed() -> None:
    api, asked = Api(), []

    def interrupted(name: str) -> None:
        asked.append(name)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), removed_after(Engine(api, "", "", ""), "invoke", interrupted):
        raise AssertionError
    assert api.removed == asked


def test_a_container_that_was_not_made_is_not_removed() -> None:
    api = Api()

    def failed(_: str) -> None:
        raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"), removed_after(Engine(api, "", "", ""), "invoke", failed):
        raise AssertionError
    assert api.removed == []
