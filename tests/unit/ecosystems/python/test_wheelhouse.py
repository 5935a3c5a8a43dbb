"""Fetching wheels: from the store without a look at the network, and from servers that fail in every way."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from planton_build.cache import Store
from planton_build.ecosystems.python.index import Index
from planton_build.ecosystems.python.lock import Lock, LockedPackage
from planton_build.ecosystems.python.settings import IndexSettings, read_pip_settings
from planton_build.ecosystems.python.wheelhouse import Wheelhouse, damaged
from planton_build.errors import HashMismatch, IndexUnreachable, NoFittingWheel, WheelInvalid
from planton_build.events import Event, StepAdvanced, StepFinished, StepStarted
from planton_build.runtimes.catalog import target_for
from planton_build.runtimes.target import Target


class House:
    """A wheelhouse on a server, with a record of events and of how often the index was opened."""

    def __init__(self, server: Any, store: Store, target: Target) -> None:
        self.server, self.store, self.target = server, store, target
        self.events: list[Event] = []
        self.opened: list[Index] = []

    def open_index(self) -> Index:
        index = Index(IndexSettings(self.server.simple), sleep=lambda seconds: None)
        self.opened.append(index)
        return index

    def fetch(self, *packages: LockedPackage) -> Any:
        house = Wheelhouse(self.store, self.open_index, jobs=4, listener=self.events.append, function="f")
        fetched = house.fetch(Lock(self.target, packages))
        assert not fetched.sdists
        return fetched.wheels

    @property
    def advanced(self) -> int:
        return sum(event.amount for event in self.events if isinstance(event, StepAdvanced))

    def part(self, wheel: Any) -> Path:
        return self.store.root / "parts" / f"{wheel.sha256}.part"


@pytest.fixture
def house(index_server: Any, store: Store, arm: Target) -> Iterator[House]:
    house = House(index_server, store, arm)
    yield house
    for index in house.opened:
        index.close()


def locked(*wheels: Any) -> LockedPackage:
    name, version = wheels[0].filename.split("-")[:2]
    return LockedPackage(name, version, frozenset(wheel.sha256 for wheel in wheels))


def test_wheels_arrive_verified_with_progress_and_the_next_run_needs_no_index(
    house: House, wheel_maker: Callable[..., Any]
) -> None:
    wheels = [wheel_maker(name=name) for name in ("one", "three", "two")]
    house.server.serve(*wheels)

    found = house.fetch(*map(locked, wheels))

    assert [wheel.filename for wheel in found] == [wheel.filename for wheel in wheels]
    assert [wheel.path.read_bytes() for wheel in found] == [wheel.content for wheel in wheels]
    total = sum(len(wheel.content) for wheel in wheels)
    assert house.events[0] == StepStarted("f", "wheels", total, "bytes")
    assert house.advanced == total
    assert isinstance(house.events[-1], StepFinished)
    assert house.events[-1].detail == "3 wheels, 3 fetched"
    assert len(house.opened) == 1
    assert not list((house.store.root / "parts").glob("*.part"))

    house.server.close()
    assert house.fetch(*map(locked, wheels)) == found
    assert len(house.opened) == 1


def test_of_several_locked_hashes_the_choice_is_remembered(
    house: House, wheel_maker: Callable[..., Any]
) -> None:
    pure, native = wheel_maker(), wheel_maker(tag="cp311-cp311-manylinux_2_17_aarch64")
    foreign = wheel_maker(tag="cp311-cp311-win_amd64")
    house.server.serve(pure, native, foreign)

    (wheel,) = house.fetch(locked(pure, native, foreign))
    assert wheel.sha256 == native.sha256
    assert house.fetch(locked(pure, native, foreign)) == [wheel]
    assert house.fetch(locked(native)) == [wheel]
    assert len(house.opened) == 1

    # Another set of hashes is another question.
    (other,) = house.fetch(locked(pure, foreign))
    assert other.sha256 == pure.sha256
    assert len(house.opened) == 2


def test_an_interrupted_download_goes_on_where_it_stopped(
    house: House, reply: Any, wheel_maker: Callable[..., Any]
) -> None:
    wheel = wheel_maker()
    house.server.serve(wheel)
    path = f"/files/{wheel.filename}"
    tagged = {"ETag": '"strong"'}
    whole = reply(wheel.content, headers=tagged, ranges=True)
    house.server.routes[path] = [dataclasses.replace(whole, cut=100), reply(status=503), whole]

    (found,) = house.fetch(locked(wheel))

    assert found.path.read_bytes() == wheel.content
    requests = [request for request in house.server.requests if request.path == path]
    assert [request.headers.get("Range") for request in requests] == [None, "bytes=100-", "bytes=100-"]
    assert requests[2].headers["If-Range"] == '"strong"'
    assert house.advanced == len(wheel.content)


def test_a_later_process_resumes_what_an_earlier_one_left(
    house: House, wheel_maker: Callable[..., Any]
) -> None:
    wheel = wheel_maker()
    house.server.serve(wheel)
    house.part(wheel).parent.mkdir(parents=True)
    house.part(wheel).write_bytes(wheel.content[:50])

    (found,) = house.fetch(locked(wheel))

    assert found.path.read_bytes() == wheel.content
    assert house.server.requests[-1].headers["Range"] == "bytes=50-"
    assert house.advanced == len(wheel.content)


def test_a_part_that_is_whole_already_is_not_fetched(house: House, wheel_maker: Callable[..., Any]) -> None:
    wheel = wheel_maker()
    house.server.serve(wheel)
    house.part(wheel).parent.mkdir(parents=True)
    house.part(wheel).write_bytes(wheel.content)

    house.fetch(locked(wheel))

    assert house.server.paths() == ["/simple/demo/"]


@pytest.mark.parametrize("left", [b"x" * 50, b"x" * 100_000])
def test_a_damaged_part_is_thrown_away(house: House, wheel_maker: Callable[..., Any], left: bytes) -> None:
    wheel = wheel_maker()
    house.server.serve(wheel)
    house.part(wheel).parent.mkdir(parents=True)
    house.part(wheel).write_bytes(left)

    (found,) = house.fetch(locked(wheel))

    assert found.path.read_bytes() == wheel.content
    assert house.server.requests[-1].headers.get("Range") is None


@pytest.mark.parametrize("extra", [{}, {"ETag": '"other"'}])
def test_a_server_that_ignores_ranges_sends_the_file_anew(
    house: House, reply: Any, wheel_maker: Callable[..., Any], extra: dict[str, str]
) -> None:
    wheel = wheel_maker()
    house.server.serve(wheel)
    whole = reply(wheel.content, headers=extra)
    house.server.routes[f"/files/{wheel.filename}"] = [dataclasses.replace(whole, cut=100), whole]

    (found,) = house.fetch(locked(wheel))

    assert found.path.read_bytes() == wheel.content


def test_a_server_that_continues_at_the_wrong_byte_is_not_believed(
    house: House, reply: Any, wheel_maker: Callable[..., Any]
) -> None:
    wheel = wheel_maker()
    house.server.serve(wheel)
    wrong = reply(
        wheel.content[10:], status=206, headers={"Content-Range": f"bytes 10-99/{len(wheel.content)}"}
    )
    whole = reply(wheel.content)
    house.server.routes[f"/files/{wheel.filename}"] = [dataclasses.replace(whole, cut=100), wrong, whole]

    (found,) = house.fetch(locked(wheel))

    assert found.path.read_bytes() == wheel.content


def test_other_bytes_than_locked_are_named_and_never_visible(
    house: House, reply: Any, wheel_maker: Callable[..., Any]
) -> None:
    wheel = wheel_maker()
    house.server.serve(wheel)
    evil = wheel.content[:-1] + b"!"
    house.server.routes[f"/files/{wheel.filename}"] = reply(evil)

    with pytest.raises(HashMismatch) as caught:
        house.fetch(locked(wheel))

    assert "demo==1.0" in caught.value.message
    assert wheel.sha256 in caught.value.message
    assert not house.store.blob("wheels", wheel.sha256).exists()
    assert not house.part(wheel).exists()


def test_a_body_longer_than_announced_is_cut_off(
    house: House, reply: Any, wheel_maker: Callable[..., Any]
) -> None:
    wheel = wheel_maker()
    house.server.serve(wheel)
    house.server.routes[f"/files/{wheel.filename}"] = reply(wheel.content + b"more")

    with pytest.raises(IndexUnreachable, match=r"fetching demo==1\.0: .* more than the"):
        house.fetch(locked(wheel))
    assert not house.part(wheel).exists()


def test_a_page_without_hashes_and_sizes_still_gives_verified_wheels(
    house: House, reply: Any, wheel_maker: Callable[..., Any]
) -> None:
    wheel, second = wheel_maker(), wheel_maker(name="second")
    house.server.serve(wheel, second, hashes=False, size=False)

    (found,) = house.fetch(locked(wheel))
    assert found.path.read_bytes() == wheel.content
    assert house.events[0] == StepStarted("f", "wheels", None, "bytes")

    house.server.routes[f"/files/{second.filename}"] = reply(wheel.content)
    with pytest.raises(HashMismatch, match=second.sha256):
        house.fetch(locked(second))


def test_a_missing_file_names_package_and_place(house: House, wheel_maker: Callable[..., Any]) -> None:
    wheel = wheel_maker()
    house.server.serve(wheel)
    del house.server.routes[f"/files/{wheel.filename}"]

    with pytest.raises(IndexUnreachable, match=rf"fetching demo==1\.0: {house.server.url}/files/demo.* 404"):
        house.fetch(locked(wheel))


def test_a_connection_that_keeps_dropping_is_an_error_and_keeps_what_it_got(
    house: House, wheel_maker: Callable[..., Any]
) -> None:
    wheel = wheel_maker()
    house.server.serve(wheel)
    route = house.server.routes[f"/files/{wheel.filename}"]
    house.server.routes[f"/files/{wheel.filename}"] = dataclasses.replace(route, cut=10)

    with pytest.raises(IndexUnreachable, match=r"demo==1\.0"):
        house.fetch(locked(wheel))
    assert house.part(wheel).read_bytes() == wheel.content[:50]


def test_all_packages_without_a_wheel_are_reported_together(house: House) -> None:
    house.server.serve(others=["one-1.1.tar.gz", "two-1.1.tar.gz"])

    with pytest.raises(NoFittingWheel) as caught:
        house.fetch(*(LockedPackage(name, "1.0", frozenset({"0" * 64})) for name in ("one", "two")))
    assert len(caught.value.findings) == 2


def test_a_stored_wheel_of_another_package_is_refused(house: House, wheel_maker: Callable[..., Any]) -> None:
    wheel = wheel_maker()
    house.server.serve(wheel)
    house.fetch(locked(wheel))

    for name, version in (("other", "1.0"), ("demo", "2.0")):
        with pytest.raises(WheelInvalid, match="another package"):
            house.fetch(LockedPackage(name, version, frozenset({wheel.sha256})))


def test_a_stored_wheel_that_does_not_load_on_the_target_is_refused(
    house: House, intel: Target, wheel_maker: Callable[..., Any]
) -> None:
    wheel = wheel_maker(tag="cp311-cp311-manylinux_2_17_aarch64")
    house.server.serve(wheel)
    house.fetch(locked(wheel))

    house.target = intel
    with pytest.raises(WheelInvalid, match=r"does not load on python3\.13-x86_64"):
        house.fetch(locked(wheel))


def test_wheelhouses_side_by_side_fetch_a_wheel_once(house: House, wheel_maker: Callable[..., Any]) -> None:
    wheel = wheel_maker(files={"demo.bin": bytes(range(256)) * 4000})
    house.server.serve(wheel)
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.extend(house.fetch(locked(wheel)))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [wheel.path.read_bytes() for wheel in found] == [wheel.content] * 6
    assert house.server.paths().count(f"/files/{wheel.filename}") == 1


def test_damaged_wheels_are_found_removed_and_fetched_anew(
    house: House, wheel_maker: Callable[..., Any]
) -> None:
    wheels = [wheel_maker(name=name) for name in ("one", "three", "two")]
    house.server.serve(*wheels)
    found = house.fetch(*map(locked, wheels))
    assert damaged(found, house.store, jobs=2) == []

    found[0].path.write_bytes(b"changed")
    found[2].path.unlink()

    assert damaged(found, house.store, jobs=2) == [found[0], found[2]]
    assert [wheel.path.read_bytes() for wheel in house.fetch(*map(locked, wheels))] == [
        w.content for w in wheels
    ]


def test_wheels_come_from_a_folder_too(
    store: Store, arm: Target, tmp_path: Path, wheel_maker: Callable[..., Any]
) -> None:
    wheel = wheel_maker()
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / wheel.filename).write_bytes(wheel.content)
    settings = IndexSettings("", find_links=(str(tmp_path / "links"),), no_index=True)
    index = Index(settings)
    house = Wheelhouse(store, lambda: index, jobs=1, listener=lambda event: None, function="f")

    (found,) = house.fetch(Lock(arm, (locked(wheel),))).wheels

    assert found.path.read_bytes() == wheel.content
    assert (tmp_path / "links" / wheel.filename).read_bytes() == wheel.content
    index.close()


@pytest.mark.network
@pytest.mark.parametrize(
    ("architecture", "machine"),
    [("x86_64", "x86_64"), ("arm64", "aarch64")],
)
def test_the_configured_index_gives_wheels_for_both_architectures(
    store: Store, architecture: Any, machine: str
) -> None:
    target = target_for("python3.13", architecture)
    index = Index(read_pip_settings())
    pins = {"markupsafe": "3.0.2", "idna": "3.10"}
    lock = Lock(
        target,
        tuple(
            LockedPackage(
                name,
                version,
                frozenset(o.sha256 for o in index.offers(name) if o.version == version and o.sha256),
            )
            for name, version in pins.items()
        ),
    )
    house = Wheelhouse(store, lambda: index, jobs=2, listener=lambda event: None, function="f")

    markupsafe, idna = house.fetch(lock).wheels

    assert machine in markupsafe.filename
    assert idna.filename == "idna-3.10-py3-none-any.whl"
    assert damaged([markupsafe, idna], store, jobs=2) == []
    index.close()
