"""Dockerfiles built on the real engine: the same image each time, what is in it, and each way to fail."""

from __future__ import annotations

import base64
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from planton_build.cache import Store
from planton_build.errors import ContainerTimeout, DockerfileFailed, EngineUnavailable, ImageUnavailable
from planton_build.events import Event, StepFinished, StepOutput
from planton_build.oci.docker_archive import write_archive
from planton_build.oci.image import Image
from planton_build.runtimes.target import Architecture
from planton_build.sandbox.dockerfile.build import REPOSITORY, build_image
from planton_build.sandbox.dockerfile.builders import find_buildkit
from planton_build.sandbox.dockerfile.context import read_context
from planton_build.sandbox.dockerfile.from_lines import Choices, images_of
from planton_build.sandbox.dockerfile.order import Order
from planton_build.sandbox.dockerfile.parse import read_dockerfile
from planton_build.sandbox.engine import Engine, connect

pytestmark = [pytest.mark.engine("docker"), pytest.mark.xdist_group("containers")]

NATIVE: Architecture = "arm64" if platform.machine() == "aarch64" else "x86_64"
STAND_IN = f"planton-standin/build-python3.11:latest-{NATIVE}"
MARK = "planton-dockerfile-test"
"""In the commands of builds that are ended."""
EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "ffmpeg-thumbnailer"
DOCKERFILE = """\
ARG BASE
FROM ${BASE} AS tools
COPY tool.c /tmp/
RUN gcc -O2 -o /opt/tool /tmp/tool.c

FROM ${BASE}
COPY --from=tools /opt/tool /usr/local/bin/
COPY pip /tmp/pip/pip
COPY *.whl /tmp/wheels/
RUN PYTHONPATH=/tmp/pip python3 -m pip install --no-index --no-cache-dir \\
      --target /var/task /tmp/wheels/*.whl \\
    && rm -r /tmp/wheels /tmp/pip
COPY . /var/task/
CMD ["app.handler"]
"""
APP = """\
import subprocess, greet
def handler(event, context):
    return [greet.hello(event["name"]), subprocess.check_output(["tool"], text=True)]
"""
BUILDERS = pytest.mark.parametrize("buildkit", [True, False], ids=["BuildKit", "classic"])


@pytest.fixture(scope="module")
def engine(require_engine: Callable[[str, bool, str], None]) -> Iterator[Engine]:
    try:
        found = connect(os.environ)
    except EngineUnavailable as error:
        require_engine("docker", False, error.message)
        raise
    have = bool(found.api.images(STAND_IN))
    require_engine(STAND_IN, have, "see tests/standins/make")
    require_engine("BuildKit", find_buildkit(found, os.environ) is not None, "no docker command has it")
    yield found
    assert_nothing_runs(found)
    assert not found.api.images(REPOSITORY)
    assert not found.api.images("planton-build-base")
    found.close()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One store for all: the stand-in's layer is compressed once."""
    return Store(tmp_path_factory.mktemp("dockerfiles"))


def function(folder: Path, dockerfile: str = DOCKERFILE, **files: str) -> Path:
    """Write a function that has a wheel, a tool in C and a module of its own."""
    import pip

    folder.mkdir(parents=True)
    (folder / "Dockerfile").write_text(dockerfile)
    (folder / ".dockerignore").write_text("Dockerfile\n.dockerignore\n**/__pycache__\n")
    for name, text in {"app.py": APP, **files}.items():
        (folder / name).write_text(text)
    if dockerfile is DOCKERFILE:
        (folder / "tool.c").write_text('#include <stdio.h>\nint main(void) { puts("cut"); return 0; }\n')
        with zipfile.ZipFile(folder / "greet-1.0-py3-none-any.whl", "w") as wheel:
            for name, text in {
                "greet.py": "NAMES = {'a', 'b'}\ndef hello(name):\n    return 'hello ' + name\n",
                "greet-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: greet\nVersion: 1.0\n",
                "greet-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
                "greet-1.0.dist-info/RECORD": "greet.py,,\n",
            }.items():
                wheel.writestr(zipfile.ZipInfo(name), text)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(pip.__file__).parent, folder / "pip", ignore=ignored)
    return folder


def order(engine: Engine, folder: Path, base: str = STAND_IN, **options: Any) -> Order:
    """Return an order whose images are pinned to those that are on the engine."""
    choices = Choices(options.pop("stage", None), {"BASE": base, **options.pop("arguments", {})}, NATIVE)
    dockerfile = read_dockerfile(options.pop("dockerfile", folder / "Dockerfile"))
    pins = {
        image.key: str(engine.api.inspect_image(image.name)["Id"]) for image in images_of(dockerfile, choices)
    }
    return Order(dockerfile, read_context(folder, dockerfile.path), choices, pins, **options)


def build(
    engine: Engine,
    wanted: Order,
    store: Store,
    *,
    buildkit: bool | None = None,
    events: list[Event] | None = None,
    environment: Mapping[str, str] = os.environ,
    jobs: int = 2,
) -> Image:
    heard: list[Event] = [] if events is None else events
    image = build_image(
        engine,
        wanted,
        store=store,
        base=None,
        environment=environment,
        listener=heard.append,
        function="f",
        jobs=jobs,
        buildkit=buildkit,
    )
    assert not list((store.root / "staging").iterdir())
    return image


def assert_nothing_runs(engine: Engine) -> None:
    """See that what a build has started is gone; engines end it in their own time."""
    for _ in range(200):
        containers = [one["Command"] for one in engine.api.containers(all=True) if MARK in one["Command"]]
        found = subprocess.run(["pgrep", "-af", MARK], capture_output=True, check=False).stdout.decode()
        processes = [line for line in found.splitlines() if "/bin/sh -c :" in line]
        if not containers and not processes:
            return
        time.sleep(0.1)
    raise AssertionError((containers, processes))


def files(image: Image) -> dict[str, bytes]:
    """Return the files of an image's own layers, in what Docker unpacks."""
    import gzip
    import io
    import tarfile

    found: dict[str, bytes] = {}
    for layer in image.layers[1:]:
        content = gzip.decompress(b"".join(layer.content.chunks()))
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for one in archive:
                if one.isreg() and not Path(one.name).name.startswith(".wh."):
                    found[one.name] = archive.extractfile(one).read()  # type: ignore[union-attr]
    return found


def answer(image: Image, event: object, folder: Path) -> Any:
    """Load an image, run it, and return what the function answers through the Runtime Interface Emulator."""
    archive, tag = folder / "image.tar", f"planton-test-dockerfile:{random.randbytes(6).hex()}"
    write_archive(image, archive, tags=[tag])
    subprocess.run(["docker", "load", "-q", "-i", str(archive)], check=True, capture_output=True)
    archive.unlink()
    command = ["docker", "run", "-d", "-p", "127.0.0.1::8080", "-e", "THUMBNAIL_WIDTH=32", tag]
    container = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    try:
        command = ["docker", "port", container, "8080"]
        place = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[0]
        url = f"http://{place}/2015-03-31/functions/function/invocations"
        for _ in range(100):
            try:
                with urllib.request.urlopen(url, json.dumps(event).encode(), timeout=60) as stream:
                    return json.loads(stream.read())
            except OSError:  # it does not listen yet
                time.sleep(0.1)
        raise AssertionError("the emulator does not answer")
    finally:
        subprocess.run(["docker", "rm", "-f", "-v", container], check=True, capture_output=True)
        subprocess.run(["docker", "rmi", tag], check=True, capture_output=True)


@BUILDERS
def test_varied_builds_give_one_image_that_answers(
    engine: Engine, store: Store, tmp_path: Path, buildkit: bool
) -> None:
    digests = set()
    for number in range(5):
        old = os.umask((0o022, 0o077, 0o002)[number % 3])
        try:
            folder = function(tmp_path / ("x" * number) / "f")
        finally:
            os.umask(old)
        for path in folder.rglob("*"):
            os.utime(path, (number * 10**8, number * 10**8))
        environment = {
            **os.environ,
            "TZ": ("UTC", "Asia/Tokyo")[number % 2],
            "LC_ALL": ("C", "C.UTF-8")[number % 2],
        }
        wanted = order(engine, folder, fresh=number != 3)
        image = build(engine, wanted, store, buildkit=buildkit, environment=environment, jobs=1 + number % 4)
        digests.add(image.digest)
    assert len(digests) == 1
    assert answer(image, {"name": "you"}, tmp_path) == ["hello you", "cut\n"]
    found = files(image)
    assert {"var/task/app.py", "var/task/greet.py", "usr/local/bin/tool"} <= found.keys()
    assert not {name for name in found if "ocker" in name and "pip" not in name}
    code = found["var/task/__pycache__/greet.cpython-311.pyc"]
    assert int.from_bytes(code[8:12], "little") == 315532800


@BUILDERS
def test_the_dockerfile_may_be_elsewhere_and_what_is_ignored_stays_out(
    engine: Engine, store: Store, tmp_path: Path, buildkit: bool
) -> None:
    folder = function(tmp_path / "f", "FROM scratch\n", **{"secret.pem": "x", "notes.md": "x"})
    elsewhere = tmp_path / "elsewhere.Dockerfile"
    elsewhere.write_text("ARG BASE\nFROM $BASE\nCOPY . /var/task/\n")
    (folder / ".dockerignore").write_text("*.pem\n")
    wanted = order(engine, folder, dockerfile=elsewhere)
    found = set(files(build(engine, wanted, store, buildkit=buildkit)))
    assert found == {f"var/task/{name}" for name in ("app.py", "notes.md", "Dockerfile", ".dockerignore")}


@BUILDERS
def test_a_command_that_fails_is_named_with_its_line_and_last_words(
    engine: Engine, store: Store, tmp_path: Path, buildkit: bool
) -> None:
    command = f": {MARK}; for n in $(seq 99); do \\\n    echo line $n; done; exit 7"
    text = f"ARG BASE\nFROM $BASE\n# why\nRUN {command}\n"
    wanted = order(engine, function(tmp_path / "f", text))
    events: list[Event] = []
    with pytest.raises(DockerfileFailed) as failed:
        build(engine, wanted, store, buildkit=buildkit, events=events)
    assert failed.value.findings[0].line == 4
    lines = failed.value.message.splitlines()
    assert "exit code 7" in lines[0]
    assert lines[1:] == [f"  line {number}" for number in range(85, 100)]
    assert "line 1" in [event.line for event in events if isinstance(event, StepOutput)]
    assert_nothing_runs(engine)


@BUILDERS
@pytest.mark.parametrize("line", ["COPY missing /x", "NONSENSE x", "ENV"])
def test_an_instruction_that_cannot_be_followed_is_told(
    engine: Engine, store: Store, tmp_path: Path, buildkit: bool, line: str
) -> None:
    wanted = order(engine, function(tmp_path / "f", f"ARG BASE\nFROM $BASE\n{line}\n"))
    with pytest.raises(DockerfileFailed) as failed:
        build(engine, wanted, store, buildkit=buildkit)
    assert line.split()[0] in failed.value.message
    assert failed.value.findings[0].line == 3


def test_a_secret_is_readable_in_its_mount_and_nowhere_else(
    engine: Engine, store: Store, tmp_path: Path
) -> None:
    text = (
        "ARG BASE\nFROM $BASE\nRUN --mount=type=secret,id=netrc wc -c </run/secrets/netrc >/var/task/size\n"
    )
    folder, secret = function(tmp_path / "f", text), tmp_path / "netrc"
    secret.write_text("password-1234")
    events: list[Event] = []
    wanted = order(engine, folder, secrets={"netrc": secret})
    image = build(engine, wanted, store, buildkit=True, events=events)
    found = files(image)
    assert found.pop("var/task/size").strip() == b"13"
    assert not [name for name, content in found.items() if b"password-1234" in content]
    assert b"password" not in image.config
    assert "password" not in repr(events)
    assert "BuildKit through" in next(one.detail for one in events if isinstance(one, StepFinished))
    with pytest.raises(DockerfileFailed, match="BuildKit"):
        build(engine, wanted, store, buildkit=False)
    with pytest.raises(DockerfileFailed, match="--mount= needs BuildKit") as failed:
        build(engine, replace(wanted, secrets={}), store, buildkit=False)
    assert failed.value.findings[0].line == 3


@BUILDERS
def test_arguments_and_the_stage_decide(engine: Engine, store: Store, tmp_path: Path, buildkit: bool) -> None:
    text = (
        "ARG BASE\nFROM $BASE AS small\nARG COLOUR=red\nARG SOURCE_DATE_EPOCH\n"
        "RUN echo $COLOUR $SOURCE_DATE_EPOCH >/var/task/colour\nFROM small\nRUN exit 1\n"
    )
    folder = function(tmp_path / "f", text)
    wanted = order(engine, folder, stage="small", arguments={"COLOUR": "blue"})
    found = files(build(engine, wanted, store, buildkit=buildkit))
    assert found["var/task/colour"] == b"blue 315532800\n"


@BUILDERS
def test_a_build_that_takes_too_long_is_ended(
    engine: Engine, store: Store, tmp_path: Path, buildkit: bool
) -> None:
    wanted = order(
        engine, function(tmp_path / "f", f"ARG BASE\nFROM $BASE\nRUN : {MARK}; sleep 300\n"), seconds=3
    )
    with pytest.raises(ContainerTimeout, match="longer than 3 s"):
        build(engine, wanted, store, buildkit=buildkit)
    assert_nothing_runs(engine)


def test_an_image_that_is_not_on_the_engine_is_told(engine: Engine, store: Store, tmp_path: Path) -> None:
    wanted = order(engine, function(tmp_path / "f", "ARG BASE\nFROM $BASE\n"))
    gone = replace(wanted, pins=dict.fromkeys(wanted.pins, "sha256:" + "0" * 64))
    with pytest.raises(ImageUnavailable, match="no image with the ID"):
        build(engine, gone, store)


def test_without_a_command_that_has_buildkit_the_classic_builder_is_taken(
    engine: Engine, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "docker").write_text("#!/bin/sh\necho Docker version 28.0.0\n[ $1 = --version ]\n")
    (tmp_path / "bin" / "docker").chmod(0o755)
    environment = {**os.environ, "PATH": str(tmp_path / "bin")}
    assert find_buildkit(engine, environment) is None
    events: list[Event] = []
    wanted = order(engine, function(tmp_path / "f", "ARG BASE\nFROM $BASE\nCOPY app.py /var/task/\n"))
    build(engine, wanted, store, events=events, environment=environment)
    assert next(one.detail for one in events if isinstance(one, StepFinished)).endswith("classic builder")
    # The next one on the path that has it is taken.
    environment["PATH"] += os.pathsep + os.environ["PATH"]
    assert find_buildkit(engine, environment) is not None


@BUILDERS
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_leaves_nothing(
    engine: Engine, tmp_path: Path, buildkit: bool, number: signal.Signals
) -> None:
    folder = function(tmp_path / "f", f"ARG BASE\nFROM $BASE\nRUN : {MARK}; echo begun; sleep 301\n")
    program = f"""
import os, sys
from pathlib import Path
sys.argv[0] = "planton-build"
from planton_build.cache import Store
from planton_build.cli.commands import _leave
from planton_build.sandbox.engine import connect
from planton_build.sandbox.dockerfile.build import build_image
from planton_build.sandbox.dockerfile.context import read_context
from planton_build.sandbox.dockerfile.from_lines import Choices, images_of
from planton_build.sandbox.dockerfile.order import Order
from planton_build.sandbox.dockerfile.parse import read_dockerfile
import signal
def stop(*_): raise KeyboardInterrupt
signal.signal(signal.SIGTERM, stop); signal.signal(signal.SIGINT, stop)
folder = Path({str(folder)!r})
dockerfile = read_dockerfile(folder / "Dockerfile")
choices = Choices(None, {{"BASE": {STAND_IN!r}}}, {NATIVE!r})
engine = connect(os.environ)
pins = {{one.key: engine.api.inspect_image(one.name)["Id"] for one in images_of(dockerfile, choices)}}
from concurrent.futures import ThreadPoolExecutor
pool = ThreadPoolExecutor(1)
told = lambda event: print(getattr(event, "line", ""), flush=True)
try:
    wanted = Order(dockerfile, read_context(folder, dockerfile.path), choices, pins)
    pool.submit(build_image, engine, wanted,
        store=Store(Path({str(tmp_path / "store")!r})), base=None, environment=os.environ, listener=told,
        function="f", buildkit={buildkit}).result()
except KeyboardInterrupt:
    _leave(130)
    sys.exit(130)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while (line := process.stdout.readline()) and line != "begun\n":
            pass
        assert line == "begun\n"
        process.send_signal(number)
        process.stdout.read()
    assert process.returncode == 130
    assert not list((tmp_path / "store" / "v1" / "staging").iterdir())
    assert_nothing_runs(engine)
    assert not engine.api.images(REPOSITORY)


@pytest.fixture
def base_with_pip(engine: Engine, store: Store, tmp_path: Path) -> Iterator[str]:
    """The stand-in with what Amazon's base image has besides: pip, here with the example's wheels at hand."""
    import pip

    folder, tag = tmp_path / "base", f"planton-test-base:{random.randbytes(6).hex()}"
    folder.mkdir()
    shutil.copytree(Path(pip.__file__).parent, folder / "pip", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "pip.sh").write_text('#!/bin/sh\nPYTHONPATH=/opt/pip exec python3 -m pip "$@"\n')
    (folder / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /opt/wheels\n")
    machine = "aarch64" if NATIVE == "arm64" else "x86_64"
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"]
    command += ["--platform", f"manylinux2014_{machine}", "--dest", str(folder / "wheels")]
    subprocess.run([*command, "-r", str(EXAMPLE / "requirements.txt")], check=True)
    (folder / "Dockerfile").write_text(
        f"FROM {STAND_IN}\nCOPY pip /opt/pip/pip\nCOPY wheels /opt/wheels\nCOPY pip.conf /etc/pip.conf\n"
        "COPY pip.sh /usr/local/bin/pip\nRUN chmod 755 /usr/local/bin/pip\n"
    )
    wanted = order(engine, folder)
    image = build(engine, wanted, store)
    write_archive(image, tmp_path / "base.tar", tags=[tag])
    subprocess.run(
        ["docker", "load", "-q", "-i", str(tmp_path / "base.tar")], check=True, capture_output=True
    )
    yield tag
    subprocess.run(["docker", "rmi", tag], check=True, capture_output=True)


@pytest.mark.network
def test_the_example_makes_a_thumbnail_and_is_the_same_image_again(
    engine: Engine, store: Store, tmp_path: Path, base_with_pip: str
) -> None:
    one, two = (
        build(engine, order(engine, EXAMPLE, base_with_pip, fresh=fresh), store) for fresh in (True, True)
    )
    assert one.digest == two.digest
    event = json.loads((EXAMPLE / "event.json").read_text())
    picture = base64.b64decode(answer(one, event, tmp_path)["jpeg"])
    assert picture[:3] == b"\xff\xd8\xff"
    assert (
        b"\x00\x16\x00\x20" in picture or b"\x00\x15\x00\x20" in picture
    )  # height 22, width 32 in its frame header


@pytest.mark.network
def test_the_example_is_built_by_the_command_and_found_again(tmp_path: Path, base_with_pip: str) -> None:
    folder = Path(shutil.copytree(EXAMPLE, tmp_path / "example"))
    manifest = folder / "lambda.yaml"
    manifest.write_text(manifest.read_text().replace("ARM64", NATIVE.upper()))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PLANTON_")},
        "PLANTON_CACHE_DIR": str(tmp_path / "store"),
        "PLANTON_DOCKER_ARGS": f"BASE={base_with_pip}",
    }

    def built(*arguments: str) -> dict[str, Any]:
        command = "from planton_build.cli.build import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", command, "build", "--no-publish", "--json", *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        (function,) = json.loads(done.stdout)["functions"]
        return dict(function)

    first = built("--output", "out")
    assert (first["package_type"], first["cached"]) == ("Image", False)
    assert "image-id:sha256:" in (folder / "images.lock").read_text()
    index = json.loads((folder / "out/ffmpeg-thumbnailer.oci/index.json").read_text())
    assert index["manifests"][0]["digest"] == f"sha256:{first['sha256']}"
    again = built("--locked")
    assert (again["sha256"], again["cached"]) == (first["sha256"], True)
