"""From the manifest to the registry and back: what is pushed, how often, and what the manifest then says."""

from __future__ import annotations

import re
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

UPLOADS = r"^(POST|PATCH|PUT) .*/blobs/"
NOISE = 3_000_000


def test_an_image_is_pushed_and_its_digest_written_back(yard: Any, registry: Any, repository: str) -> None:
    yard.wheel("tables")
    manifest = yard.function("orders", "tables")
    before = manifest.read_text()
    function = yard.build("--repository", repository, "--json").function

    digest = f"sha256:{function['sha256']}"
    image_uri = f"{registry.host}/acme/orders@{digest}"
    assert function["package_type"] == "Image"
    assert function["code_source"] == {"s3": None, "image_uri": image_uri}
    assert registry.tags("acme/orders") == [f"sha256-{function['sha256'][:12]}"]
    assert registry.layers("acme/orders", f"sha256-{function['sha256'][:12]}") == registry.layers(
        "acme/orders", digest
    )
    assert len(registry.layers("acme/orders", digest)) == 3
    settings = registry.settings("acme/orders", digest)
    assert settings["architecture"] == "amd64"
    assert settings["config"]["Cmd"] == ["app.handler"]
    assert settings["config"]["Entrypoint"] == ["/lambda-entrypoint.sh"]
    # One line more, and nothing else.
    after = manifest.read_text().splitlines()
    added = [line for line in after if line not in before.splitlines()]
    assert [line.strip() for line in added] == [f"imageUri: {image_uri}"]
    assert [line for line in after if line not in added] == before.splitlines()
    assert yard.left() == []


def test_a_second_run_sends_nothing_and_writes_nothing(yard: Any, registry: Any, repository: str) -> None:
    manifest = yard.function()
    first = yard.build("--repository", repository, "--json").function
    written, stored = manifest.read_bytes(), registry.blobs()
    registry.forget()
    second = yard.build("--repository", repository, "--json").function
    assert (first["cached"], second["cached"]) == (False, True)
    assert second["sha256"] == first["sha256"]
    assert registry.asked(r"^(?!HEAD )") == []
    assert (manifest.read_bytes(), registry.blobs()) == (written, stored)


def test_an_empty_cache_gives_the_same_image_and_sends_nothing(
    yard: Any, registry: Any, repository: str
) -> None:
    yard.wheel("tables")
    yard.function("orders", "tables")
    first = yard.build("--repository", repository, "--json").function
    shutil.rmtree(yard.cache)
    registry.forget()
    again = yard.build("--repository", repository, "--json").function
    assert (again["sha256"], again["cached"]) == (first["sha256"], False)
    assert registry.asked(UPLOADS) == []


def test_a_change_of_one_line_pushes_under_a_hundredth_of_the_image(
    yard: Any, registry: Any, repository: str
) -> None:
    yard.wheel("tables", noise=NOISE)
    manifest = yard.function("orders", "tables")
    first = yard.build("--repository", repository, "--json").function
    before, written = registry.blobs(), manifest.read_text()
    registry.forget()
    (manifest.parent / "app.py").write_text("def handler(event, context):\n    return [event]\n")
    second = yard.build("--repository", repository, "--json").function

    pushed = {digest: size for digest, size in registry.blobs().items() if digest not in before}
    assert sum(pushed.values()) < second["size"] / 100
    assert second["size"] > NOISE
    # The layer of sources and the configuration are sent, and a manifest.
    assert len({line.partition("?")[0] for line in registry.asked(r"^PUT .*/blobs/")}) == 2
    assert len(pushed) == 3
    assert manifest.read_text() == written.replace(first["sha256"], second["sha256"])
    assert len(registry.tags("acme/orders")) == 2


def test_functions_with_the_same_packages_share_their_layer(
    yard: Any, registry: Any, repository: str
) -> None:
    yard.wheel("tables", noise=NOISE)
    yard.wheel("zebra")
    yard.function("orders", "tables", "zebra")
    yard.function("invoices", "zebra", "tables", app="def handler(event, context):\n    return 'invoice'\n")
    done = yard.build("--repository", f"{registry.host}/acme/all", "--json").json["functions"]
    orders, invoices = (registry.layers("acme/all", f"sha256:{function['sha256']}") for function in done)
    assert orders[:2] == invoices[:2]
    assert orders[2] != invoices[2]
    # The base's layer and that of packages once; of each function a layer of sources and a configuration.
    assert len(registry.asked(r"^PUT .*/blobs/")) == 6


@pytest.mark.parametrize("compression", ["gzip", "spliced"])
def test_the_tree_of_an_image_is_that_of_the_zip(
    yard: Any, registry: Any, repository: str, compression: str, awkward_function: Callable[[Path], None]
) -> None:
    yard.wheel("tables")
    manifest = yard.function("orders", "tables", options={"layer-compression": compression})
    own = (manifest.read_text(), (manifest.parent / "planton.toml").read_text())
    awkward_function(manifest.parent)
    manifest.write_text(own[0])
    (manifest.parent / "planton.toml").write_text(own[1])
    boxed = yard.build("--repository", repository, "--json").function
    manifest.write_text(own[0].replace("_TYPE_IMAGE", "_TYPE_S3"))
    zipped = yard.build("--no-publish", "--json").function

    assert (boxed["package_type"], zipped["package_type"]) == ("Image", "Zip")
    for name in ("tree_digest", "files", "packages"):
        assert boxed[name] == zipped[name]
    digest = f"sha256:{boxed['sha256']}"
    tree = {}
    for layer in registry.layers("acme/orders", digest)[1:]:
        tree |= tree_of_layer(registry.blob(layer), "var/task/")
    assert tree == tree_of_zip(Path(zipped["artifact"]))
    assert {"bin/tool", "latest", "tables/run.sh", "données/été.json"} < set(tree)


def tree_of_layer(path: Path, prefix: str) -> dict[str, tuple[int, bytes]]:
    tree = {}
    with tarfile.open(path, "r:gz") as archive:
        for info in archive:
            assert (info.mtime, info.uid, info.gid, info.uname) == (315_532_800, 0, 0, "")
            if info.isdir():
                assert info.mode == 0o755
                continue
            name = info.name.removeprefix(prefix)
            assert name != info.name
            if info.issym():
                tree[name] = (stat.S_IFLNK | 0o777, info.linkname.encode())
                continue
            stream = archive.extractfile(info)
            assert stream is not None
            tree[name] = (stat.S_IFREG | info.mode, stream.read())
    return tree


def tree_of_zip(path: Path) -> dict[str, tuple[int, bytes]]:
    with zipfile.ZipFile(path) as archive:
        return {info.filename: (info.external_attr >> 16, archive.read(info)) for info in archive.infolist()}


def test_both_compressions_unpack_to_the_same_layers(yard: Any, registry: Any, repository: str) -> None:
    yard.wheel("tables")
    yard.function("orders", "tables")
    found = {}
    for way in ("gzip", "spliced"):
        yard.configure("orders", {"layer-compression": way})
        function = yard.build("--repository", repository, "--json").function
        digest = f"sha256:{function['sha256']}"
        found[way] = (
            registry.settings("acme/orders", digest),
            function["tree_digest"],
            registry.layers("acme/orders", digest),
        )
    assert found["gzip"][:2] == found["spliced"][:2]
    assert found["gzip"][2] != found["spliced"][2]


def test_the_images_of_many_functions_are_all_pushed_side_by_side(
    yard: Any, registry: Any, repository: str
) -> None:
    names = [f"function-{number}" for number in range(6)]
    for name in names:
        yard.function(name, app=f"{name!r}\ndef handler(event, context): ...\n")
    done = yard.build("--repository", repository, "--json", "--jobs", "6").json["functions"]
    assert [function["function_name"] for function in done] == names
    for function in done:
        name, digest = f"acme/{function['function_name']}", f"sha256:{function['sha256']}"
        assert len(registry.manifest(name, digest)["layers"]) == 2
        text = (yard.folder / function["function_name"] / "lambda.yaml").read_text()
        assert re.search(r"imageUri: (\S+)", text)[1] == f"{registry.host}/{name}@{digest}"  # type: ignore[index]
