"""A container image from a tree, without an engine's help, and loading it into one.

`docker import --platform` of Docker 20.10 writes the host's architecture into the image, whatever is in it.
So the image's configuration is written here.
"""

import hashlib
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import debian

LABEL = "dev.planton.standin"
MOMENT = "2020-01-01T00:00:00Z"
ENVIRONMENT = {
    "LANG": "C.UTF-8",
    # AWS's order; Debian's dpkg asks for the sbin folders.
    "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin:/usr/sbin:/sbin",
    "LD_LIBRARY_PATH": (
        "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib"
    ),
    "LAMBDA_TASK_ROOT": "/var/task",
    "LAMBDA_RUNTIME_DIR": "/var/runtime",
}


def name_of(python: str, architecture: str) -> str:
    """Return the name of a stand-in: that of AWS's build image below another registry."""
    return f"planton-standin/build-python{python}:latest-{architecture}"


def write(root: Path, archive: Path, *, python: str, architecture: str, suite: str) -> None:
    """Write a docker-archive of one layer. The same tree gives the same bytes."""
    layer = archive.with_name("layer.tar")
    subprocess.run(
        [
            *("tar", "-c", "-C", root, "-f", layer, "--sort=name", "--mtime=@1577836800", "--numeric-owner"),
            *("--format=posix", "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime", "."),
        ],
        check=True,
    )
    with layer.open("rb") as file:
        diff_id = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    config: dict[str, Any] = {
        "architecture": debian.ARCHITECTURES[architecture],
        "os": "linux",
        "created": MOMENT,
        "config": {
            "Env": [f"{name}={value}" for name, value in ENVIRONMENT.items()],
            "Entrypoint": ["/lambda-entrypoint.sh"],
            "WorkingDir": "/var/task",
            "Labels": {LABEL: f"debian-{suite}"},
        },
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": MOMENT, "created_by": "tests/standins/make"}],
    }
    if architecture == "arm64":
        config["variant"] = "v8"
    encoded = json.dumps(config, sort_keys=True).encode()
    config_name = f"{hashlib.sha256(encoded).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [name_of(python, architecture)], "Layers": ["layer.tar"]}]
    (archive.parent / config_name).write_bytes(encoded)
    (archive.parent / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    # The small files first: who wants the image's id need not read on.
    with tarfile.open(archive, "w", format=tarfile.USTAR_FORMAT) as out:
        for name in ("manifest.json", config_name, "layer.tar"):
            out.add(archive.parent / name, arcname=name, filter=_plain)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mtime = member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member


def load(archive: Path, *, engine: str) -> str:
    """Load an archive into an engine unless it has exactly this image under this name; return the name."""
    with tarfile.open(archive) as opened:
        first = opened.extractfile("manifest.json")
        if first is None:
            sys.exit(f"{archive} is no image; remove it")
        (entry,) = json.load(first)
    (name,) = entry["RepoTags"]
    identity = entry["Config"].removesuffix(".json")
    asked = subprocess.run(
        [engine, "image", "inspect", "--format", "{{.Id}}", name], capture_output=True, text=True, check=False
    )
    if asked.stdout.strip().removeprefix("sha256:") != identity:
        subprocess.run([engine, "load", "--quiet", "--input", archive], check=True, stdout=subprocess.DEVNULL)
    return str(name)
