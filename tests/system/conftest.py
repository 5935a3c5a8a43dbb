"""What system tests share: folders made once per session, the build as a process, and functions to build."""

from __future__ import annotations

import compileall
import gzip
import hashlib
import importlib.metadata
import io
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import filelock
import platformdirs
import pytest

import planton_build
from planton_build.cache import BlobKind, Store
from planton_build.ecosystems.python.settings import read_pip_settings
from planton_build.ecosystems.python.uv_command import run_uv

ENTRY = "from planton_build.cli.build import main; main()"
"""`planton-build` for an interpreter that has the package on its path, and no script."""


class Once(Protocol):
    def __call__(self, name: str, make: Callable[[Path], None]) -> Path: ...


class Build(Protocol):
    def __call__(
        self,
        *folders: Path,
        store: Path,
        python: Sequence[str] = (sys.executable,),
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        umask: int = 0o022,
    ) -> dict[str, dict[str, Any]]: ...


@pytest.fixture(scope="session")
def repository(pytestconfig: pytest.Config) -> Path:
    return pytestconfig.rootpath


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Return a function `(name, make)` that fills a folder by `make(folder)` once for all xdist workers."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def made(name: str, make: Callable[[Path], None]) -> Path:
        folder = root / f"once-{name}"
        with filelock.FileLock(root / f"once-{name}.lock"):
            if not folder.exists():
                staged = root / f"once-{name}.staged"
                shutil.rmtree(staged, ignore_errors=True)  # of a worker that failed: every one may try
                staged.mkdir()
                make(staged)
                staged.rename(folder)
        return folder

    return made


@pytest.fixture(scope="session")
def build() -> Build:
    """Return a function that builds the functions below folders, in a process of its own.

    It returns what `--json` says of each function, by name, after it has seen that each artifact in the store
    has the SHA-256 that is reported. Variables of the caller's environment that would change what the command
    does are left out.
    """
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("PLANTON_", "GITHUB_"))
    }

    def run(
        *folders: Path,
        store: Path,
        python: Sequence[str] = (sys.executable,),
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        umask: int = 0o022,
    ) -> dict[str, dict[str, Any]]:
        command = [*python, "-c", ENTRY, "build", *map(str, folders), "--no-publish", "--locked", "--json"]
        done = subprocess.run(
            [*command, *arguments],
            env={**inherited, "PLANTON_CACHE_DIR": str(store), **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            umask=umask,
        )
        assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
        functions = json.loads(done.stdout)["functions"]
        for function in functions:
            kind: BlobKind = "artifacts" if function["package_type"] == "Zip" else "blobs"
            artifact = Store(store).blob(kind, function["sha256"])
            assert hashlib.sha256(artifact.read_bytes()).hexdigest() == function["sha256"]
        return {function["function_name"]: function for function in functions}

    return run


@pytest.fixture(scope="session")
def copy_site() -> Callable[..., None]:
    """Return a function that puts this package and its dependencies into a folder, for another CPython.

    Its arguments are the folder, the CPython's version (such as "3.13") and, for one of another machine, the
    platform as uv calls it.
    """

    def install(folder: Path, version: str, *, platform: str | None = None) -> None:
        wanted = importlib.metadata.requires("planton-build") or []
        requirements = folder.with_suffix(".txt")
        requirements.write_text("\n".join(line for line in wanted if "extra ==" not in line))
        command = ["pip", "install", "--target", str(folder), "-r", str(requirements)]
        command += ["--only-binary", ":all:", "--python-version", version, "--python", sys.executable]
        if platform is not None:
            command += ["--python-platform", platform]
        answer = run_uv(command, folder=folder.parent, environment=os.environ, settings=read_pip_settings())
        assert answer.returncode == 0, answer.explanation
        package = Path(planton_build.__file__).parent
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(package, folder / package.name, ignore=ignored)
        if version == "{}.{}".format(*sys.version_info):
            # Ten seconds less for an emulated interpreter of the same version: bytecode knows no machine.
            for name in ("click", "packaging", "pathspec", "pip", "planton_build", "pydantic", "yaml"):
                compileall.compile_dir(folder / name, quiet=2)

    return install


@pytest.fixture(scope="session")
def arm64_python(require_engine: Callable[[str, bool, str], None]) -> Callable[[Path], tuple[str, ...]]:
    """Return a function that gives the command of an emulated aarch64 Python, which sees one folder as /mnt.

    It runs in the tree that `.ci/arm64-tree` makes, with a mount namespace and an environment of its own and
    without network: packages are those in the folder's `site` and `backend`, the store is its `store`.
    """
    if sys.platform != "linux" or platform.machine() == "aarch64":
        pytest.skip("needs a Linux host that is not aarch64 itself")
    cache = os.environ.get("PLANTON_CI_CACHE") or platformdirs.user_cache_path("planton-ci")
    tree = Path(cache, "arm64-tree")
    ready = (tree / "usr/bin/python3").exists() and Path("/proc/sys/fs/binfmt_misc/qemu-aarch64").exists()
    require_engine("arm64 emulation", ready, f"not set up; as root: .ci/arm64-tree {tree}")
    as_root = () if os.geteuid() == 0 else ("--map-root-user",)

    def command(folder: Path) -> tuple[str, ...]:
        (folder / "tmp").mkdir()
        namespace = ("unshare", *as_root, "--mount", "sh", "-euc", _ENTER_TREE, "sh", str(tree), str(folder))
        variables = (f"{name}={value}" for name, value in _ARM64_ENVIRONMENT.items())
        return (*namespace, "/usr/bin/env", "-i", *variables, "/usr/bin/python3")

    return command


_ENTER_TREE = """
PATH=$PATH:/usr/sbin:/sbin tree=$1
mount --bind "$2" "$tree/mnt"
mount --rbind /dev "$tree/dev"
mount --rbind /proc "$tree/proc"
shift 2
exec chroot "$tree" "$@"
"""
_ARM64_ENVIRONMENT = {
    "PATH": "/usr/bin",
    "HOME": "/mnt",
    "TMPDIR": "/mnt/tmp",
    "PYTHONPATH": "/mnt/site",
    "PLANTON_CACHE_DIR": "/mnt/store",
    "PIP_NO_INDEX": "1",
    "PIP_FIND_LINKS": "/mnt/backend",
    # uv refuses to start without a certificate, even without network; the tree has none.
    "PIP_CERT": "/mnt/site/pip/_vendor/certifi/cacert.pem",
}


@pytest.fixture(scope="session")
def awkward_function() -> Callable[[Path], None]:
    """Return a function that fills a folder with a Lambda function of everything that tends to vary.

    Executable bits, symlinks, names in several scripts and in an order that locales disagree about, files
    that are left out, and contents that are empty, stored, small and large.
    """
    return _make_awkward_function


def _make_awkward_function(folder: Path) -> None:
    noise = random.Random(20).randbytes
    files: dict[str, bytes] = {
        "lambda.yaml": _MANIFEST.encode(),
        ".lambdaignore": b"*.log\n!kept.log\n/drafts/\n",
        "app.py": b"def handler(event, context):\n    return event\n",
        "bin/tool": b"#!/bin/sh\nexec echo ready\n",
        "data/empty": b"",
        "data/noise.bin": noise(100_000),
        "data/table.csv": b"".join(b"%d;%d\n" % (row, row * row % 97) for row in range(40_000)),
        "données/été.json": b'{"saison": "\xc3\xa9t\xc3\xa9"}\n',
        "names/e\u0301.txt": b"decomposed: e, then a combining accent\n",
        "names/函数.txt": b"\xe5\x87\xbd\xe6\x95\xb0\n",
        "names/Straße.txt": b"",
        "kept.log": b"kept\n",
        "noted.log": b"left out by .lambdaignore\n",
        "drafts/idea.txt": b"left out by .lambdaignore\n",
        "__pycache__/app.cpython-311.pyc": b"left out by default\n",
    }
    # Locales sort these differently: by case, by punctuation, by digits.
    files |= {f"order/{name}": name.encode() for name in ("B", "a", "C", "_d", "a-b", "a.b", "ab", "10", "9")}
    files |= {f"package/module_{n:03}.py": f"VALUE = {n}\n".encode() * (n % 7) for n in range(150)}
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o755 if name.startswith("bin/") else 0o644)
    (folder / "latest").symlink_to("data")
    (folder / "data" / "saison.json").symlink_to("../données/été.json")


@pytest.fixture(scope="session")
def small_base() -> Callable[..., None]:
    """Return a function that writes an image to build on into a folder, as a layout.

    It has what is asked of Amazon's Python images and no system: nothing in it runs. Its arguments are the
    folder, and the architecture as images call it.
    """
    return _write_small_base


def _write_small_base(folder: Path, architecture: str = "amd64", version: str = "3.13") -> None:
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as opened:
        for name in ("lambda-entrypoint.sh", "bin/sh", f"var/lang/bin/python{version}"):
            entry = tarfile.TarInfo(name)
            entry.mode, content = 0o755, b"#!/bin/sh\n" if name.endswith(".sh") else b"stands for a program\n"
            entry.size = len(content)
            opened.addfile(entry, io.BytesIO(content))
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(content: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    kind = "application/vnd.oci.image"
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {
            "Env": ["PATH=/var/lang/bin:/bin", "LAMBDA_TASK_ROOT=/var/task"],
            "Entrypoint": ["/lambda-entrypoint.sh"],
            "WorkingDir": "/var/task",
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(tar.getvalue()).hexdigest()}"]},
        "history": [{"created_by": "a test"}],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kind}.manifest.v1+json",
        "config": blob(json.dumps(config).encode(), f"{kind}.config.v1+json"),
        "layers": [blob(gzip.compress(tar.getvalue(), mtime=0), f"{kind}.layer.v1.tar+gzip")],
    }
    entry_of = blob(json.dumps(manifest).encode(), f"{kind}.manifest.v1+json")
    index = {"schemaVersion": 2, "mediaType": f"{kind}.index.v1+json", "manifests": [entry_of]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


_MANIFEST = """\
apiVersion: aws.planton.dev/v1
kind: AwsLambda
metadata:
  name: awkward
spec:
  region: eu-west-1
  functionName: awkward
  roleArn:
    value: arn:aws:iam::123456789012:role/awkward
  runtime: python3.12
  handler: app.handler
  architecture: ARM64
"""
