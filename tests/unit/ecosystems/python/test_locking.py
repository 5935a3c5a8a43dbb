"""When a lock is read, made, refused or kept, and that threads share the work."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from planton_build.cache import Store
from planton_build.ecosystems.python import locking
from planton_build.ecosystems.python.inputs import DependencyInput, find_input
from planton_build.ecosystems.python.lock import Lock, LockedPackage
from planton_build.ecosystems.python.locking import LockOutcome, ensure_lock
from planton_build.ecosystems.python.resolver import Upgrade, UvResolver
from planton_build.ecosystems.python.settings import IndexSettings
from planton_build.errors import DependencyInputInvalid, LockOutdated, NoFittingWheel, ResolutionFailed
from planton_build.events import Event, StepFinished, StepStarted
from planton_build.project.function import FunctionProject
from planton_build.runtimes.target import Target

Make = Callable[..., FunctionProject]
NAME = "requirements.python3.13-arm64.lock"
FILES = {"requirements.txt": "one\n"}


@dataclass
class Fixed:
    """A resolver that gives the same versions always, and remembers what it was asked."""

    versions: dict[str, str] = field(default_factory=lambda: {"one": "1.0"})
    asked: list[tuple[dict[str, str], Upgrade | None]] = field(default_factory=list)
    gate: threading.Event | None = None

    def resolve(
        self,
        dependencies: DependencyInput,
        target: Target,
        settings: IndexSettings,
        *,
        pins: Mapping[str, str],
        upgrade: Upgrade | None = None,
    ) -> Lock:
        self.asked.append((dict(pins), upgrade))
        if self.gate is not None:
            self.gate.wait(10)
        hashes = frozenset({"a" * 64, "b" * 64})
        return Lock(
            target, tuple(LockedPackage(name, version, hashes) for name, version in self.versions.items())
        )


def narrow(lock: Lock) -> Lock:
    return replace(
        lock, packages=tuple(replace(one, hashes=frozenset({min(one.hashes)})) for one in lock.packages)
    )


def refuse(*_: object, **__: object) -> Any:
    raise AssertionError("neither network nor settings are needed")


class Nothing:
    resolve = refuse


def ensure(project: FunctionProject, resolver: Any, **options: Any) -> LockOutcome:
    dependencies = find_input(project)
    assert dependencies is not None
    options.setdefault("settings", lambda: IndexSettings("https://index.example/simple"))
    return ensure_lock(project, dependencies, resolver, options.pop("narrow", narrow), **options)


def test_a_missing_lock_is_made_narrowed_and_written_beside_its_input(function: Make) -> None:
    project = function(FILES)
    events: list[Event] = []
    outcome = ensure(project, Fixed(), listener=events.append)
    assert outcome.path == project.options.source / NAME
    assert (outcome.changed, outcome.written, outcome.state) == (True, True, "created")
    assert outcome.lock.packages == (LockedPackage("one", "1.0", frozenset({"a" * 64})),)
    assert outcome.lock.source == outcome.path
    assert [type(event) for event in events] == [StepStarted, StepFinished]


def test_a_fresh_lock_is_read_without_resolver_settings_or_events(function: Make) -> None:
    project = function(FILES)
    made = ensure(project, Fixed())
    before = made.path.stat().st_mtime_ns
    again = ensure(project, Nothing(), settings=refuse, narrow=refuse, listener=refuse)
    assert again == LockOutcome(made.lock, made.path)
    assert made.path.stat().st_mtime_ns == before


@pytest.mark.parametrize("mode", ["frozen", "check"])
def test_a_missing_or_stale_lock_is_refused_when_nothing_may_be_written(function: Make, mode: str) -> None:
    project = function({"requirements.txt": "-r base.txt\n", "base.txt": "one"})
    with pytest.raises(LockOutdated, match=f"{NAME} is missing: requirements.txt is not locked") as caught:
        ensure(project, Nothing(), mode=mode, settings=refuse)
    assert "planton-build lock" in str(caught.value.hint)
    ensure(project, Fixed())
    assert ensure(project, Nothing(), mode=mode, settings=refuse).state == "up to date"
    function({"base.txt": "one>0"})
    with pytest.raises(LockOutdated, match=r"a file it includes \(base\.txt\) has changed"):
        ensure(project, Nothing(), mode=mode, settings=refuse)


def test_a_stale_lock_is_made_anew_with_its_pins_kept(function: Make) -> None:
    project = function(FILES)
    ensure(project, Fixed({"one": "1.0", "two": "2.0"}))
    function({"requirements.txt": "one # for the digest\n"})
    resolver = Fixed({"one": "1.0", "two": "2.0"})
    outcome = ensure(project, resolver)
    assert resolver.asked == [({"one": "1.0", "two": "2.0"}, None)]
    assert (outcome.changed, outcome.written, outcome.state) == (False, True, "updated")


def test_an_upgrade_resolves_although_the_lock_is_fresh(function: Make) -> None:
    project = function(FILES)
    ensure(project, Fixed())
    upgrade = Upgrade(packages=frozenset({"one"}))
    same = ensure(project, resolver := Fixed(), mode="write", upgrade=upgrade)
    assert resolver.asked == [({"one": "1.0"}, upgrade)]
    assert (same.changed, same.written, same.state) == (False, False, "up to date")
    newer = ensure(project, Fixed({"one": "2.0"}), mode="write", upgrade=upgrade)
    assert (newer.changed, newer.written) == (True, True)
    assert ensure(project, Nothing(), mode="write", upgrade=Upgrade()).lock == newer.lock


def test_a_damaged_lock_stops_a_build_and_is_replaced_by_the_lock_command(function: Make) -> None:
    project = function({**FILES, NAME: "<<<<<<< ours\n"})
    for mode in ("build", "frozen", "check"):
        with pytest.raises(DependencyInputInvalid, match="merge conflict"):
            ensure(project, Nothing(), mode=mode)
    assert ensure(project, Fixed(), mode="write").written


def test_a_failure_leaves_the_old_lock_as_it_was(function: Make) -> None:
    project = function(FILES)
    path = ensure(project, Fixed()).path
    before = path.read_bytes()
    function({"requirements.txt": "two"})

    def failing(lock: Lock) -> Lock:
        raise NoFittingWheel("none")

    with pytest.raises(NoFittingWheel):
        ensure(project, Fixed(), narrow=failing)
    assert path.read_bytes() == before
    assert not locking._running


def test_functions_that_share_an_input_and_a_target_share_one_resolution(function: Make) -> None:
    projects = [function(FILES, name=f"f{number}") for number in range(4)]
    other = function(FILES, architecture="x86_64")
    resolver, gate = Fixed(gate=threading.Event()), threading.Barrier(5)

    def run(project: FunctionProject) -> LockOutcome:
        gate.wait(10)
        return ensure(project, resolver)

    with ThreadPoolExecutor(5) as executor:
        running = [executor.submit(run, project) for project in [*projects, other]]
        while len(resolver.asked) < 2:
            pass
        assert resolver.gate is not None
        resolver.gate.set()
        outcomes = [one.result(10) for one in running]
    assert len(resolver.asked) == 2
    assert len({outcome.lock for outcome in outcomes[:4]}) == 1
    assert outcomes[4].path.name == "requirements.python3.13-x86_64.lock"


def test_all_who_wait_for_a_failing_resolution_see_its_failure(function: Make) -> None:
    project = function(FILES)
    gate = threading.Event()

    class Failing:
        def resolve(self, *_: object, **__: object) -> Lock:
            gate.wait(10)
            raise ResolutionFailed("no")

    with ThreadPoolExecutor(2) as executor:
        running = [executor.submit(ensure, project, Failing()) for _ in range(2)]
        gate.set()
        assert all(isinstance(one.exception(10), ResolutionFailed) for one in running)
    assert not locking._running


class TestInputsThatAreLocked:
    """Locks of other tools are read and left alone."""

    FILES: ClassVar = {
        "requirements.txt": f"one==1.0 --hash=sha256:{'a' * 64}\n./lib\n",
        "lib/pyproject.toml": "",
    }

    @pytest.mark.parametrize("mode", ["build", "frozen", "check", "write"])
    def test_they_are_read_in_every_mode_and_nothing_is_written(self, function: Make, mode: str) -> None:
        project = function(self.FILES)
        before = sorted(path.name for path in project.options.source.iterdir())
        outcome = ensure(
            project, Nothing(), mode=mode, settings=refuse, narrow=refuse, upgrade=Upgrade(everything=True)
        )
        assert (outcome.path.name, outcome.state, outcome.written) == (
            "requirements.txt",
            "locked already",
            False,
        )
        assert outcome.lock.packages == (LockedPackage("one", "1.0", frozenset({"a" * 64})),)
        assert [one.folder for one in outcome.lock.local] == [project.options.source / "lib"]
        assert sorted(path.name for path in project.options.source.iterdir()) == before

    def test_what_was_read_is_kept_in_the_store(
        self, function: Make, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        project = function(self.FILES)
        first = ensure(project, Nothing(), store=store)
        monkeypatch.setattr(locking, "_read_anew", refuse)
        assert ensure(project, Nothing(), store=store) == first
        function({"requirements.txt": f"one==2.0 --hash=sha256:{'a' * 64}\n"})
        with pytest.raises(AssertionError):
            ensure(project, Nothing(), store=store)


def test_with_the_real_uv_a_lock_is_the_same_on_every_machine(
    function: Make, shelf: Callable[..., Path], offline: IndexSettings, tmp_path: Path
) -> None:
    shelf("one", "1.0", "two")
    shelf("two", "1.0")
    texts = set()
    for place in ("here", "there/deeper"):
        (tmp_path / place).mkdir(parents=True)
        files = {
            "requirements.txt": "one\n./lib\n",
            "lib/pyproject.toml": '[project]\nname = "lib"\nversion = "1"\n',
        }
        project = function(files, source=tmp_path / place)
        resolver = UvResolver(dict(os.environ))
        texts.add(ensure(project, resolver, settings=lambda: offline).path.read_bytes())
    (text,) = texts
    assert b"# local: ./lib\n" in text
    assert str(tmp_path).encode() not in text
