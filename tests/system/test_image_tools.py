"""Layers and images as programs other than ours read them, on other machines, and in bounded memory."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import planton_build
from planton_build.archive.compress import member_from_bytes, member_from_symlink
from planton_build.archive.contents import read_member
from planton_build.archive.layer import Compression, write_layer
from planton_build.archive.member import SYMLINK, Member
from planton_build.cache import Store
from planton_build.ecosystems.python.settings import read_pip_settings
from planton_build.ecosystems.python.uv_command import run_uv
from planton_build.oci.assemble import NewLayer, assemble, image_of
from planton_build.oci.blobs import Descriptor, FileContent
from planton_build.oci.docker_archive import read_archive, write_archive
from planton_build.oci.image import Image, Layer
from planton_build.oci.layout import read_layout, write_layout
from planton_build.oci.media_types import DOCKER_MANIFEST, OCI_LAYER, OCI_MANIFEST
from planton_build.oci.recompress import with_gzipped_layers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="images are Linux's")

WAYS: list[Compression] = ["gzip", "spliced"]
KINDS = {"oci": OCI_MANIFEST, "docker": DOCKER_MANIFEST}
STAND_IN = "planton-standin/build-python3.11:latest-x86_64"
ROOT = "var/task"
SKOPEO = ("skopeo", "--insecure-policy")
Tree = dict[str, tuple[str, int, str]]
"""Paths with what they are: kind, permissions, and the SHA-256 of a file or the target of a link."""


def run(*command: str, folder: Path | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> list[Member]:
    store = Store(tmp_path_factory.mktemp("members"))
    noise = hashlib.shake_256(b"noise").digest
    files = {
        "app.py": (b"def handler(event, context):\n    return {'seen': event}\n", False),
        "bin/tool": (b"#!/bin/sh\nexec echo ready\n", True),
        "données/été.json": (b'{"saison": "\xc3\xa9t\xc3\xa9"}\n', False),
        "names/函数.txt": (b"", False),
        "a" * 90 + "/" + "b" * 200 + "/" + "c" * 200: (b"long", False),
        "noise.bin": (noise(900_000), False),
        "text.csv": (b"".join(b"%d;%d\n" % (row, row * row % 97) for row in range(150_000)), False),
    }
    made = [
        member_from_bytes(content, archive_path=path, executable=runs, origin="", store=store)
        for path, (content, runs) in files.items()
    ]
    links = {"latest": "données/été.json", "names/a": "../bin/tool", "opt": "/opt/" + "x" * 120}
    return made + [
        member_from_symlink(target, archive_path=path, origin="", store=store)
        for path, target in links.items()
    ]


@pytest.fixture(scope="module")
def expected(members: list[Member]) -> Tree:
    tree: Tree = {}
    for member in members:
        content = read_member(member)
        path = f"{ROOT}/{member.path}"
        for parent in list(Path(path).parents)[:-1]:
            tree[str(parent)] = ("folder", 0o755, "")
        if member.mode == SYMLINK:
            tree[path] = ("link", 0o777, content.decode())
        else:
            tree[path] = ("file", member.mode & 0o777, hashlib.sha256(content).hexdigest())
    return tree


def layer_of(members: Sequence[Member], way: Compression, folder: Path) -> Layer:
    path = folder / f"{way}.layer"
    written = write_layer(members, path, root=ROOT, compression=way)
    descriptor = Descriptor(OCI_LAYER, written.digest, written.size)
    return Layer(descriptor, written.diff_id, FileContent(path, written.size))


def image(members: Sequence[Member], way: Compression, kind: str, folder: Path) -> Image:
    """Return an image of the members alone."""
    empty = image_of(
        kind, {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"diff_ids": []}}, []
    )
    new = NewLayer(layer_of(members, way, folder), "test")
    return assemble(empty, [new], architecture="amd64", command=["app.handler"], working_dir="/var/task")


def tree_of_tar(path: Path) -> Tree:
    tree: Tree = {}
    with tarfile.open(path) as archive:
        for info in archive:
            if info.isdir():
                tree[info.name] = ("folder", stat.S_IMODE(info.mode), "")
            elif info.issym():
                tree[info.name] = ("link", stat.S_IMODE(info.mode), info.linkname)
            else:
                stream = archive.extractfile(info)
                assert stream is not None
                tree[info.name] = ("file", stat.S_IMODE(info.mode), hashlib.sha256(stream.read()).hexdigest())
    return tree


def tree_of_folder(root: Path) -> Tree:
    tree: Tree = {}
    for path in root.rglob("*"):
        name, mode = path.relative_to(root).as_posix(), path.lstat().st_mode
        if stat.S_ISDIR(mode):
            tree[name] = ("folder", stat.S_IMODE(mode), "")
        elif stat.S_ISLNK(mode):
            tree[name] = ("link", 0o777, os.readlink(path))
        else:
            tree[name] = ("file", stat.S_IMODE(mode), hashlib.sha256(path.read_bytes()).hexdigest())
    return tree


def installed(require_engine: Callable[[str, bool, str], None], program: str) -> None:
    require_engine(program, shutil.which(program) is not None, "not installed")


@pytest.fixture
def docker(require_engine: Callable[[str, bool, str], None]) -> Iterator[str]:
    """Give the name of an image that is the test's own: it and its containers are gone afterwards."""
    installed(require_engine, "docker")
    answers = subprocess.run(["docker", "version"], capture_output=True, check=False).returncode == 0
    require_engine("Docker Engine", answers, "does not answer")
    name = f"planton-image-tools:{os.getpid()}"
    yield name
    left = run("docker", "ps", "-aq", "--filter", f"ancestor={name}").split()
    if left:
        run("docker", "rm", "-f", *left)
    subprocess.run(["docker", "rmi", "-f", name], capture_output=True, check=False)


@pytest.mark.engine("Docker Engine")
@pytest.mark.xdist_group("containers")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_docker_loads_an_archive_and_has_the_members_tree(
    way: Compression, kind: str, members: list[Member], expected: Tree, tmp_path: Path, docker: str
) -> None:
    made = image(members, way, KINDS[kind], tmp_path)
    write_archive(made, tmp_path / "image.tar", tags=[docker])
    run("docker", "load", "-i", str(tmp_path / "image.tar"))
    assert run("docker", "image", "inspect", "-f", "{{.Id}}", docker).strip() == made.config_digest
    container = run("docker", "create", docker).strip()
    run("docker", "export", "-o", str(tmp_path / "export.tar"), container)
    exported = tree_of_tar(tmp_path / "export.tar")
    assert {path: what for path, what in exported.items() if path.startswith("var")} == expected
    run("docker", "save", "-o", str(tmp_path / "saved.tar"), docker)
    saved = read_archive(tmp_path / "saved.tar", reference=docker)
    assert (saved.config_digest, saved.settings.diff_ids) == (made.config_digest, made.settings.diff_ids)


@pytest.mark.engine("Docker Engine")
@pytest.mark.xdist_group("containers")
@pytest.mark.parametrize("way", WAYS)
def test_an_image_on_a_runtimes_base_runs_as_anybody_on_a_read_only_root(
    way: Compression,
    members: list[Member],
    tmp_path: Path,
    docker: str,
    require_engine: Callable[[str, bool, str], None],
) -> None:
    there = subprocess.run(["docker", "image", "inspect", STAND_IN], capture_output=True, check=False)
    require_engine("stand-in image", there.returncode == 0, f"{STAND_IN} is not loaded")
    run("docker", "save", "-o", str(tmp_path / "base.tar"), STAND_IN)
    base = with_gzipped_layers(read_archive(tmp_path / "base.tar"), Store(tmp_path / "store"))
    new = NewLayer(layer_of(members, way, tmp_path), "test")
    made = assemble(base, [new], architecture="amd64", command=["app.handler"], environment={"A": "b"})
    write_archive(made, tmp_path / "image.tar", tags=[docker])
    run("docker", "load", "-i", str(tmp_path / "image.tar"))
    program = "import app, os, json; print(json.dumps([app.handler(1, None), os.environ['A'], os.getcwd()]))"
    limits = ("--rm", "--user=4711:4711", "--read-only", "--network=none", "--entrypoint=python3")
    answer = run("docker", "run", *limits, docker, "-c", program)
    assert json.loads(answer) == [{"seen": 1}, "b", "/var/task"]


@pytest.mark.engine("image tools")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_skopeo_copies_a_layout_and_an_archive_without_changing_the_digest(
    way: Compression,
    kind: str,
    members: list[Member],
    tmp_path: Path,
    require_engine: Callable[[str, bool, str], None],
) -> None:
    installed(require_engine, "skopeo")
    made = image(members, way, KINDS[kind], tmp_path)
    write_layout(made, tmp_path / "layout", tag="one")
    # skopeo finds no Docker manifest by its tag: its reader of layouts compares tags of OCI manifests alone.
    layout = f"oci:{tmp_path}/layout:one" if kind == "oci" else f"oci:{tmp_path}/layout"
    run(*SKOPEO, "copy", layout, f"dir:{tmp_path}/dir")
    copied = (tmp_path / "dir/manifest.json").read_bytes()
    assert f"sha256:{hashlib.sha256(copied).hexdigest()}" == made.digest
    for layer in made.layers:
        assert (tmp_path / "dir" / layer.descriptor.hex).stat().st_size == layer.descriptor.size

    run(*SKOPEO, "copy", layout, f"docker-archive:{tmp_path}/theirs.tar:app:1")
    theirs = read_archive(tmp_path / "theirs.tar", reference="app:1", architecture="amd64")
    assert theirs.settings.diff_ids == made.settings.diff_ids

    write_archive(made, tmp_path / "ours.tar", tags=["app:1"])
    run(*SKOPEO, "copy", f"docker-archive:{tmp_path}/ours.tar", f"oci:{tmp_path}/again:two")
    again = read_layout(tmp_path / "again", reference="two", architecture="amd64")
    assert again.settings.diff_ids == made.settings.diff_ids

    run(*SKOPEO, "copy", layout, f"oci-archive:{tmp_path}/oci.tar:app:1")
    assert read_archive(tmp_path / "oci.tar").settings.diff_ids == made.settings.diff_ids


@pytest.mark.engine("image tools")
@pytest.mark.skipif(os.geteuid() != 0, reason="umoci keeps owners")
@pytest.mark.parametrize("way", WAYS)
def test_umoci_unpacks_the_members_tree(
    way: Compression,
    members: list[Member],
    expected: Tree,
    tmp_path: Path,
    require_engine: Callable[[str, bool, str], None],
) -> None:
    installed(require_engine, "umoci")
    write_layout(image(members, way, OCI_MANIFEST, tmp_path), tmp_path / "layout", tag="one")
    run("umoci", "unpack", "--image", "layout:one", "bundle", folder=tmp_path)
    assert tree_of_folder(tmp_path / "bundle" / "rootfs") == expected
    assert "one" in run("umoci", "list", "--layout", "layout", folder=tmp_path)


@pytest.mark.engine("image tools")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs a storage of root's own")
@pytest.mark.parametrize("way", WAYS)
def test_podman_loads_an_archive(
    way: Compression,
    members: list[Member],
    tmp_path: Path,
    require_engine: Callable[[str, bool, str], None],
) -> None:
    installed(require_engine, "podman")
    made = image(members, way, OCI_MANIFEST, tmp_path)
    write_archive(made, tmp_path / "image.tar", tags=["app:1"])
    with tempfile.TemporaryDirectory(prefix="planton-") as short:  # Podman takes no long names
        podman = ("podman", f"--root={short}/root", f"--runroot={short}/run", "--storage-driver=vfs")
        run(*podman, "load", "-i", str(tmp_path / "image.tar"))
        answer = json.loads(run(*podman, "image", "inspect", "app:1"))
    assert [f"sha256:{one['Id']}" for one in answer] == [made.config_digest]
    assert answer[0]["RootFS"]["Layers"] == list(made.settings.diff_ids)


# Another machine.


MAKE_LAYERS = """
import json, pathlib, sys
from planton_build.archive.layer import write_layer
from planton_build.archive.member import Member
folder = pathlib.Path(sys.argv[1])
members = [
    Member(**{**fields, "file": folder / fields["file"]})
    for fields in json.loads((folder / "members.json").read_text())
]
for way in ("gzip", "spliced"):
    for jobs in (1, 2):
        print(write_layer(members, folder / "layer", root="var/task", compression=way, jobs=jobs))
"""


@pytest.mark.network
@pytest.mark.engine("arm64 emulation")
def test_a_layer_has_the_same_bytes_on_an_aarch64_host(
    arm64_python: Callable[[Path], tuple[str, ...]], members: list[Member], tmp_path: Path
) -> None:
    python = arm64_python(tmp_path)
    version = run(*python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
    install_compressors(tmp_path / "site", version)
    described = []
    for number, member in enumerate(members):
        shutil.copyfile(member.file, tmp_path / f"{number}.blob")
        named = {name: getattr(member, name) for name in Member.__slots__}
        described.append(named | {"file": f"{number}.blob"})
    (tmp_path / "members.json").write_text(json.dumps(described))
    there = run(*python, "-c", MAKE_LAYERS, "/mnt")
    here = run(sys.executable, "-c", MAKE_LAYERS, str(tmp_path))
    assert there == here
    assert here.count("sha256:") == 8


def install_compressors(folder: Path, version: str) -> None:
    """Put this package and what compresses for it into a folder, for an aarch64 CPython."""
    names = [f"{name}=={importlib.metadata.version(name)}" for name in ("deflate", "zlib-ng")]
    command = ["pip", "install", "--target", str(folder), "--only-binary", ":all:", *names]
    command += ["--python-version", version, "--python-platform", "aarch64-unknown-linux-gnu"]
    command += ["--python", sys.executable]
    answer = run_uv(command, folder=folder.parent, environment=os.environ, settings=read_pip_settings())
    assert answer.returncode == 0, answer.explanation
    package = Path(planton_build.__file__).parent
    shutil.copytree(package, folder / package.name, ignore=shutil.ignore_patterns("__pycache__"))


# Memory.


LIMIT = 200_000_000
"""Bytes: the promise for an image of 3 GB."""
# A process's peak counts from its parent's size when it is forked: a small parent, not pytest, must do that.
MEASURED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=sys.stderr)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
LARGE = """
import hashlib, pathlib, sys
import deflate
from planton_build.archive.layer import write_layer
from planton_build.archive.member import REGULAR, STORED, Member
from planton_build.cache import Store
from planton_build.oci.assemble import NewLayer, assemble, image_of
from planton_build.oci.blobs import Descriptor, FileContent
from planton_build.oci.docker_archive import read_archive, write_archive
from planton_build.oci.image import Layer
from planton_build.oci.layout import read_layout, write_layout
from planton_build.oci.media_types import OCI_LAYER, OCI_MANIFEST, OCI_TAR_LAYER
from planton_build.oci.recompress import with_gzipped_layers
from planton_build.oci.store import keep, load

folder = pathlib.Path(sys.argv[1])

def member(name, size, noise):
    path, crc = folder / name, 0
    with path.open("wb") as stream:
        stream.write(hashlib.shake_256(b"x").digest(noise))
        stream.truncate(size)
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            crc = deflate.crc32(piece, crc)
    return Member(name, REGULAR, STORED, crc, size, size, "", "", path, 0)

def layer(way, members):
    path = folder / way
    written = write_layer(members, path, root="var/task", compression=way)
    descriptor = Descriptor(OCI_LAYER, written.digest, written.size)
    return written, Layer(descriptor, written.diff_id, FileContent(path, written.size))

small = [member(f"small{number}", 30_000_000, 30_000_000) for number in range(4)]
written, made = layer("gzip", [member("large", 3_000_000_000, 50_000_000)])
assert written.tar_size > 3_000_000_000 and written.size > 50_000_000
_, spliced = layer("spliced", small)

tar = folder / "tar"
with tar.open("wb") as stream:
    stream.truncate(500_000_000)
digest = "sha256:" + hashlib.file_digest(tar.open("rb"), "sha256").hexdigest()
below = Layer(Descriptor(OCI_TAR_LAYER, digest, 500_000_000), digest, FileContent(tar, 500_000_000))
config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"diff_ids": [digest]}}
base = image_of(OCI_MANIFEST, config, [below])
store = Store(folder / "store")
with_gzipped_layers(base, store)
new = [NewLayer(made, "a"), NewLayer(spliced, "b")]
image = assemble(base, new, architecture="amd64")
write_layout(image, folder / "layout", tag="one")
write_archive(read_layout(folder / "layout"), folder / "image.tar", tags=["a:1"])
keep(read_archive(folder / "image.tar"), store)
assert load(store, image.digest, lambda descriptor, diff_id: None).digest == image.digest
"""


def test_an_image_of_three_gigabytes_passes_in_pieces(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LARGE, str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *command], capture_output=True, text=True, check=False
    )
    shutil.rmtree(tmp_path)
    assert done.returncode == 0, done.stderr
    assert 10_000_000 < int(done.stdout) * 1024 < LIMIT
