"""`planton-build check` on images: layouts, archives, a real registry, and what the engine itself saves."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import socket
import subprocess
import tarfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from planton_build.cli.check_schema import ImageOut
from planton_build.oci.media_types import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
)

STAND_IN = "planton-standin/build-python3.11:latest-x86_64"
FILES = {
    "bootstrap": b"#!/bin/sh\nexec /opt/server\n",
    "bin/sh": b"a shell",
    "usr/bin/python3.12": b"a Python",
    "var/task/large.bin": bytes(300_000),
}


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def tar_of(files: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


class HandMade:
    """An image of one layer, as blobs by digest. `changes` are the configuration's."""

    def __init__(
        self,
        files: Mapping[str, bytes] = FILES,
        *,
        docker: bool = False,
        media_type: str = "",
        **changes: Any,
    ) -> None:
        self.tar = tar_of(files)
        inner = {"Entrypoint": ["/bootstrap"], "Env": ["PATH=/usr/bin"], **changes}
        self.architecture = inner.pop("architecture", "amd64")
        self.config = json.dumps(
            {
                "architecture": self.architecture,
                "os": "linux",
                "config": inner,
                "rootfs": {"type": "layers", "diff_ids": [digest_of(self.tar)]},
                "history": [{"created_by": "by hand"}],
            }
        ).encode()
        self.layer = gzip.compress(self.tar, mtime=0)
        kinds = (
            (DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER)
            if docker
            else (OCI_MANIFEST, OCI_CONFIG, OCI_LAYER)
        )
        self.media_type = kinds[0]
        self.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": kinds[0],
                "config": described(kinds[1], self.config),
                "layers": [described(media_type or kinds[2], self.layer)],
            }
        ).encode()
        self.digest = digest_of(self.manifest)

    def platform(self) -> dict[str, Any]:
        return {
            **described(self.media_type, self.manifest),
            "platform": {"os": "linux", "architecture": self.architecture},
        }

    def layout(self, folder: Path, tag: str = "latest") -> Path:
        blobs = folder / "blobs" / "sha256"
        blobs.mkdir(parents=True)
        for content in (self.manifest, self.config, self.layer):
            (blobs / hashlib.sha256(content).hexdigest()).write_bytes(content)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        entry = {**self.platform(), "annotations": {"org.opencontainers.image.ref.name": tag}}
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
        (folder / "index.json").write_text(json.dumps(index))
        return folder

    def archive(self, path: Path) -> Path:
        """Write what `docker save` of an engine without the containerd store writes."""
        name = digest_of(self.config).removeprefix("sha256:")
        listing = [{"Config": f"{name}.json", "RepoTags": ["a/b:c"], "Layers": ["one/layer.tar"]}]
        content = {f"{name}.json": self.config, "one/layer.tar": self.tar}
        path.write_bytes(tar_of({**content, "manifest.json": json.dumps(listing).encode()}))
        return path


def described(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


class Registry:
    """A real registry, and the few requests that put hand-made images into it."""

    def __init__(self, port: int) -> None:
        self.host = f"localhost:{port}"
        self._url = f"http://127.0.0.1:{port}/v2/"

    def _send(
        self, method: str, url: str, content: bytes = b"", kind: str = "application/octet-stream"
    ) -> Any:
        request = urllib.request.Request(url, content, {"Content-Type": kind}, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.headers

    def push(self, image: HandMade, name: str, reference: str) -> None:
        for content in (image.config, image.layer):
            place = self._send("POST", f"{self._url}{name}/blobs/uploads/")["Location"]
            mark = "&" if "?" in place else "?"
            self._send("PUT", f"{place}{mark}digest={digest_of(content)}", content)
        self.put(name, reference, image.manifest, image.media_type)

    def put(self, name: str, reference: str, manifest: bytes, media_type: str) -> None:
        self._send("PUT", f"{self._url}{name}/manifests/{reference}", manifest, media_type)


@pytest.fixture(scope="module")
def registry(
    require_engine: Callable[[str, bool, str], None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registry]:
    require_engine("docker-registry", shutil.which("docker-registry") is not None, "not installed")
    folder = tmp_path_factory.mktemp("registry")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "config.yml").write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}}}}}\n"
        f"http: {{addr: 127.0.0.1:{port}}}\n"
    )
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        ["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=subprocess.STDOUT
    )
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.05)
        yield Registry(port)
    finally:
        process.terminate()
        process.wait(timeout=30)
        log.close()


def codes(outcome: Any) -> list[str]:
    return [error["code"] for error in outcome.json["errors"]]


def test_a_layout_is_recognised_and_measured(bench: Any) -> None:
    image = HandMade()
    image.layout(bench.folder / "layout")
    outcome = bench.build("check", "layout", "--json")
    (seen,) = outcome.json["images"]
    ImageOut.model_validate(seen)
    assert outcome.json["artifacts"] == []
    assert (seen["digest"], seen["architecture"], seen["files"]) == (image.digest, "amd64", len(FILES))
    assert seen["unpacked_size"] == len(image.tar)
    assert seen["layers"][0]["created_by"] == "by hand"
    assert seen["largest"][0] == {"path": "/var/task/large.bin", "size": 300_000}
    text = bench.build("check", "oci:layout:latest")
    assert f"{len(image.tar):,}" in text.out
    assert "0.0% of 10,737,418,240 bytes unpacked" in text.out
    assert 'entrypoint ["/bootstrap"]' in text.out


def test_an_archive_may_have_its_layers_unpacked(bench: Any) -> None:
    HandMade().archive(bench.folder / "saved.tar")
    for name in ("saved.tar", "docker-archive:saved.tar"):
        (seen,) = bench.build("check", name, "--json").json["images"]
        assert [note["rule"] for note in seen["notes"]] == ["media-type"]


def test_all_that_is_wrong_is_told_at_once(bench: Any) -> None:
    kind = "application/vnd.oci.image.layer.v1.tar+zstd"
    broken = HandMade(media_type=kind, Entrypoint=["/absent"])
    broken.layout(bench.folder / "layout")
    outcome = bench.build("check", "layout", "--architecture", "arm64", "--json", expect=90)
    assert sorted(codes(outcome)) == ["image_invalid", "image_invalid", "image_mismatch"]
    assert all(error["file"] == "layout" and error["hint"] for error in outcome.json["errors"])


def test_a_runtime_and_a_budget_are_held_against_it(bench: Any) -> None:
    HandMade().layout(bench.folder / "layout")
    wanted = ("--runtime", "python3.13", "--architecture", "x86_64")
    outcome = bench.build("check", "layout", *wanted, expect=46)
    assert "Python 3.12" in outcome.err
    bench.build("check", "layout", *wanted, "--allow", "python=it brings its own")
    assert "over the budget" in bench.build("check", "layout", "--max-size", "100kB", expect=43).err


def test_several_images_and_a_zip_are_checked_together(bench: Any) -> None:
    import zipfile

    HandMade().layout(bench.folder / "good")
    HandMade(Entrypoint=["/absent"]).layout(bench.folder / "bad")
    with zipfile.ZipFile(bench.folder / "a.zip", "w") as archive:
        archive.writestr("app.py", "x = 1")
    outcome = bench.build("check", "good", "a.zip", "--json")
    assert (len(outcome.json["images"]), len(outcome.json["artifacts"])) == (1, 1)
    outcome = bench.build("check", "good", "bad", expect=90)
    assert "/absent" in outcome.err
    assert "good" in outcome.out  # sizes of all are shown, whatever is wrong


def test_a_function_that_is_an_image_is_shown_as_one(bench: Any) -> None:
    base = HandMade({**FILES, "usr/bin/python3.13": b"a Python"}, architecture="arm64")
    base.layout(bench.root / "base")
    bench.function("orders", codeSourceType="CODE_SOURCE_TYPE_IMAGE")
    (bench.folder / "orders" / "planton.toml").write_text(f'base-image = "oci:{bench.root / "base"}"\n')
    (seen,) = bench.build("check", "orders", "--json").json["images"]
    assert (seen["image"], seen["architecture"], seen["command"]) == ("orders", "arm64", ["app.handler"])
    assert seen["layers"][0]["digest"] == digest_of(base.layer)
    assert "10,737,418,240" in bench.build("check", "orders").out


def test_an_image_in_a_registry_by_tag_and_digest(bench: Any, registry: Registry) -> None:
    image = HandMade(docker=True)
    registry.push(image, "team/app", "v1")
    for reference in (":v1", f"@{image.digest}", f":v1@{image.digest}"):
        (seen,) = bench.build("check", f"{registry.host}/team/app{reference}", "--json").json["images"]
        assert seen["digest"] == image.digest
    outcome = bench.build("check", f"{registry.host}/team/app:v1", "--architecture", "arm64", expect=82)
    assert "amd64" in outcome.err
    bench.build("check", f"{registry.host}/team/app:absent", expect=81)


def test_a_name_of_an_index_is_what_lambda_refuses(bench: Any, registry: Registry) -> None:
    intel, arm = HandMade(docker=True), HandMade(docker=True, architecture="arm64")
    for one in (intel, arm):
        registry.push(one, "team/both", one.digest)
    index = {
        "schemaVersion": 2,
        "mediaType": DOCKER_LIST,
        "manifests": [intel.platform(), arm.platform()],
    }
    registry.put("team/both", "latest", json.dumps(index).encode(), DOCKER_LIST)
    name = f"{registry.host}/team/both:latest"
    assert "--architecture" in bench.build("check", name, expect=25).err
    outcome = bench.build("check", name, "--architecture", "arm64", "--json", expect=90)
    (error,) = outcome.json["errors"]
    assert "index" in error["message"]
    assert arm.digest in error["hint"]


def test_layers_that_were_seen_once_are_not_fetched_again(bench: Any, registry: Registry) -> None:
    image = HandMade({**FILES, "var/task/own": b"1"})
    registry.push(image, "team/once", "v1")
    name = f"{registry.host}/team/once:v1"
    first = bench.build("check", name, "--json").json
    records = list((bench.cache / "v1" / "layer_facts").rglob("*.json"))
    assert len(records) == 1
    before = records[0].stat()
    assert bench.build("check", name, "--json").json == first
    assert records[0].stat().st_mtime_ns == before.st_mtime_ns


def test_what_is_neither_a_file_nor_an_image_is_said_as_before(bench: Any) -> None:
    bench.build("check", "absent", expect=20)
    outcome = bench.build("check", "orders:latest", expect=81)  # an engine's own name
    assert "docker save" in outcome.err


@pytest.mark.xdist_group("containers")
def test_what_the_engine_saves_is_checked(
    bench: Any, require_engine: Callable[[str, bool, str], None]
) -> None:
    docker = shutil.which("docker") or ""
    there = bool(docker) and run(docker, "image", "inspect", STAND_IN).returncode == 0
    require_engine("docker with the stand-in", there, "see tests/standins")
    tag = f"planton-check-images:{bench.root.parent.name.lower()[-40:]}"
    context = tar_of(
        {
            "Dockerfile": f'FROM {STAND_IN}\nCOPY app.py /var/task/\nCMD ["app.handler"]\n'.encode(),
            "app.py": b"def handler(event, context):\n    return event\n",
        }
    )
    try:
        built = run(docker, "build", "-q", "-t", tag, "-", content=context)
        assert built.returncode == 0, built.stderr
        saved = bench.folder / "saved.tar"
        assert run(docker, "save", "-o", str(saved), tag).returncode == 0
    finally:
        run(docker, "image", "rm", tag)
    wanted = ("--runtime", "python3.11", "--architecture", "x86_64")
    (seen,) = bench.build("check", saved, *wanted, "--json").json["images"]
    assert (seen["command"], seen["glibc"]) == (["app.handler"], "2.36")
    assert seen["files"] > 5_000
    outcome = bench.build(
        "check", saved, "--runtime", "python3.12", "--architecture", "arm64", "--json", expect=82
    )
    assert {"image_mismatch", "native_code_unloadable"} <= set(codes(outcome))


def run(*command: str, content: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, input=content, capture_output=True, check=False, timeout=300)
