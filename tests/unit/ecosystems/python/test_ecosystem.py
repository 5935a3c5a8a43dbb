"""The steps in order, on real wheels from a folder, with pip's own settings pointing there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from planton_build.cache import Store
from planton_build.ecosystems.python.ecosystem import PythonEcosystem
from planton_build.errors import LockOutdated
from planton_build.events import ignore
from planton_build.project.function import FunctionProject

Make = Callable[..., FunctionProject]
Put = Callable[..., Path]


def ecosystem(store: Store, mode: str = "build") -> PythonEcosystem:
    return PythonEcosystem(store, mode=mode, jobs=2, listener=ignore, environment=os.environ)  # type: ignore[arg-type]


@pytest.fixture
def orders(function: Make, shelf: Put, monkeypatch: pytest.MonkeyPatch) -> FunctionProject:
    links = shelf("alpha", "1.0", "beta")
    shelf("beta", "2.0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    return function({"requirements.txt": "alpha\n", "app.py": "def handler(e, c): ...\n"})


def test_a_function_without_inputs_has_no_packages(function: Make, store: Store) -> None:
    dependencies = ecosystem(store).dependencies(function({"app.py": ""}))
    assert dependencies.packages() == []
    assert dependencies.package_count == 0


def test_packages_are_locked_fetched_and_named(orders: FunctionProject, store: Store) -> None:
    dependencies = ecosystem(store).dependencies(orders)
    packages = dependencies.packages()
    assert [(package.name, package.version) for package in packages] == [("alpha", "1.0"), ("beta", "2.0")]
    assert all(member.origin == package.name for package in packages for member in package.members)
    assert dependencies.state == "created"


def test_a_fresh_lock_is_read_in_frozen_mode(orders: FunctionProject, store: Store) -> None:
    with pytest.raises(LockOutdated):
        ecosystem(store, "frozen").dependencies(orders)
    made = ecosystem(store).dependencies(orders)
    assert ecosystem(store, "frozen").dependencies(orders).fingerprint == made.fingerprint


def test_a_way_into_containers_that_was_not_taken_changes_no_key(
    orders: FunctionProject, store: Store
) -> None:
    dependencies = ecosystem(store).dependencies(orders)
    before = dependencies.fingerprint
    assert dependencies.room.digest is None
    assert dependencies.fingerprint == before


@pytest.mark.parametrize("with_tables", [True, False], ids=["tables kept", "tables gone"])
def test_a_wheel_damaged_in_the_store_is_fetched_again(
    orders: FunctionProject, store: Store, with_tables: bool
) -> None:
    dependencies = ecosystem(store).dependencies(orders)
    before = dependencies.packages()
    blob = before[0].members[0].file
    blob.write_bytes(b"x" + blob.read_bytes()[1:])
    if not with_tables:
        for record in (store.root / "members").rglob("*.json"):
            record.unlink()
    after = ecosystem(store).dependencies(orders).packages()
    assert [package.members for package in after] == [package.members for package in before]
    assert store.intact("wheels", blob.name)
