"""Functions seen running in the runtime's container: what is told of good ones and of each kind of bad."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from planton_build.archive.compress import member_from_bytes
from planton_build.archive.writer import write_zip
from planton_build.artifact import Artifact, PackageShare
from planton_build.cache import Store
from planton_build.errors import (
    ContainerOutOfMemory,
    ContainerTimeout,
    EngineUnavailable,
    ImageMismatch,
    InvocationFailed,
    VerifyFailed,
)
from planton_build.manifest.document import Manifest
from planton_build.manifest.model import AwsLambda, AwsLambdaSpec
from planton_build.pipeline import Built
from planton_build.project.function import BuildOptions, FunctionProject
from planton_build.runtimes.catalog import target_for
from planton_build.runtimes.target import Architecture
from planton_build.sandbox.container import Sandbox
from planton_build.sandbox.engine import Engine, connect
from planton_build.sandbox.job import Limits
from planton_build.verify.report import Verification
from planton_build.verify.verify import verify

pytestmark = [
    pytest.mark.engine("docker"),
    pytest.mark.xdist_group("containers"),
]

NATIVE: Architecture = "arm64" if platform.machine() == "aarch64" else "x86_64"
FOREIGN: Architecture = "x86_64" if NATIVE == "arm64" else "arm64"
HANDLER = """
def handler(event, context):
    print("called with", event)
    if event == "raise":
        raise ValueError("boom")
    if event == "exit":
        import os
        os._exit(3)
    if event == "memory":
        return len(bytearray(400 << 20))
    if event == "wait":
        import time
        time.sleep(30)
    if event == "looks like an error":
        return {"errorMessage": "m", "errorType": "t", "requestId": "r", "stackTrace": []}
    return {"echo": event, "name": context.function_name}
"""


@pytest.fixture(scope="module")
def engine(require_engine: Callable[[str, bool, str], None]) -> Iterator[Engine]:
    try:
        found = connect(os.environ)
    except EngineUnavailable as error:
        require_engine("docker", False, str(error))
        raise
    yield found
    found.close()


@pytest.fixture(scope="module")
def image(engine: Engine, require_engine: Callable[[str, bool, str], None]) -> Callable[[str], str]:
    import docker

    def identity(architecture: str) -> str:
        name = f"planton-standin/build-python3.11:latest-{architecture}"
        try:
            return str(engine.api.inspect_image(name)["Id"])
        except docker.errors.NotFound:
            require_engine(name, False, "not loaded; as root: tests/standins/make")
            raise

    return identity


class Run:
    """Makes a function of files, verifies it, and keeps what the container said."""

    def __init__(self, engine: Engine, image: Callable[[str], str], folder: Path) -> None:
        self.said: list[str] = []
        self.folder = folder
        self._image = image
        self._sandbox = Sandbox(engine, lambda what, line: line is not None and self.said.append(line))

    def __call__(
        self,
        files: Mapping[str, str | bytes],
        event: object = None,
        *,
        architecture: Architecture = NATIVE,
        limits: Limits | None = None,
        packages: tuple[str, ...] = (),
        **spec: object,
    ) -> Verification:
        values = {"function_name": "orders", "handler": "app.handler", "memory_mb": 256, **spec}
        model = AwsLambda(spec=AwsLambdaSpec.model_validate(values))
        manifest = Manifest(self.folder / "lambda.yaml", 0, model, {}, "0" * 64)
        target = target_for("python3.11", architecture)
        project = FunctionProject(manifest, target, BuildOptions(source=self.folder / "source"))
        return verify(
            Built(project, self._artifact(files, packages), None, cached=False, seconds=0.0),
            sandbox=self._sandbox,
            image=self._image(architecture),
            event=None if event is None else json.dumps(event).encode(),
            limits=limits,
        )

    def _artifact(self, files: Mapping[str, str | bytes], packages: tuple[str, ...]) -> Artifact:
        store, members = Store(self.folder / "store"), []
        for path, text in files.items():
            content = text if isinstance(text, bytes) else textwrap.dedent(text).encode()
            source = self.folder / "source" / path
            source.parent.mkdir(parents=True, exist_ok=True)
            source.write_bytes(content)
            members.append(
                member_from_bytes(content, archive_path=path, executable=False, origin="", store=store)
            )
        archive = self.folder / "orders.zip"
        written = write_zip(members, archive)
        shares = tuple(PackageShare(name, "1.0", 0, 0, 0) for name in packages)
        return Artifact(
            archive, written.sha256, written.tree_digest, written.size, written.unzipped_size, 0, shares, ()
        )


@pytest.fixture
def run(engine: Engine, image: Callable[[str], str], tmp_path: Path) -> Run:
    return Run(engine, image, tmp_path)


def test_a_good_handler_is_imported_and_what_it_costs_is_told(run: Run) -> None:
    seen = run({"app.py": "import slow\ndef handler(event, context): ...\n", "slow.py": "import asyncio\n"})

    assert seen.import_seconds > 0
    assert {"app", "asyncio"} <= {one.name for one in seen.packages}
    assert next(one.modules for one in seen.packages if one.name == "asyncio") > 10
    assert 5 << 20 < seen.peak_memory < 256 << 20
    assert seen.invocation is None
    assert not seen.emulated


def test_the_slowest_import_comes_first_with_its_own_time(run: Run) -> None:
    # `app` waits for `slow`: in sum it takes longer, by itself it does not.
    files = {"app.py": "import slow\ndef handler(*_): ...\n", "slow.py": "import time\ntime.sleep(1)\n"}

    seen = run(files)

    assert seen.packages[0].name == "slow"
    assert seen.slowest[0].name == "slow"
    (app,) = [one for one in seen.slowest if one.name == "app"]
    assert app.total > seen.slowest[0].own > app.own


def test_a_handler_in_a_folder_is_found_as_lambda_finds_it(run: Run) -> None:
    assert run({"src/app.py": "def handler(*_): ...\n"}, handler="src/app.handler").modules


def test_the_function_sees_lambda_and_nothing_of_the_host_or_of_builds(run: Run) -> None:
    look = """
        import json, os, socket
        print("LOOK", json.dumps({
            "names": sorted(os.environ), "user": os.getuid(), "folder": os.getcwd(),
            "table": os.environ["TABLE"], "owner": os.stat("app.py").st_uid,
            "interfaces": [name for _, name in socket.if_nameindex()],
        }))
        open("/tmp/scratch", "w").close()
        def handler(*_): ...
    """

    run({"app.py": look}, environment={"TABLE": "orders"})

    (line,) = [line for line in run.said if line.startswith("LOOK ")]
    told = json.loads(line.removeprefix("LOOK "))
    assert {"AWS_REGION", "LAMBDA_TASK_ROOT", "AWS_LAMBDA_FUNCTION_NAME", "TABLE"} <= set(told["names"])
    assert not {"PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED", "PIP_NO_INPUT", "USER"} & set(told["names"])
    assert (told["user"], told["owner"], told["folder"], told["table"]) == (1000, 0, "/var/task", "orders")
    assert told["interfaces"] == ["lo"]


def test_a_value_of_the_manifest_is_not_in_the_containers_configuration(
    run: Run, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    start = engine.api.start

    def noting(container: str) -> None:
        seen.append(engine.api.inspect_container(container))
        start(container)

    monkeypatch.setattr(engine.api, "start", noting)

    run({"app.py": "def handler(*_): ...\n"}, environment={"TOKEN": "s3cr3t-value"})

    assert seen
    assert "s3cr3t-value" not in json.dumps(seen)


@pytest.mark.parametrize(
    ("files", "message", "hint"),
    [
        ({"app.py": "def handle(*_): ...\n"}, "the module app has no function handler", "app.handle?"),
        ({"app.py": "handler = 1\n"}, "has a handler that cannot be called", "module.function"),
        ({"other.py": ""}, "the artifact has no module app", "source folder"),
        (
            {"app.py": "import requests\n"},
            "app.py (line 1) imports requests, which is neither",
            "dependencies",
        ),
        ({"app.py": "def f(:\n"}, "SyntaxError: invalid syntax", "Lambda would fail"),
        ({"app.py": "def f():\n    raise ValueError('boom')\nf()\n"}, "app.py:2 in f: raise Val", "Lambda"),
        ({"app.py": "import os\nos.environ['TABLE']\n"}, "KeyError: 'TABLE'", "'TABLE' in spec.environment"),
        ({"app.py": "open('/var/task/x', 'w')\n"}, "Permission denied: '/var/task/x'", "/tmp can"),
        ({"app.py": "import sys\nsys.exit('bye')\n"}, "SystemExit: bye", "must not end the process"),
        ({"app.py": "import os\nos._exit(4)\n"}, "ended with exit code 4 while app.handler", "must not end"),
        (
            {"app.py": "import ctypes\nctypes.string_at(0)\n"},
            "crashed (SIGSEGV) while app.handler",
            "crashed",
        ),
        (
            {"app.py": "import urllib.request\nurllib.request.urlopen('http://service.example')\n"},
            "URLError",
            "no network in the container",
        ),
    ],
)
def test_a_failure_says_what_and_where_and_what_to_do(
    run: Run, files: Mapping[str, str], message: str, hint: str
) -> None:
    with pytest.raises(VerifyFailed) as caught:
        run(files)

    assert message in caught.value.message
    assert hint in str(caught.value.hint)
    assert "import_handler.py" not in caught.value.message


def test_a_failure_points_into_the_users_own_file_and_not_into_the_package(run: Run) -> None:
    files = {"app.py": "\nimport kind\n", "kind/__init__.py": "raise RuntimeError('unkind')\n"}

    with pytest.raises(
        VerifyFailed, match=r"RuntimeError: unkind\n  app\.py:2 in <module>: import kind$"
    ) as caught:
        run(files, packages=("kind",))

    assert (caught.value.findings[0].file, caught.value.findings[0].line) == (
        run.folder / "source/app.py",
        2,
    )


def test_a_package_that_imports_what_it_does_not_require_is_named(run: Run) -> None:
    files = {"app.py": "import kind\n", "kind/__init__.py": "import absent.part\n"}

    with pytest.raises(VerifyFailed, match=r"kind/__init__.py of kind \(line 1\) imports absent") as caught:
        run(files, packages=("kind",))

    assert "kind needs it without saying so" in str(caught.value.hint)


def test_a_missing_shared_library_is_named_with_the_file_that_needs_it(run: Run, tmp_path: Path) -> None:
    compiler = shutil.which("cc") or pytest.skip("no C compiler")
    library, module = tmp_path / "libnothere.so", tmp_path / "_native.so"
    empty = [compiler, "-shared", "-x", "c", "/dev/null", "-x", "none"]
    subprocess.run([*empty, "-Wl,-soname,libnothere.so.1", "-o", str(library)], check=True)
    subprocess.run([*empty, "-Wl,--no-as-needed", str(library), "-o", str(module)], check=True)
    files = {
        "app.py": "import kind._native\n",
        "kind/__init__.py": "",
        "kind/_native.so": module.read_bytes(),
    }

    with pytest.raises(
        VerifyFailed, match=r"kind/_native\.so of kind needs the library libnothere.so.1"
    ) as caught:
        run(files, packages=("kind",))

    assert "system-packages" in str(caught.value.hint)


def test_an_extension_for_another_architecture_is_told(run: Run) -> None:
    machine = 183 if NATIVE == "x86_64" else 62
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + (3).to_bytes(2, "little") + machine.to_bytes(2, "little")

    with pytest.raises(VerifyFailed, match=r"_native\.so") as caught:
        run({"app.py": "import _native\n", "_native.so": header + bytes(200)})

    assert caught.value.hint


def test_the_functions_memory_is_the_limit_and_the_hint_names_the_field(run: Run) -> None:
    with pytest.raises(ContainerOutOfMemory, match="orders needs more than its 128 MB of memory") as caught:
        run({"app.py": "block = bytearray(400 << 20)\n"}, memory_mb=128)

    assert caught.value.hint == "raise spec.memoryMb"


def test_an_import_that_does_not_end_is_ended(run: Run) -> None:
    with pytest.raises(ContainerTimeout, match="verifying orders took longer than 3 s"):
        run({"app.py": "import time\ntime.sleep(60)\n"}, limits=Limits(seconds=3))


def test_an_event_is_answered_by_the_handler_through_the_emulator(run: Run) -> None:
    seen = run({"app.py": HANDLER}, {"a": [1, "é"]})

    assert seen.invocation is not None
    assert json.loads(seen.invocation.payload) == {"echo": {"a": [1, "é"]}, "name": "orders"}
    assert seen.invocation.seconds > 0
    assert seen.invocation.peak_memory > 5 << 20
    assert "called with {'a': [1, 'é']}" in seen.log
    assert "(rapid)" not in seen.log
    assert "LAMBDA_RUNTIME" not in seen.log  # the emulator's end makes no noise


def test_an_answer_that_looks_like_an_error_is_an_answer(run: Run) -> None:
    seen = run({"app.py": HANDLER}, "looks like an error")

    assert seen.invocation is not None
    assert json.loads(seen.invocation.payload)["errorType"] == "t"


@pytest.mark.parametrize(
    ("event", "message", "hint"),
    [
        ("raise", 'orders failed: ValueError: boom\n  File "/var/task/app.py", line 5, in handler', "log"),
        ("exit", "exit status 3", "ended"),
        ("wait", "orders timed out: Task timed out after 2.00 seconds", "spec.timeoutSeconds"),
    ],
)
def test_a_failing_invocation_is_told_in_lambdas_words(run: Run, event: str, message: str, hint: str) -> None:
    with pytest.raises(InvocationFailed) as caught:
        run({"app.py": HANDLER}, event, timeout_seconds=2)

    assert message in caught.value.message
    assert hint in str(caught.value.hint)


def test_an_invocation_without_enough_memory_is_told(run: Run) -> None:
    with pytest.raises(ContainerOutOfMemory, match="128 MB"):
        run({"app.py": HANDLER}, "memory", memory_mb=128)


def test_an_image_of_another_architecture_is_refused(
    engine: Engine, image: Callable[[str], str], tmp_path: Path
) -> None:
    wrong = Run(engine, lambda architecture: image(FOREIGN), tmp_path)

    with pytest.raises(ImageMismatch):
        wrong({"app.py": HANDLER})


def test_an_emulated_function_is_imported_and_invoked_and_marked(run: Run) -> None:
    seen = run({"app.py": "import platform\nprint(platform.machine())\n" + HANDLER}, 1, architecture=FOREIGN)

    assert seen.emulated
    assert {"arm64": "aarch64", "x86_64": "x86_64"}[FOREIGN] in seen.log
    assert seen.invocation is not None
    assert json.loads(seen.invocation.payload)["echo"] == 1


def test_nothing_is_left_on_the_engine(run: Run, engine: Engine) -> None:
    before = {one["Id"] for one in engine.api.containers(all=True)}
    run({"app.py": HANDLER}, 1)
    with pytest.raises(VerifyFailed):
        run({"app.py": "import absent\n"})

    mine = [
        one
        for one in engine.api.containers(all=True)
        if one["Id"] not in before and str(os.getpid()) in str(one["Labels"])
    ]
    assert mine == []
