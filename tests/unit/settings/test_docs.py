"""docs/deploy-settings.md has every key, and its examples are read as they stand."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from planton_build.settings.deploy_table import read_deploy
from planton_build.settings.table import Table

PAGE = (Path(__file__).parents[3] / "docs/deploy-settings.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FULL = {
    "rollout": {},
    "url": {"cors": {}},
    "async": {},
    "logging": {},
    "image": {},
    "alarms": {},
    "runtime-management": {},
    "role": {},
    "file-systems": [{}],
    "permissions": [{}],
    "event-sources": [{"access": [{}]}],
    "references": [{}],
}
"""Every table that there is."""


def documented() -> dict[str, list[str]]:
    """Return the keys of every table of the page."""
    found = {}
    for name, table in re.findall(r"<!-- settings: (\S+) -->\n((?:\|.*\n)+)", PAGE):
        found[name] = [re.match(r"\| `([^`]+)`", row)[1] for row in table.splitlines()[2:]]
    return found


@pytest.fixture
def known(monkeypatch) -> dict[str, set[str]]:
    """Return the keys of every table as they are asked for."""
    found = {}
    close = Table.close

    def noted(self) -> None:
        close(self)
        found[re.sub(r"\[\d+\]", "", self._name) or "deploy"] = set(self._known)

    monkeypatch.setattr(Table, "close", noted)
    read_deploy(Table(FULL), Path(), str)
    return found


def test_every_key_is_described(known):
    known["references"] = {"type", "kinds", "env"}
    assert {name: set(keys) for name, keys in documented().items()} == known


def test_every_key_is_described_once():
    for keys in documented().values():
        assert len(keys) == len(set(keys))


@pytest.mark.parametrize("text", EXAMPLES, ids=range(len(EXAMPLES)))
def test_examples_are_read(tmp_path, text):
    (tmp_path / "events").mkdir()
    (tmp_path / "events/smoke.json").write_text("{}")
    document = tomllib.loads(text)
    document = document.get("tool", {}).get("planton", document)
    tables = [document[key] for key in ("deploy",) if key in document]
    tables += [function["deploy"] for function in document.get("function", {}).values()]
    assert tables
    for values in tables:
        table = Table(values)
        read_deploy(table, tmp_path, str)
        assert table.faults == []
