from __future__ import annotations

import zipfile
from pathlib import Path

from planton_build.audit.layers import joined, known_layer, look_into
from planton_build.cache import Store

ARN = "arn:aws:lambda:eu-west-1:123456789012:layer:drivers:4"


def layer(folder: Path) -> Path:
    path = folder / "layer.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("python/PyYAML-6.0.dist-info/METADATA", "Name: PyYAML\nVersion: 6.0\n")
        archive.writestr(
            "python/lib/python3.11/site-packages/odd_name-1.dist-info/METADATA", "Name: odd_name\n"
        )
        archive.writestr("lib/notes.txt", "x" * 100)
        archive.writestr("lib/libodbc.so.2", Path("/bin/true").resolve().read_bytes())
    return path


def test_a_layer_is_looked_into_once_and_known_from_then_on(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert known_layer(ARN, store) is None
    found = look_into(ARN, layer(tmp_path), store)
    assert found.packages == ("odd-name", "pyyaml")
    assert "libodbc.so.2" in found.libraries
    assert known_layer(ARN, store) == found


def test_layers_are_known_only_when_all_of_them_are(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert joined([], store) == (frozenset(), frozenset())
    assert joined([ARN], store) is None
    look_into(ARN, layer(tmp_path), store)
    libraries, packages = joined([ARN], store) or (frozenset(), frozenset())
    assert "libodbc.so.2" in libraries
    assert packages == {"odd-name", "pyyaml"}
    assert joined([ARN, ARN.replace(":4", ":5")], store) is None
