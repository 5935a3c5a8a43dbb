"""Images as Docker, skopeo and umoci take them, and a container of each that answers an event."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import subprocess
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

STAND_IN = "planton-standin/build-python3.11:latest"
LABEL = "planton-test=images"
APP = """\
import os
import sys
import tables

def handler(event, context):
    return [event, tables.NAME, os.uname().machine, sys.version_info[:2], os.getcwd()]
"""
MACHINES = {"x86_64": ("x86_64", "linux/amd64"), "arm64": ("aarch64", "linux/arm64")}
SKOPEO = ("skopeo", "--insecure-policy", "copy", "-q")


@pytest.fixture(scope="module")
def docker(require_engine: Callable[[str, bool, str], None], runs: Callable[..., str]) -> Iterator[Any]:
    """Give a function that runs docker; the images it pulls or loads by name are gone afterwards."""
    there = shutil.which("docker") is not None
    answers = (
        there and subprocess.run(["docker", "version"], capture_output=True, check=False).returncode == 0
    )
    require_engine("Docker Engine", answers, "does not answer")
    taken: list[str] = []

    def call(*arguments: str, takes: str = "") -> str:
        if takes:
            taken.append(takes)
        return runs("docker", *arguments)

    yield call
    for name in taken:
        subprocess.run(["docker", "rmi", "-f", name], capture_output=True, check=False)


@pytest.fixture(scope="module")
def shelf_of_bases(
    tmp_path_factory: pytest.TempPathFactory,
    require_engine: Callable[[str, bool, str], None],
    registries: Callable[[Path], Any],
    docker: Any,
    runs: Callable[..., str],
) -> Iterator[Any]:
    """A registry with base images that run, for both architectures."""
    require_engine("docker-registry and skopeo", _installed("docker-registry", "skopeo"), "not installed")
    registry = registries(tmp_path_factory.mktemp("bases") / "registry")
    registry.start()
    try:
        for architecture in ("x86_64", "arm64"):
            image = f"{STAND_IN}-{architecture}"
            there = subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False)
            require_engine("stand-in image", there.returncode == 0, f"{image} is not loaded")
            where = f"docker://{registry.host}/lambda/python:3.11-{architecture}"
            quick = ("--dest-tls-verify=false", "--dest-compress-format=gzip", "--dest-compress-level=1")
            runs(*SKOPEO, *quick, f"docker-daemon:{image}", where)
        yield registry
    finally:
        registry.stop()


def _installed(*programs: str) -> bool:
    return all(map(shutil.which, programs))


@contextlib.contextmanager
def running(docker: Any, image: str, *options: str) -> Iterator[str]:
    """Run a container of an image; give the address of its Runtime Interface Emulator."""
    container = docker("run", "-d", "--label", LABEL, "-p", "127.0.0.1::8080", *options, image).strip()
    try:
        yield docker("port", container, "8080").split()[0]
    finally:
        docker("rm", "-f", "-v", container)


def answer(address: str, event: object) -> Any:
    url = f"http://{address}/2015-03-31/functions/function/invocations"
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, json.dumps(event).encode(), timeout=60) as stream:
                return json.loads(stream.read())
        except OSError:  # it does not listen yet
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.mark.engine("Docker Engine")
@pytest.mark.xdist_group("containers")
def test_what_was_pushed_is_pulled_and_answers_an_event(yard: Any, shelf_of_bases: Any, docker: Any) -> None:
    registry = shelf_of_bases
    yard.wheel("tables")
    base = f"{registry.host}/lambda/python:3.11-{{architecture}}"
    functions = {
        "gzipped": ("X86_64", "gzip"),
        "spliced": ("X86_64", "spliced"),
        "emulated": ("ARM64", "gzip"),
    }
    for name, (architecture, compression) in functions.items():
        options = {"base-image": base, "layer-compression": compression}
        yard.function(
            name, "tables", app=APP, options=options, architecture=architecture, runtime="python3.11"
        )
    built = yard.build("--repository", f"{registry.host}/acme/{{function}}", "--json").json["functions"]
    output = yard.folder / "out"
    yard.build("gzipped", "--no-publish", "--output", output, "--image-as", "docker-archive")

    for function in built:
        image = function["code_source"]["image_uri"]
        machine, platform = MACHINES[function["architecture"]]
        docker("pull", "-q", image, takes=image)
        # As Lambda runs it: as somebody else, and nothing can be written but /tmp.
        options = ("--read-only", "--tmpfs=/tmp", "--user=993:990", f"--platform={platform}")
        with running(docker, image, *options) as address:
            found = answer(address, {"id": function["function_name"]})
        assert found == [{"id": function["function_name"]}, "tables", machine, [3, 11], "/var/task"]

    digests = {function["function_name"]: f"sha256:{function['sha256']}" for function in built}
    one, other = (registry.settings(f"acme/{name}", digests[name]) for name in ("gzipped", "spliced"))
    assert one == other
    (tag,) = docker("load", "-q", "-i", str(output / "gzipped.tar")).split()[-1:]
    assert tag == f"gzipped:{digests['gzipped'][7:19]}"
    docker("image", "inspect", tag, takes=tag)
    with running(docker, tag) as address:
        assert answer(address, 1)[:2] == [1, "tables"]


@pytest.mark.engine("image tools")
def test_skopeo_copies_to_and_fro_without_changing_the_digest(
    yard: Any, registry: Any, repository: str, runs: Callable[..., str]
) -> None:
    yard.wheel("tables")
    yard.function("orders", "tables")
    function = yard.build("--repository", repository, "--output", "out", "--json").function
    digest = f"sha256:{function['sha256']}"
    image = f"docker://{function['code_source']['image_uri']}"
    runs(*SKOPEO, "--src-tls-verify=false", image, f"oci:{yard.root}/layout:one")
    index = json.loads((yard.root / "layout/index.json").read_text())
    assert [entry["digest"] for entry in index["manifests"]] == [digest]
    for number, layout in enumerate((f"{yard.root}/layout:one", f"{yard.folder}/out/orders.oci")):
        there = f"docker://{registry.host}/copies:{number}"
        runs(*SKOPEO, "--dest-tls-verify=false", f"oci:{layout}", there)
        assert registry.ask(f"copies/manifests/{number}")[1]["docker-content-digest"] == digest


@pytest.mark.engine("image tools")
@pytest.mark.skipif(os.geteuid() != 0, reason="umoci keeps owners")
@pytest.mark.parametrize("compression", ["gzip", "spliced"])
def test_umoci_unpacks_the_tree_of_the_zip(
    yard: Any,
    runs: Callable[..., str],
    require_engine: Callable[[str, bool, str], None],
    awkward_function: Callable[[Path], None],
    compression: str,
) -> None:
    require_engine("umoci", _installed("umoci"), "not installed")
    yard.wheel("tables")
    awkward_function(yard.folder / "orders")
    manifest = yard.function("orders", "tables", options={"layer-compression": compression})
    function = yard.build("--no-publish", "--output", yard.root / "out", "--json").function
    image = f"out/orders.oci:{function['sha256'][:12]}"
    runs("umoci", "unpack", "--image", image, "bundle", folder=yard.root)
    manifest.write_text(manifest.read_text().replace("_TYPE_IMAGE", "_TYPE_S3"))
    zipped = yard.build("--no-publish", "--json").function

    root = yard.root / "bundle/rootfs/var/task"
    tree = {}
    for path in root.rglob("*"):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            tree[path.relative_to(root).as_posix()] = (mode, os.readlink(path).encode())
        elif not stat.S_ISDIR(mode):
            tree[path.relative_to(root).as_posix()] = (mode, path.read_bytes())
        assert path.lstat().st_mtime == 315_532_800
    with zipfile.ZipFile(zipped["artifact"]) as archive:
        assert tree == {
            info.filename: (info.external_attr >> 16, archive.read(info)) for info in archive.infolist()
        }
    assert len(tree) == function["files"] == zipped["files"] > 150
