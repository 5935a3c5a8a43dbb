"""Which wheel is taken, and what is said when there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planton_build.ecosystems.python.index import Index, Offer
from planton_build.ecosystems.python.lock import Lock, LockedPackage
from planton_build.ecosystems.python.selection import (
    avoiding_sources,
    choose,
    choose_sdist,
    fits,
    narrow,
    unfit_versions,
)
from planton_build.ecosystems.python.settings import IndexSettings
from planton_build.errors import NoFittingWheel
from planton_build.runtimes.catalog import target_for
from planton_build.runtimes.target import Target

HASHES = [f"{number:064x}" for number in range(20)]


def offered(*tags: str, version: str = "1.0", requires_python: str | None = None) -> list[Offer]:
    """Return wheels of a package `demo`, or its sdist for the tag `sdist`, with the hashes in order."""
    return [
        Offer(
            f"demo-{version}.tar.gz" if tag == "sdist" else f"demo-{version}-{tag}.whl",
            f"https://files.example/{tag}",
            "sdist" if tag == "sdist" else "wheel",
            version,
            HASHES[number],
            requires_python=requires_python,
        )
        for number, tag in enumerate(tags)
    ]


def locked(*hashes: str, version: str = "1.0") -> LockedPackage:
    return LockedPackage("demo", version, frozenset(hashes or HASHES))


@pytest.mark.parametrize(
    ("runtime", "architecture", "best"),
    [
        ("python3.11", "arm64", "cp311-cp311-manylinux_2_26_aarch64"),
        ("python3.11", "x86_64", "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64"),
        ("python3.12", "arm64", "cp312-cp312-manylinux_2_34_aarch64"),
        ("python3.13", "x86_64", "cp39-abi3-manylinux_2_28_x86_64"),
        ("python3.14", "x86_64", "cp39-abi3-manylinux_2_28_x86_64"),
        ("python3.10", "arm64", "py3-none-any"),
    ],
)
def test_the_best_wheel_that_loads_is_taken_in_any_order_of_offers(
    runtime: str, architecture: Any, best: str
) -> None:
    offers = offered(
        "py3-none-any",
        "cp311-cp311-manylinux_2_26_aarch64",
        "cp311-cp311-manylinux_2_17_aarch64",
        "cp311-cp311-manylinux_2_28_aarch64",
        "cp311-cp311-manylinux_2_28_x86_64",
        "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64",
        "cp312-cp312-manylinux_2_34_aarch64",
        "cp312-cp312-manylinux_2_35_aarch64",
        "cp312-cp312-musllinux_1_2_aarch64",
        "cp39-abi3-manylinux_2_28_x86_64",
        "cp313-cp313t-manylinux_2_17_x86_64",
        "cp310-cp310-macosx_11_0_arm64",
        "cp310-cp310-win_amd64",
        "sdist",
    )
    target = target_for(runtime, architecture)

    assert choose(locked(), target, offers).filename == f"demo-1.0-{best}.whl"
    assert choose(locked(), target, offers[::-1]).filename == f"demo-1.0-{best}.whl"


def test_only_a_locked_hash_is_taken_even_if_another_wheel_fits_better(arm: Target) -> None:
    offers = offered("py3-none-any", "cp311-cp311-manylinux_2_17_aarch64")

    assert choose(locked(HASHES[0]), arm, offers) == offers[0]


def test_the_higher_build_tag_wins_and_numbers_compare_as_numbers(arm: Target) -> None:
    offers = offered("py3-none-any", "9-py3-none-any", "10-py3-none-any", "10b-py3-none-any")

    assert choose(locked(), arm, offers) == offers[3]
    assert choose(locked(*HASHES[:3]), arm, offers) == offers[2]


def test_the_same_file_on_two_indexes_comes_from_the_first(arm: Target) -> None:
    (first,) = offered("py3-none-any")
    second = replace(first, url="https://mirror.example/")

    assert choose(locked(), arm, [first, second]) is first
    assert choose(locked(), arm, [second, first]) is second


def test_versions_compare_by_meaning(arm: Target) -> None:
    offers = offered("py3-none-any", version="1.0.0")

    assert choose(locked(version="1.0"), arm, offers) == offers[0]


@pytest.mark.parametrize("other_hash", [None, "f" * 64])
def test_a_wheel_without_a_hash_is_taken_only_if_nothing_else_is_in_question(
    arm: Target, other_hash: str | None
) -> None:
    bare = replace(offered("py3-none-any")[0], sha256=None)
    other = replace(offered("py2.py3-none-any")[0], sha256=other_hash)

    assert choose(locked(), arm, [bare]) is bare
    assert choose(locked(), arm, [bare, replace(bare, url="https://mirror.example/")]) is bare
    if other_hash is None:
        with pytest.raises(NoFittingWheel):
            choose(locked(), arm, [bare, other])
    else:
        assert choose(locked(), arm, [bare, other]) is bare


def test_a_wheel_for_another_python_does_not_fit(arm: Target) -> None:
    offers = offered("py3-none-any", requires_python=">=3.12")

    assert not fits("1.0", arm, offers)
    with pytest.raises(NoFittingWheel, match=r"requires Python >=3\.12"):
        choose(locked(), arm, offers)
    assert fits("1.0", arm, offered("py3-none-any", requires_python=">=3.9.*, nonsense"))


def test_the_refusal_says_what_the_target_takes_what_is_offered_and_what_to_do(arm: Target) -> None:
    offers = [
        *offered(
            "cp311-cp311-manylinux_2_28_aarch64", "cp311-cp311-manylinux_2_17_x86_64", "sdist", version="2.0"
        ),
        *offered("cp311-cp311-manylinux_2_17_aarch64", version="1.9"),
        *offered("cp311-cp311-manylinux_2_17_aarch64", version="1.10"),
        *offered("cp311-cp311-manylinux_2_17_aarch64", version="1.11rc1"),
        replace(offered("cp311-cp311-manylinux_2_17_aarch64", version="1.12")[0], yanked=True),
    ]

    with pytest.raises(NoFittingWheel) as caught:
        choose(locked(version="2.0"), arm, offers)

    message, hint = caught.value.message, caught.value.hint or ""
    assert "demo==2.0 has no wheel for python3.11-arm64" in message
    assert "manylinux_2_17 … manylinux_2_26, aarch64, CPython 3.11" in message
    assert "cp311-cp311-manylinux_2_17_x86_64, cp311-cp311-manylinux_2_28_aarch64 and an sdist" in message
    assert "require demo==1.10," in hint
    assert "use the architecture x86_64" in hint
    assert "build its sdist in a container" in hint


def test_a_long_list_of_tags_is_cut(arm: Target) -> None:
    offers = offered(*(f"cp3{minor}-cp3{minor}-win_amd64" for minor in range(20)))

    with pytest.raises(NoFittingWheel, match="and 12 more and no sdist"):
        choose(locked(), arm, offers)


def test_hashes_that_exclude_every_fitting_wheel_are_the_reason_given(arm: Target) -> None:
    offers = offered("py3-none-any")

    with pytest.raises(
        NoFittingWheel, match=r"demo-1\.0-py3-none-any\.whl.* none has one of the 1 locked"
    ) as caught:
        choose(locked("f" * 64), arm, offers)
    assert "planton-build lock" in (caught.value.hint or "")


def test_an_unknown_package_or_version_is_said_to_be_unknown(arm: Target) -> None:
    with pytest.raises(NoFittingWheel, match="do not know the package"):
        choose(locked(), arm, [])
    with pytest.raises(NoFittingWheel, match="no file of this version") as caught:
        choose(locked(version="3.0"), arm, offered("py3-none-any"))
    assert "require demo==1.0" in (caught.value.hint or "")


def test_unfit_versions_are_those_without_any_wheel_that_loads(arm: Target) -> None:
    offers = [
        *offered("cp311-cp311-manylinux_2_28_aarch64", "sdist", version="2.10"),
        *offered("sdist", version="2.9"),
        *offered("py3-none-any", "sdist", version="2.0"),
        *offered("py3-none-any", version="not-a-version"),
    ]

    assert unfit_versions(arm, offers) == ("2.9", "2.10")


TAGS = st.sampled_from(
    [
        "py3-none-any",
        "py2.py3-none-any",
        "cp311-cp311-manylinux_2_17_aarch64",
        "cp311-abi3-manylinux2014_aarch64",
        "cp39-abi3-manylinux_2_24_aarch64",
        "1-py3-none-any",
        "cp311-cp311-win_arm64",
    ]
)


@given(st.permutations(range(7)), st.lists(TAGS, min_size=7, max_size=7, unique=True))
def test_the_choice_does_not_depend_on_the_order_of_pages(order: list[int], tags: list[str]) -> None:
    target = target_for("python3.11", "arm64")
    offers = offered(*tags)

    assert choose(locked(), target, [offers[index] for index in order]).filename == (
        "demo-1.0-cp311-cp311-manylinux_2_17_aarch64.whl"
    )


def test_narrowing_leaves_one_hash_each_and_reports_all_failures(
    index_server: Any, arm: Target, wheel_maker: Callable[..., Any]
) -> None:
    wheels = [wheel_maker(name=name) for name in ("one", "two")]
    index_server.serve(*wheels, others=["bad-1.0-py3-none-win32.whl", "worse-1.0.tar.gz"])
    packages = [
        LockedPackage(name, "1.0", frozenset({*HASHES, *(w.sha256 for w in wheels)}))
        for name in ("one", "two")
    ]
    index = Index(IndexSettings(index_server.simple))

    lock = narrow(Lock(arm, tuple(packages)), index)
    assert [package.hashes for package in lock.packages] == [frozenset({wheel.sha256}) for wheel in wheels]

    more = [LockedPackage(name, "1.0", frozenset(HASHES)) for name in ("bad", "worse")]
    with pytest.raises(NoFittingWheel, match="1 more packages failed") as caught:
        narrow(Lock(arm, (*packages, *more)), index)
    assert [finding.message.split()[0] for finding in caught.value.findings] == ["bad==1.0", "worse==1.0"]
    index.close()


def test_the_locked_sdist_is_chosen_and_no_other() -> None:
    offers = [*offered("sdist", "cp311-cp311-manylinux_2_28_aarch64"), *offered("sdist", version="2.0")]
    chosen = choose_sdist(locked(HASHES[0]), offers)
    assert chosen is not None
    assert chosen.filename == "demo-1.0.tar.gz"
    assert choose_sdist(locked(HASHES[5]), offers) is None
    assert choose_sdist(locked(HASHES[0], version="3.0"), offers) is None


def test_an_sdist_without_a_hash_is_chosen_only_when_it_is_the_only_one() -> None:
    (unhashed,) = (replace(offer, sha256=None) for offer in offered("sdist"))
    assert choose_sdist(locked(HASHES[0]), [unhashed]) is unhashed
    other = replace(unhashed, filename="demo-1.0.zip")
    assert choose_sdist(locked(HASHES[0]), [unhashed, other]) is None


@dataclass(frozen=True)
class OneIndex:
    """An index that has one package."""

    found: list[Offer]

    def offers(self, name: str) -> list[Offer]:
        assert name == "demo"
        return self.found


def narrowed(offers: list[Offer], **options: Any) -> Lock:
    target = target_for("python3.11", "arm64")
    index: Any = OneIndex(offers)
    return narrow(Lock(target, (locked(),)), index, jobs=1, **options)


def test_a_lock_takes_the_sdist_only_where_it_may_and_no_wheel_fits() -> None:
    foreign = offered("cp311-cp311-manylinux_2_28_aarch64", "sdist")
    with pytest.raises(NoFittingWheel) as caught:
        narrowed(foreign)
    assert caught.value.has_sdist
    lock = narrowed(foreign, sdists=True)
    assert lock.sdists == {"demo"}
    assert lock.packages[0].hashes == {HASHES[1]}

    fitting = offered("cp311-cp311-manylinux_2_17_aarch64", "sdist")
    lock = narrowed(fitting, sdists=True)
    assert (lock.sdists, lock.packages[0].hashes) == (frozenset(), {HASHES[0]})


@pytest.mark.parametrize("no_binary", [("demo",), (":all:",)])
def test_no_binary_asks_for_the_sdist_though_there_is_a_wheel(no_binary: tuple[str, ...]) -> None:
    lock = narrowed(offered("py3-none-any", "sdist"), sdists=True, no_binary=no_binary)
    assert lock.sdists == {"demo"}


def test_the_way_to_avoid_an_sdist_names_a_version_with_a_wheel_or_says_nothing() -> None:
    target = target_for("python3.11", "arm64")
    offers = [*offered("sdist"), *offered("py3-none-any", version="0.9")]
    assert "demo==0.9" in avoiding_sources(locked(), target, offers)
    assert avoiding_sources(locked(), target, offered("sdist")) == ""
