"""`doctor` and `images`: what is on an engine and in registries, for people and for programs."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from planton_build.sandbox.strays import LABEL

pytestmark = pytest.mark.xdist_group("containers")

STAND_IN = "planton-standin/build-python3.11:latest-x86_64"
NOWHERE = {"DOCKER_HOST": "tcp://127.0.0.1:1"}
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def stand_in(require_engine: Callable[[str, bool, str], None]) -> str:
    available = shutil.which("docker") is not None and docker("image", "inspect", STAND_IN).returncode == 0
    require_engine("docker", available, f"there is no {STAND_IN}; as root: tests/standins/make")
    return STAND_IN


@pytest.fixture
def left(stand_in: str) -> Iterator[str]:
    """Return the ID of a container as a build leaves it that was killed."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    labels = {
        LABEL: "container",
        f"{LABEL}.host": platform.node(),
        f"{LABEL}.process": f"{ended.pid}:1",
    }
    flags = [flag for name, value in labels.items() for flag in ("--label", f"{name}={value}")]
    created = docker("create", *flags, stand_in)
    assert created.returncode == 0, created.stderr
    yield created.stdout.strip()
    docker("rm", "--force", created.stdout.strip())


def test_doctor_shows_the_engine_and_what_was_left(bench: Any, left: str) -> None:
    shown = bench.build("doctor")
    assert re.search(r"^engine +(unix|tcp)://\S+ \(version \S+\)$", shown.out, re.MULTILINE)
    assert re.search(r"^runs x86_64 +\S", shown.out, re.MULTILINE)
    assert left[:12] in shown.out
    assert "`planton-build doctor --clean` removes them" in shown.out


def test_doctor_tells_programs_the_same(bench: Any, left: str) -> None:
    found = bench.build("doctor", "--json").json
    assert found["engine"]["endpoint"].startswith(("unix://", "tcp://"))
    assert found["architectures"][{"aarch64": "arm64"}.get(platform.machine(), "x86_64")] == "natively"
    (stray,) = (one for one in found["strays"] if one["id"] == left)
    assert (stray["image"], stray["state"]) == (STAND_IN, "created")
    assert (found["removed_containers"], found["removed_images"]) == (0, 0)


def test_doctor_removes_what_was_left(bench: Any, left: str) -> None:
    cleaned = bench.build("doctor", "--clean")
    assert left[:12] not in cleaned.out
    assert re.fullmatch(r"removed [1-9]\d* containers and 0 images", cleaned.out.splitlines()[-1])
    assert docker("container", "inspect", left).returncode != 0


def test_doctor_counts_for_programs_what_it_removed(bench: Any, left: str) -> None:
    cleaned = bench.build("doctor", "--clean", "--json").json
    assert cleaned["removed_containers"] >= 1
    assert cleaned["removed_images"] == 0
    assert left not in {one["id"] for one in cleaned["strays"]}


def test_doctor_says_when_there_is_no_engine(bench: Any) -> None:
    failed = bench.build("doctor", env=NOWHERE, expect=80)
    assert "tcp://127.0.0.1:1 (connection refused)" in failed.err
    as_json = bench.build("doctor", "--json", env=NOWHERE, expect=80).json
    assert [error["code"] for error in as_json["errors"]] == ["engine_unavailable"]


def test_doctor_removes_images_only_together_with_containers(bench: Any) -> None:
    refused = bench.build("doctor", "--images", env=NOWHERE, expect=2)
    assert "--images goes with --clean" in refused.err


def test_images_lists_what_builds_run_in(bench: Any) -> None:
    listed = bench.build("images", "list", "--json").json["images"]
    by_target = {one["target"]: one for one in listed}
    assert by_target["python3.13-arm64"]["name"] == "public.ecr.aws/sam/build-python3.13:latest-arm64"
    shown = bench.build("images", "list").out.splitlines()
    assert len(shown) == len(listed) + 1
    assert shown[0].split() == ["target", "image", "digest"]


@pytest.fixture
def registry(tmp_path: Path, require_engine: Callable[[str, bool, str], None]) -> Iterator[str]:
    """Run docker-registry on a free port of loopback, and return its address."""
    program = shutil.which("docker-registry")
    require_engine("docker-registry", program is not None, "apt-get install docker-registry")
    assert program is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    (tmp_path / "registry.yml").write_text(
        "version: 0.1\nlog: {level: error}\n"
        f"storage: {{filesystem: {{rootdirectory: {tmp_path}/registry}}}}\nhttp: {{addr: '{host}'}}\n"
    )
    with subprocess.Popen(
        [program, "serve", str(tmp_path / "registry.yml")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            for _ in range(200):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", int(host.rpartition(":")[2]))) == 0:
                        break
                time.sleep(0.05)
            yield host
        finally:
            process.terminate()


def pushed(host: str, tag: str, architecture: str, version: int) -> str:
    """Push an image without layers under a tag, and return its digest."""
    repository = f"http://{host}/v2/sam/build-python3.13"
    config = json.dumps({"architecture": architecture, "os": "linux", "version": version}).encode()
    digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
    with urllib.request.urlopen(
        urllib.request.Request(f"{repository}/blobs/uploads/", method="POST")
    ) as opened:
        location = opened.headers["Location"]
    _put(f"{location}&digest={digest}", config, "application/octet-stream")
    described = {
        "mediaType": "application/vnd.docker.container.image.v1+json",
        "size": len(config),
        "digest": digest,
    }
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": []}
    content = json.dumps(manifest).encode()
    _put(f"{repository}/manifests/{tag}", content, MANIFEST)
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _put(url: str, content: bytes, kind: str) -> None:
    request = urllib.request.Request(url, content, {"Content-Type": kind}, method="PUT")
    urllib.request.urlopen(request).close()


def test_images_refresh_writes_the_digests_that_tags_have_now(
    bench: Any, registry: str, tmp_path: Path
) -> None:
    tags = {"x86_64": "amd64", "arm64": "arm64"}
    name = f"{registry}/sam/build-python3.13:latest-{{}}"
    path = tmp_path / "images.toml"
    entries = [f'["python3.13".{one}]  # kept\nname = "{name.format(one)}"\n' for one in tags]
    path.write_text("# ours\n" + "\n".join(entries))
    digests = {one: pushed(registry, f"latest-{one}", machine, 1) for one, machine in tags.items()}
    first = bench.build("images", "refresh", "--file", path, "--json").json
    assert first["changes"] == [
        {
            "target": f"python3.13-{one}",
            "name": name.format(one),
            "before": None,
            "after": digests[one],
        }
        for one in tags
    ]
    assert path.read_text().count("# kept") == 2
    again = bench.build("images", "refresh", "--file", path)
    assert again.out.startswith("0 digests changed in ")
    moved = pushed(registry, "latest-arm64", "arm64", 2)
    third = bench.build("images", "refresh", "--file", path)
    assert f"python3.13-arm64  {digests['arm64'][:19]}" in third.out
    assert f'digest = "{moved}"' in path.read_text()
    assert f'digest = "{digests["x86_64"]}"' in path.read_text()


def test_images_refresh_leaves_the_file_when_a_registry_does_not_answer(bench: Any, tmp_path: Path) -> None:
    path = tmp_path / "images.toml"
    path.write_text('["python3.13".arm64]\nname = "127.0.0.1:1/sam/build-python3.13:latest"\n')
    before = path.read_bytes()
    failed = bench.build("images", "refresh", "--file", path, expect=81)
    assert "127.0.0.1:1 does not answer" in failed.err
    assert path.read_bytes() == before
    missing = bench.build("images", "refresh", "--file", tmp_path / "none.toml", expect=None)
    assert (missing.code, "none.toml" in missing.err) == (25, True)
