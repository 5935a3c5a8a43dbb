"""Functions in images, invoked on the container engine: their answers, and how each kind of bad is told."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from planton_build.cli.aws import Accounts
from planton_build.deploy.functions import apply_all, plan_all
from planton_build.errors import ArtifactNotRunnable, EngineUnavailable, ImageUnavailable
from planton_build.events import Event, ignore
from planton_build.local.clients import local_client
from planton_build.local.image import RunnableImage
from planton_build.local.invoke import Invocation
from planton_build.local.invoke_image import invoke_image
from planton_build.local.server import LocalAws, ensure_server, status, stop_server
from planton_build.manifest.load import read_manifests
from planton_build.oci.docker_archive import read_archive
from planton_build.oci.image import Image
from planton_build.publish.images import Registries, publish_image
from planton_build.sandbox import serving
from planton_build.sandbox.engine import Engine, connect
from planton_build.sandbox.loading import present_image
from planton_build.sandbox.strays import LABEL

pytestmark = [
    pytest.mark.engine("docker"),
    pytest.mark.xdist_group("containers"),
]

NATIVE = "arm64" if platform.machine() == "aarch64" else "x86_64"
FOREIGN = "x86_64" if NATIVE == "arm64" else "arm64"
ACCOUNT, REGION = "111122223333", "eu-west-1"
MINE = "planton-tests-invoke"
APP = """
import os, pathlib, sys, time, urllib.request
print("importing")
def handler(event, context):
    print("called with", event)
    print("to stderr", file=sys.stderr)
    if event == "raise":
        raise ValueError("boom")
    if event == "exit":
        os._exit(3)
    if event == "memory":
        return len(bytearray(400 << 20))
    if event == "wait":
        time.sleep(60)
    if event == "large":
        return "x" * 7_000_000
    if event == "aws":
        return urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"] + "/moto-api/", timeout=5).status
    if event == "write":
        pathlib.Path("/tmp/new").write_text("x")
        pathlib.Path("/var/task/new").write_text("x")
    return {
        "event": event, "env": dict(os.environ), "uid": os.getuid(), "name": context.function_name,
        "arch": os.uname().machine, "cwd": os.getcwd(),
    }
"""
SILENT = """#!/var/lang/bin/python3
import http.server, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        time.sleep(600)
http.server.HTTPServer(("", 8080), Handler).serve_forever()
"""
"""Stands where the emulator is, and never answers."""
OTHER = ("ENV PYTHONPATH=/var/runtime", 'ENTRYPOINT ["/var/lang/bin/python3", "-m", "awslambdaric"]')
"""Lines of a Dockerfile whose image starts otherwise than Lambda's own."""
MANIFEST = f"""\
apiVersion: aws.planton.dev/v1
kind: AwsLambda
metadata:
  name: orders
spec:
  region: {REGION}
  functionName: orders
  roleArn:
    value: arn:aws:iam::{ACCOUNT}:role/orders
  architecture: {NATIVE.upper()}
  memoryMb: 128
  timeoutSeconds: 30
  codeSourceType: CODE_SOURCE_TYPE_IMAGE
  imageUri: URI
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


@pytest.fixture(autouse=True)
def nothing_left(engine: Engine) -> Iterator[None]:
    yield
    assert containers(engine) == []


def containers(engine: Engine) -> list[Any]:
    found = engine.api.containers(all=True, filters={"label": f"{LABEL}=container"})
    return [one for one in found if one["Names"][0].startswith("/planton-invoke-")]


def remove(engine: Engine, image: str) -> None:
    import docker

    with contextlib.suppress(docker.errors.NotFound):
        engine.api.remove_image(image, force=True)


Making = Callable[..., Image]


@pytest.fixture(scope="module")
def make(
    engine: Engine,
    require_engine: Callable[[str, bool, str], None],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Making]:
    """Return a function that builds an image on a stand-in, with the lines of its Dockerfile."""
    tags: list[str] = []
    digests: list[str] = []

    def made(*lines: str, architecture: str = NATIVE, app: str = APP) -> Image:
        base = f"planton-standin/build-python3.11:latest-{architecture}"
        there = any(base in (one.get("RepoTags") or ()) for one in engine.api.images())
        require_engine(base, there, "not loaded; as root: tests/standins/make")
        dockerfile = "\n".join((f"FROM {base}", "COPY app.py /var/task/", 'CMD ["app.handler"]', *lines))
        context = io.BytesIO()
        with tarfile.open(fileobj=context, mode="w") as archive:
            for name, text in {"Dockerfile": dockerfile, "app.py": app}.items():
                entry = tarfile.TarInfo(name)
                entry.mode, entry.size = 0o644, len(text)
                archive.addfile(entry, io.BytesIO(text.encode()))
        context.seek(0)
        tag = f"{MINE}:{len(tags)}"
        said = list(
            engine.api.build(
                fileobj=context,
                custom_context=True,
                tag=tag,
                rm=True,
                forcerm=True,
                decode=True,
                platform=f"linux/{'amd64' if architecture == 'x86_64' else 'arm64'}",
            )
        )
        assert not [one for one in said if "error" in one], said
        tags.append(tag)
        path = tmp_path_factory.mktemp("image") / "image.tar"
        with path.open("wb") as stream:
            for piece in engine.api.get_image(tag):
                stream.write(piece)
        image = read_archive(path)
        digests.append(image.config_digest)
        return image

    yield made
    for digest in reversed(digests):  # later ones are made from earlier ones, where they begin alike
        remove(engine, digest)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    state = tmp_path_factory.mktemp("local") / "state"
    yield ensure_server(state)
    stop_server(state)


@dataclass
class Run:
    """Invokes an image as a deployed function."""

    local: LocalAws
    image: Image

    def __call__(
        self,
        event: object = None,
        *,
        memory_mb: int = 128,
        timeout: int = 20,
        variables: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Invocation:
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:orders"
        function = RunnableImage(
            "orders", arn, "$LATEST", REGION, memory_mb, timeout, variables or {}, self.image, None
        )
        return invoke_image(
            function,
            json.dumps(event).encode(),
            local=self.local,
            **{"environment": dict(os.environ), **options},
        )


@pytest.fixture(scope="module")
def image(make: Making) -> Image:
    return make()


@pytest.fixture
def run(local: LocalAws, image: Image) -> Run:
    return Run(local, image)


def test_a_function_answers_and_its_log_is_heard(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "from the host")
    heard: list[str] = []
    done = run({"name": "Ada"}, variables={"TABLE": "t", "AWS_REGION": "mine"}, on_log=heard.append)
    assert done.error is None, done.log
    seen = json.loads(done.payload)
    assert (seen["event"], seen["name"], seen["cwd"]) == ({"name": "Ada"}, "orders", "/var/task")
    assert seen["uid"] == 993
    environment = seen["env"]
    assert (environment["TABLE"], environment["AWS_REGION"]) == ("t", REGION)
    assert environment["AWS_ACCESS_KEY_ID"] == ACCOUNT
    assert environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "128"
    assert b"from the host" not in done.payload
    assert "".join(heard) == done.log
    assert sorted(done.log.splitlines()) == ["called with {'name': 'Ada'}", "importing", "to stderr"]
    assert done.init_ms > 0 <= done.duration_ms


def test_an_exception_comes_with_type_message_and_stack(run: Run) -> None:
    done = run("raise")
    assert done.error is not None
    assert (done.error.type, done.error.message) == ("ValueError", "boom")
    assert 'raise ValueError("boom")' in done.error.stack[-1]
    assert "[ERROR] ValueError: boom\nTraceback" in done.log
    assert json.loads(done.payload)["requestId"] == done.request_id


def test_a_timeout_ends_the_function(run: Run) -> None:
    done = run("wait", timeout=1)
    assert done.error is not None
    assert done.error.type == "Sandbox.Timedout"
    assert done.error.message == f"RequestId: {done.request_id} Error: Task timed out after 1.00 seconds"
    assert "called with wait" in done.log


def test_too_little_memory_is_told_from_an_exit(run: Run) -> None:
    killed = run("memory")
    assert killed.error is not None
    assert "signal: killed" in killed.error.message
    assert "spec.memoryMb" in (killed.error.hint or "")
    exited = run("exit")
    assert exited.error is not None
    assert (
        exited.error.message
        == f"RequestId: {exited.request_id} Error: Runtime exited with error: exit status 3"
    )
    assert "spec.memoryMb" not in (exited.error.hint or "")
    assert run("memory", memory_mb=640).error is None


def test_a_large_event_goes_through_and_a_too_large_answer_is_lambdas_error(run: Run) -> None:
    assert len(json.loads(run("x" * 2_000_000).payload)["event"]) == 2_000_000
    done = run("large")
    assert done.error is not None
    assert done.error.type == "Function.ResponseSizeTooLarge"


def test_an_emulator_that_does_not_stop_the_function_is_stopped(
    make: Making, local: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "_INIT_SECONDS", 0.5)
    monkeypatch.setattr(serving, "_MARGIN_SECONDS", 0.5)
    image = make("COPY app.py /lambda-entrypoint.sh", "RUN chmod 755 /lambda-entrypoint.sh", app=SILENT)
    done = Run(local, image)(timeout=1)
    assert done.error is not None
    assert done.error.type == "Sandbox.Timedout"


def test_only_tmp_can_be_written(run: Run) -> None:
    done = run("write")
    assert done.error is not None
    assert done.error.type == "OSError"
    assert "Read-only file system: '/var/task/new'" in done.error.message


def test_the_local_aws_is_reached_from_inside(run: Run) -> None:
    heard: list[Event] = []
    done = run("aws", listen=heard.append)
    if any("cannot be reached" in str(event) for event in heard):
        pytest.skip("this engine has a machine of its own")
    assert done.error is None, done.log
    assert json.loads(done.payload) == 200


def test_a_module_that_is_missing_says_so(make: Making, local: LocalAws) -> None:
    done = Run(local, make(app="import no_such_module\n"))()
    assert done.error is not None
    assert done.error.type == "Runtime.ImportModuleError"
    assert "No module named 'no_such_module'" in done.error.message


def test_the_emulator_of_another_base_image_is_used(make: Making, local: LocalAws) -> None:
    done = Run(local, make(*OTHER))("x")
    assert done.error is None, done.log
    assert json.loads(done.payload)["event"] == "x"


def test_an_image_without_emulator_is_refused(make: Making, local: LocalAws) -> None:
    image = make(*OTHER, "USER 0", "RUN rm /usr/local/bin/aws-lambda-rie")
    with pytest.raises(ArtifactNotRunnable, match="the image brings no Runtime Interface Emulator") as caught:
        Run(local, image)()
    assert "/usr/local/bin/aws-lambda-rie" in (caught.value.hint or "")


def test_an_image_that_does_not_start_is_quoted(make: Making, local: LocalAws) -> None:
    with pytest.raises(ArtifactNotRunnable, match="ended with exit code 7; sorry"):
        Run(local, make("USER 0", "RUN printf '#!/bin/sh\\necho sorry; exit 7' > /lambda-entrypoint.sh"))()
    with pytest.raises(ArtifactNotRunnable, match="no such file or directory"):
        Run(local, make("USER 0", "RUN rm /lambda-entrypoint.sh"))()


def test_a_foreign_architecture_is_emulated_and_allowed_more_time(make: Making, local: LocalAws) -> None:
    if not Path(f"/proc/sys/fs/binfmt_misc/qemu-{'aarch64' if FOREIGN == 'arm64' else 'x86_64'}").exists():
        pytest.skip("no emulation on this host")
    heard: list[Event] = []
    done = Run(local, make(architecture=FOREIGN))("x", timeout=3, listen=heard.append)
    assert done.error is None, done.log
    assert json.loads(done.payload)["arch"] == ("aarch64" if FOREIGN == "arm64" else "x86_64")
    assert any("emulated" in str(event) for event in heard)


# The engine.


def test_an_image_that_the_engine_lacks_is_loaded_once(engine: Engine, make: Making, local: LocalAws) -> None:
    image = make("RUN touch /tmp/of-its-own", app="def handler(event, context): return 'loaded'\n")
    remove(engine, image.config_digest)
    assert json.loads(Run(local, image)().payload) == "loaded"
    assert present_image(engine, image) == image.config_digest
    gone = replace(image, layers=())  # it could not be loaded again
    assert json.loads(Run(local, gone)().payload) == "loaded"
    remove(engine, image.config_digest)


def test_without_an_engine_the_error_says_so(run: Run, tmp_path: Path) -> None:
    absent = {"DOCKER_HOST": f"unix://{tmp_path}/absent.sock"}
    with pytest.raises(EngineUnavailable, match="no container engine answers"):
        run(environment=absent)


# The whole way.


@pytest.fixture(scope="module")
def published(make: Making) -> Image:
    return make(app=f"{APP}# from a registry\n")


@pytest.fixture
def deployed(
    published: Image,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    require_engine: Callable[[str, bool, str], None],
) -> Iterator[Path]:
    """A folder with a manifest whose image is published and deployed to a local AWS."""
    found = shutil.which("docker-registry") or shutil.which("registry")
    require_engine(
        "docker-registry", found is not None, "not installed; as root: apt install docker-registry"
    )
    monkeypatch.setenv("PLANTON_STATE_DIR", str(tmp_path / "state"))
    accounts = Accounts(local=True, region=None, profile=None)
    path = tmp_path / "lambda.yaml"
    path.write_text(MANIFEST)
    with Registries(accounts.registry) as registries:
        source = publish_image(
            published,
            function_name="orders",
            repository="planton-local/{function}",
            create=False,
            region=REGION,
            aws=accounts.of(read_manifests(path)[0]),
            registries=registries,
            listener=ignore,
        ).source
    path.write_text(MANIFEST.replace("URI", source.image_uri))
    manifests = read_manifests(path)
    accounts.prepare([(manifests[0], None)])
    accounts.require_code(manifests)
    apply_all(plan_all(manifests, accounts.of), ignore, base_url_of=accounts.registry)
    try:
        yield tmp_path
    finally:
        stop_server(tmp_path / "state")


def invoke(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    code = "import sys; sys.argv[0] = 'planton-deploy'; from planton_build.cli.deploy import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "invoke", "orders", "--local", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_the_command_fetches_the_image_from_the_local_registry(
    deployed: Path, engine: Engine, published: Image
) -> None:
    remove(engine, published.config_digest)
    process = invoke(deployed, "--payload", '"hello"', "--json")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    answer = json.loads(out)
    assert (answer["payload"]["event"], answer["error"]) == ("hello", None)
    assert "called with hello" in answer["log"]
    fetched = engine.api.inspect_image(published.config_digest)["RepoDigests"]
    assert [name.partition("/")[2] for name in fetched] == [f"planton-local/orders@{published.digest}"]


def test_an_invocation_through_the_api_runs_the_image(deployed: Path) -> None:
    local = status(deployed / "state")
    assert local
    api = local_client(local, "lambda", REGION, ACCOUNT)
    answer = api.invoke(FunctionName="orders", Payload=b'"hello"', LogType="Tail")
    payload = json.loads(answer["Payload"].read())
    assert (payload["event"], answer.get("FunctionError")) == ("hello", None)
    assert "called with hello" in base64.b64decode(answer["LogResult"]).decode()


def test_an_interrupted_command_leaves_no_container(deployed: Path, engine: Engine) -> None:
    for number, code in {signal.SIGINT: 130, signal.SIGTERM: 143}.items():
        process = invoke(deployed, "--payload", '"wait"')
        assert process.stderr is not None
        assert any("called with wait" in line for line in process.stderr)
        assert len(containers(engine)) == 1
        os.killpg(process.pid, number)
        _, err = process.communicate(timeout=60)
        assert process.returncode == code, err
        assert "Traceback" not in err
        assert containers(engine) == []


def test_a_killed_command_leaves_what_the_next_one_removes(deployed: Path, engine: Engine) -> None:
    process = invoke(deployed, "--payload", '"wait"')
    assert process.stderr is not None
    assert any("called with wait" in line for line in process.stderr)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert len(containers(engine)) == 1
    after = invoke(deployed)
    assert after.communicate(timeout=120)[0].startswith('{"event": {}')
    assert containers(engine) == []


def test_an_image_that_is_gone_says_so(deployed: Path) -> None:
    state = deployed / "state"
    shutil.rmtree(next(state.glob("registry-*")) / "data")
    process = invoke(deployed)
    _, err = process.communicate(timeout=60)
    assert process.returncode == ImageUnavailable.exit_code, err
    assert "planton-local/orders@sha256:" in err
