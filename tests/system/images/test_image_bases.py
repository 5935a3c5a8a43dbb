"""What an image is built on: tags and their lock, digests, layouts, archives; and what it cannot be."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TAG = "lambda/python:{runtime}-{architecture}"


def base_of(manifest: Path) -> str:
    """Return what images.lock says, whose only entry is for x86_64."""
    lines = (manifest.parent / "images.lock").read_text().splitlines()
    (digest,) = (line.partition(" = ")[2].strip('"') for line in lines if line.startswith("x86_64 = "))
    return digest


def another_base(yard: Any, small_base: Callable[..., None]) -> Path:
    """Write a base image like the first, and with another environment."""
    folder: Path = yard.root / "another"
    small_base(folder)
    change_config(folder, lambda config: config["config"]["Env"].append("NEW=1"))
    return folder


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def change_config(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the configuration of the image of a layout."""
    blobs = folder / "blobs" / "sha256"
    index = json.loads((folder / "index.json").read_text())
    manifest = json.loads((blobs / index["manifests"][0]["digest"][7:]).read_text())
    config = json.loads((blobs / manifest["config"]["digest"][7:]).read_text())
    change(config)
    for entry, document in ((manifest["config"], config), (index["manifests"][0], manifest)):
        content = json.dumps(document).encode()
        entry |= {"digest": digest_of(content), "size": len(content)}
        (blobs / entry["digest"][7:]).write_bytes(content)
    (folder / "index.json").write_text(json.dumps(index))


def test_a_tag_is_locked_and_moves_only_when_that_is_asked_for(
    yard: Any, registry: Any, repository: str, small_base: Callable[..., None]
) -> None:
    first = registry.put(yard.root / "base", "lambda/python:python3.13-x86_64")
    manifest = yard.function(options={"base-image": f"{registry.host}/{TAG}"})
    built = yard.build("--repository", repository, "--json").function
    assert base_of(manifest) == first
    locked = (manifest.parent / "images.lock").read_bytes()
    assert f'["{registry.host}/lambda/python:python3.13-x86_64"]'.encode() in locked

    second = registry.put(another_base(yard, small_base), "lambda/python:python3.13-x86_64")
    assert second != first
    again = yard.build("--repository", repository, "--locked", "--json").function
    assert (again["sha256"], again["cached"]) == (built["sha256"], True)
    shutil.rmtree(yard.cache)
    again = yard.build("--repository", repository, "--locked", "--json").function
    assert again["sha256"] == built["sha256"]
    yard.build("lock")
    assert (manifest.parent / "images.lock").read_bytes() == locked

    yard.build("lock", "--upgrade")
    assert base_of(manifest) == second
    newer = yard.build("--repository", repository, "--locked", "--json").function
    settings = registry.settings("acme/orders", f"sha256:{newer['sha256']}")
    assert "NEW=1" in settings["config"]["Env"]


def test_layers_of_the_base_come_from_their_registry_and_are_not_sent_twice(
    yard: Any, registry: Any, repository: str
) -> None:
    registry.put(yard.root / "base", "lambda/python:python3.13-x86_64")
    yard.function(options={"base-image": f"{registry.host}/{TAG}"})
    yard.function(
        "invoices", options={"base-image": f"{registry.host}/{TAG}"}, app="x = 1\nhandler = print\n"
    )
    registry.forget()
    functions = yard.build("--repository", repository, "--json").json["functions"]
    for function in functions:
        name = f"acme/{function['function_name']}"
        registry.manifest(name, f"sha256:{function['sha256']}")
    base = registry.layers("lambda/python", "python3.13-x86_64")[0]
    # They are mounted: the registry has them, and no byte of them is sent.
    assert len(registry.asked(rf"^POST .*mount={base}")) == 2
    assert not registry.asked(rf"^PUT .*digest={base}")


def test_a_base_by_digest_needs_no_lock(yard: Any, registry: Any, repository: str) -> None:
    digest = registry.put(yard.root / "base", "lambda/python:x")
    by_digest = f"{registry.host}/lambda/python@{digest}"
    manifest = yard.function(options={"base-image": by_digest})
    function = yard.build("--repository", repository, "--locked", "--json").function
    assert not (manifest.parent / "images.lock").exists()
    yard.function()
    from_layout = yard.build("--repository", repository, "--locked", "--json").function
    assert from_layout["sha256"] == function["sha256"]


def test_an_archive_that_docker_save_writes_is_a_base(
    yard: Any, registry: Any, repository: str, runs: Callable[..., str]
) -> None:
    archive = yard.root / "base.tar"
    # As docker does, skopeo writes the layers without compression.
    runs(
        "skopeo", "--insecure-policy", "copy", "-q", f"oci:{yard.root}/base", f"docker-archive:{archive}:b:1"
    )
    manifest = yard.function(options={"base-image": "docker-archive:../../base.tar"})
    first = yard.build("--repository", repository, "--json").function
    assert not (manifest.parent / "images.lock").exists()
    document = registry.manifest("acme/orders", f"sha256:{first['sha256']}")
    assert {layer["mediaType"].rpartition("+")[2].rpartition(".")[2] for layer in document["layers"]} == {
        "gzip"
    }
    again = yard.build("--repository", repository, "--json").function
    assert (again["sha256"], again["cached"]) == (first["sha256"], True)
    shutil.rmtree(yard.cache)
    assert yard.build("--no-publish", "--json").function["sha256"] == first["sha256"]


def test_a_layout_of_both_architectures_gives_the_functions_own(
    yard: Any, registry: Any, repository: str, small_base: Callable[..., None]
) -> None:
    small_base(yard.root / "arm", "arm64")
    index = json.loads((yard.root / "base/index.json").read_text())
    other = json.loads((yard.root / "arm/index.json").read_text())
    index["manifests"][0]["platform"] = {"os": "linux", "architecture": "amd64"}
    other["manifests"][0]["platform"] = {"os": "linux", "architecture": "arm64"}
    index["manifests"] += other["manifests"]
    (yard.root / "base/index.json").write_text(json.dumps(index))
    shutil.copytree(yard.root / "arm/blobs", yard.root / "base/blobs", dirs_exist_ok=True)
    for name, architecture in (("one", "X86_64"), ("two", "ARM64")):
        yard.function(name, architecture=architecture)
    functions = yard.build("--repository", repository, "--json").json["functions"]
    found = [
        registry.settings(f"acme/{function['function_name']}", f"sha256:{function['sha256']}")["architecture"]
        for function in functions
    ]
    assert found == ["amd64", "arm64"]


def test_an_entrypoint_can_be_given_to_a_base_without_one(
    yard: Any, registry: Any, repository: str, small_base: Callable[..., None]
) -> None:
    change_config(yard.root / "base", lambda config: config["config"].pop("Entrypoint"))
    yard.function()
    assert yard.build("--repository", repository, "--json", expect=90).error == "image_invalid"
    yard.configure("orders", {"entrypoint": ["/lambda-entrypoint.sh"]})
    function = yard.build("--repository", repository, "--json").function
    settings = registry.settings("acme/orders", f"sha256:{function['sha256']}")
    assert settings["config"]["Entrypoint"] == ["/lambda-entrypoint.sh"]


def test_a_base_of_another_architecture_is_refused(
    yard: Any, registry: Any, repository: str, small_base: Callable[..., None]
) -> None:
    small_base(yard.root / "arm", "arm64")
    registry.put(yard.root / "arm", "lambda/python:arm")
    for base in ("oci:../../arm", f"{registry.host}/lambda/python:arm"):
        yard.function(options={"base-image": base})
        outcome = yard.build("--repository", repository, "--json", expect=82)
        assert outcome.error == "image_mismatch"
        assert "arm64" in outcome.out
    assert registry.repositories() == ["lambda/python"]


@pytest.mark.parametrize(
    ("base", "code", "exit_code"),
    [
        ("{host}/lambda/python:none", "image_unavailable", 81),
        ("{host}/nothing:none", "image_unavailable", 81),
        ("127.0.0.1:{closed}/lambda/python:none", "image_unavailable", 81),
        ("only-on-the-engine", "image_unavailable", 81),
        ("only-on-the-engine:1.0", "image_unavailable", 81),
        ("oci:../../nowhere", "image_unavailable", 81),
        ("docker-archive:../../nowhere.tar", "image_unavailable", 81),
        ("oci:../orders", "image_unavailable", 81),
        ("docker-archive:../orders/app.py", "image_invalid", 90),
        ("docker-archive:../../base.tar.gz", "image_invalid", 90),
        ("Not A Name", "config_invalid", 25),
    ],
)
def test_a_base_that_is_not_to_be_had_is_explained(
    yard: Any, registry: Any, repository: str, base: str, code: str, exit_code: int
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = probe.getsockname()[1]
    manifest = yard.function(options={"base-image": base.format(host=registry.host, closed=closed)})
    (yard.root / "base.tar.gz").write_bytes(gzip.compress(bytes(10_240)))
    before = manifest.read_bytes()
    outcome = yard.build("--repository", repository, "--json", expect=exit_code)
    assert outcome.error == code
    assert registry.repositories() == []
    assert manifest.read_bytes() == before
    assert not (manifest.parent / "images.lock").exists()
    if base.startswith("only-on-the-engine"):
        assert "docker save" in outcome.json["errors"][0]["hint"]


def test_a_base_for_another_python_is_refused(
    yard: Any, registry: Any, repository: str, small_base: Callable[..., None]
) -> None:
    small_base(yard.root / "old", "amd64", "3.11")
    yard.function(options={"base-image": "oci:../../old"})
    outcome = yard.build("--repository", repository, "--json", expect=None)
    assert outcome.code in (46, 90), outcome.out
    assert "3.11" in outcome.out
    assert registry.repositories() == []
