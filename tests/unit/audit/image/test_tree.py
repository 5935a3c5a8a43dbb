"""Layers over each other, held against a model that applies them one by one to a tree of folders."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planton_build.audit.image import tree as module
from planton_build.audit.image.facts import LayerFacts
from planton_build.audit.image.tar import Entry
from planton_build.audit.image.tree import Tree

PATHS = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join)
ENTRIES = st.dictionaries(PATHS, st.sampled_from("fdl"), max_size=8)
LAYERS = st.lists(
    st.tuples(ENTRIES, st.lists(PATHS, max_size=3), st.lists(st.one_of(PATHS, st.just("")), max_size=2)),
    max_size=5,
)


def facts(entries: dict[str, str], hidden: Any = (), opaque: Any = (), **targets: str) -> LayerFacts:
    rows = tuple(Entry(path, kind, 0o755, 0, targets.get(path, "")) for path, kind in entries.items())
    return LayerFacts(0, "gzip", rows, tuple(hidden), tuple(opaque))


def consistent(entries: dict[str, str]) -> dict[str, str]:
    """Leave out what lies below a file of the same layer, and name all folders."""
    kept: dict[str, str] = {}
    for path in sorted(entries):
        parts = path.split("/")
        above = ["/".join(parts[:count]) for count in range(1, len(parts))]
        if all(kept.get(one, "d") == "d" for one in above):
            kept |= dict.fromkeys(above, "d")
            kept[path] = entries[path]
    return kept


def applied(layers: list[tuple[dict[str, str], list[str], list[str]]]) -> dict[str, tuple[str, int]]:
    tree: dict[str, tuple[str, int]] = {}
    for index, (entries, hidden, opaque) in enumerate(layers):
        for path in hidden:
            tree = {one: v for one, v in tree.items() if one != path and not one.startswith(f"{path}/")}
        for path in opaque:
            tree = {one: v for one, v in tree.items() if path and not one.startswith(f"{path}/")}
        for path, kind in entries.items():
            if kind != "d" or tree.get(path, ("d", 0))[0] != "d":
                tree = {one: v for one, v in tree.items() if not one.startswith(f"{path}/")}
            tree[path] = (kind, index)
    return tree


@pytest.mark.parametrize("known", [50_000, 1])
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(layers=LAYERS)
def test_layers_over_each_other_are_what_applying_them_gives(
    layers: Any, known: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_KNOWN", known)
    clean = [(consistent(entries), hidden, opaque) for entries, hidden, opaque in layers]
    tree = Tree([facts(*one) for one in clean])
    assert {path: (seen.entry.kind, seen.layer) for path, seen in tree.files.items()} == applied(clean)


def test_a_layer_s_own_files_stay_beside_its_whiteouts() -> None:
    lower = facts({"a": "d", "a/old": "f", "b": "f"})
    tree = Tree([lower, facts({"a": "d", "a/new": "f", "b": "f"}, hidden=["b"], opaque=["a"])])
    assert sorted(tree.files) == ["a", "a/new", "b"]
    assert tree.files["b"].layer == 1


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/bin/sh", "usr/bin/bash"),
        ("bin/../bin/bash", "usr/bin/bash"),
        ("/usr/bin/../../../usr/bin/bash", "usr/bin/bash"),
        ("/loop", None),
        ("/out", "usr/bin/bash"),
        ("/bin/absent", None),
        ("/dangling", None),
    ],
)
def test_links_are_followed_within_the_image(path: str, found: str | None) -> None:
    links = {
        "bin": "usr/bin",
        "usr/bin/sh": "bash",
        "loop": "loop",
        "out": "../../../../usr/bin/bash",
        "dangling": "/nowhere",
    }
    entries = {"usr": "d", "usr/bin": "d", "usr/bin/bash": "f", **dict.fromkeys(links, "l")}
    assert Tree([facts(entries, **links)]).find(path) == found
