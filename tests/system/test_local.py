"""The local AWS as a real process, and real functions invoked on it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from planton_build.errors import (
    ArtifactNotRunnable,
    FunctionUnknown,
    LocalServerFailed,
    LocalUnavailable,
    NotDeployable,
)
from planton_build.events import Event
from planton_build.local import runtime_wheels as wheels_module
from planton_build.local import server as server_module
from planton_build.local.clients import local_client
from planton_build.local.function import fetch_function
from planton_build.local.interpreters import find_interpreter
from planton_build.local.invoke import Invocation, invoke
from planton_build.local.prepare import account_of, prepare, region_of, require_code
from planton_build.local.server import LocalAws, ensure_server, status, stop_server
from planton_build.manifest.code_source import S3Source
from planton_build.manifest.document import Manifest
from planton_build.manifest.model import AwsLambda

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and process groups")
OWN = f"python{sys.version_info[0]}.{sys.version_info[1]}"
ACCOUNT = "111122223333"
REGION = "eu-west-1"
BUCKET = "artifacts-of-the-test"


def until(condition: Callable[[], object], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def alive(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def servers_of(state: Path) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes().split(b"\0")
            if b"planton_build.local.child" in command and str(state).encode() in command:
                found.append(int(folder.name))
    return found


START = """
import pathlib, sys
from planton_build.local.server import ensure_server
running = ensure_server(pathlib.Path(sys.argv[1]))
print(running.endpoint, running.pid)
"""


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "state"
    yield folder
    stop_server(folder)


# The server.


def test_it_starts_is_found_again_and_leaves_nothing_behind(state: Path) -> None:
    assert status(state) is None
    with pytest.raises(LocalServerFailed, match="no local AWS is running"):
        ensure_server(state, start=False)
    first = ensure_server(state)
    assert ensure_server(state, start=False) == status(state) == first
    assert (state / "server.json").stat().st_mode & 0o777 == 0o600
    assert state.stat().st_mode & 0o777 == 0o700
    assert stop_server(state)
    assert until(lambda: not alive(first.pid))
    assert not state.exists()
    assert not stop_server(state)


def test_it_survives_the_command_that_started_it(state: Path) -> None:
    done = subprocess.run([sys.executable, "-c", START, state], capture_output=True, text=True, check=True)
    running = status(state)
    assert running is not None
    assert running.pid == int(done.stdout.split()[1])
    assert os.getsid(running.pid) == running.pid


def test_two_commands_at_once_give_one_server(state: Path) -> None:
    commands = [
        subprocess.Popen([sys.executable, "-c", START, state], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert len({command.communicate(timeout=60)[0] for command in commands}) == 1
    assert [command.returncode for command in commands] == [0, 0, 0]


def test_a_killed_server_is_replaced(state: Path) -> None:
    first = ensure_server(state)
    os.kill(first.pid, signal.SIGKILL)
    assert until(lambda: not alive(first.pid))
    assert status(state) is None
    assert ensure_server(state).pid != first.pid


def test_a_start_killed_half_way_does_no_harm(state: Path) -> None:
    command = subprocess.Popen([sys.executable, "-c", START, state])
    assert until(lambda: (state / "server.log").exists())
    command.kill()
    command.wait()
    running = ensure_server(state)
    assert status(state) == running
    if Path("/proc").is_dir():  # what the killed command had started ends, for the state file is another's
        assert until(lambda: servers_of(state) == [running.pid])
    assert status(state) == running


def test_another_program_on_the_port_is_not_taken_for_ours_and_learns_nothing(state: Path) -> None:
    first = ensure_server(state)
    content = json.loads((state / "server.json").read_text())
    os.kill(first.pid, signal.SIGKILL)
    assert until(lambda: not alive(first.pid))
    seen: list[str] = []
    innocent = subprocess.Popen(["sleep", "600"])

    class Impostor(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path + str(self.headers))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"I am the local AWS")

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Impostor) as impostor:
        threading.Thread(target=impostor.serve_forever, daemon=True).start()
        content |= {"endpoint": f"http://127.0.0.1:{impostor.server_port}", "pid": innocent.pid}
        (state / "server.json").write_text(json.dumps(content))
        assert status(state) is None
        assert not stop_server(state)
        assert innocent.poll() is None
        assert ensure_server(state).endpoint != content["endpoint"]
        impostor.shutdown()
    innocent.kill()
    innocent.wait()
    assert seen
    assert all(content["token"] not in request for request in seen)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"endpoint": 1, "pid": 2, "token": "x"}',
        '{"endpoint": "http://evil.example:80", "pid": 2, "token": "x"}',
        '{"token": "of a start that was killed"}',
    ],
)
def test_a_broken_state_file_is_no_server(state: Path, content: str) -> None:
    state.mkdir()
    (state / "server.json").write_text(content)
    assert status(state) is None
    assert not stop_server(state)


def test_it_ends_when_its_state_folder_is_removed(state: Path) -> None:
    running = ensure_server(state)
    for file in state.iterdir():
        file.unlink()
    assert until(lambda: not alive(running.pid))


def test_it_ends_when_another_takes_its_place(state: Path) -> None:
    first = ensure_server(state)
    (state / "server.json").rename(state / "kept")
    second = ensure_server(state)
    assert until(lambda: not alive(first.pid))
    assert status(state) == second
    (state / "kept").unlink()


def test_the_hosts_credentials_do_not_reach_it(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/proc").is_dir():
        pytest.skip("needs /proc")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "from the host")
    monkeypatch.setenv("MY_TOKEN", "from the host")
    running = ensure_server(state)
    assert b"from the host" not in Path(f"/proc/{running.pid}/environ").read_bytes()


def test_modules_of_the_current_folder_are_not_imported(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "moto.py").write_text("raise SystemExit('the wrong moto')")
    monkeypatch.chdir(tmp_path)
    assert ensure_server(state)


def test_a_server_that_does_not_come_up_shows_its_log(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "werkzeug").mkdir()
    (tmp_path / "werkzeug" / "__init__.py").write_text("raise RuntimeError('broken on purpose')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(LocalServerFailed, match="broken on purpose"):
        ensure_server(state)


def test_without_the_extra_the_error_names_it(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_NEEDED", ("no_such_moto",))
    with pytest.raises(LocalUnavailable, match="no_such_moto") as caught:
        ensure_server(state)
    assert "planton-build[local]" in (caught.value.hint or "")


def test_a_state_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalServerFailed, match=r"the state folder .*file/state cannot be used"):
        ensure_server(tmp_path / "file" / "state")


# Preparing.


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One state folder with one server for all tests that do not end it."""
    folder = tmp_path_factory.mktemp("shared") / "state"
    yield folder
    stop_server(folder)


@pytest.fixture
def local(shared: Path) -> LocalAws:
    return ensure_server(shared)


def manifest(name: str = "f", **spec: Any) -> Manifest:
    document = {
        "apiVersion": "aws.planton.dev/v1",
        "kind": "AwsLambda",
        "metadata": {"name": name},
        "spec": {
            "region": REGION,
            "functionName": name,
            "roleArn": {"value": f"arn:aws:iam::{ACCOUNT}:role/service/{name}"},
            **spec,
        },
    }
    return Manifest(Path("manifest.yaml"), 0, AwsLambda.model_validate(document), {}, "")


def test_everything_a_manifest_names_by_id_exists_after_preparing(local: LocalAws) -> None:
    layer = "arn:aws:lambda:eu-west-1:017000801446:layer:AWSLambdaPowertoolsPythonV3-python311-x86_64:42"
    wanted = manifest("vpc", layerArns=[{"value": layer}])
    for _ in range(2):
        prepare([wanted], local, bucket=BUCKET)
    s3 = local_client(local, "s3", REGION, ACCOUNT)
    assert s3.get_bucket_location(Bucket=BUCKET)["LocationConstraint"] == REGION
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("app.py", "")
    s3.put_object(Bucket=BUCKET, Key="vpc.zip", Body=code.getvalue())
    created = local_client(local, "lambda", REGION, ACCOUNT).create_function(
        FunctionName="vpc",
        Role=f"arn:aws:iam::{ACCOUNT}:role/service/vpc",
        Runtime=OWN,
        Handler="app.handler",
        Code={"S3Bucket": BUCKET, "S3Key": "vpc.zip"},
        VpcConfig={"SubnetIds": ["subnet-0abc1234"], "SecurityGroupIds": ["sg-0abc1234"]},
        KMSKeyArn=f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        Layers=[layer],
    )
    assert created["FunctionArn"] == f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:vpc"
    assert [attached["Arn"] for attached in created["Layers"]] == [layer]
    assert created["VpcConfig"]["SubnetIds"] == ["subnet-0abc1234"]


def test_a_bucket_in_the_first_region_and_of_another_account_is_kept(local: LocalAws) -> None:
    other = {"value": "arn:aws:iam::999988887777:role/r"}
    prepare([manifest("a", region="us-east-1"), manifest("b", roleArn=other)], local, bucket="shared-bucket")
    location = local_client(local, "s3", REGION, "999988887777").get_bucket_location(Bucket="shared-bucket")
    assert location["LocationConstraint"] is None


def test_account_and_region_come_from_the_manifest() -> None:
    assert (account_of(manifest()), region_of(manifest())) == (ACCOUNT, REGION)
    unsaid = manifest(region="", roleArn={"valueFrom": {"name": "role"}})
    assert (account_of(unsaid), region_of(unsaid)) == ("123456789012", "us-east-1")


def test_two_roles_of_one_name_are_refused(local: LocalAws) -> None:
    other = {"value": f"arn:aws:iam::{ACCOUNT}:role/elsewhere/twice"}
    with pytest.raises(NotDeployable, match=r"role/elsewhere/twice cannot exist beside .*role/service/twice"):
        prepare([manifest("twice"), manifest("twice", roleArn=other)], local)


def test_code_that_the_local_s3_does_not_hold_is_refused_by_name(local: LocalAws) -> None:
    code = {"codeSourceType": "CODE_SOURCE_TYPE_S3", "s3": {"bucket": BUCKET, "key": "gone/f.zip"}}
    wanted = manifest("gone", **code)
    prepare([wanted], local, bucket=BUCKET)
    with pytest.raises(NotDeployable, match=rf"no s3://{BUCKET}/gone/f.zip"):
        require_code([wanted], local)
    local_client(local, "s3", REGION, ACCOUNT).put_object(Bucket=BUCKET, Key="gone/f.zip", Body=b"code")
    require_code([wanted], local)


# Invoking.

Invoker = Callable[..., Invocation]


@pytest.fixture
def deploy(local: LocalAws, tmp_path: Path) -> Callable[..., S3Source]:
    """Return a function that packs files, uploads them and creates the function `f`."""

    def create(files: Mapping[str, str | bytes], **configuration: Any) -> S3Source:
        artifact = tmp_path / "built.zip"
        with zipfile.ZipFile(artifact, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, content in files.items():
                archive.writestr(path, content)
        key = f"{hashlib.sha256(artifact.read_bytes()).hexdigest()}.zip"
        prepare([manifest()], local, bucket=BUCKET)
        local_client(local, "s3", REGION, ACCOUNT).put_object(
            Bucket=BUCKET, Key=key, Body=artifact.read_bytes()
        )
        functions = local_client(local, "lambda", REGION, ACCOUNT)
        with contextlib.suppress(functions.exceptions.ResourceNotFoundException):
            functions.delete_function(FunctionName="f")
        functions.create_function(
            FunctionName="f",
            Role=f"arn:aws:iam::{ACCOUNT}:role/service/f",
            Code={"S3Bucket": BUCKET, "S3Key": key},
            **{"Runtime": OWN, "Handler": "app.handler", "Timeout": 20, **configuration},
        )
        return S3Source(BUCKET, key)

    return create


@pytest.fixture
def run(local: LocalAws, shared: Path, deploy: Callable[..., S3Source], tmp_path: Path) -> Invoker:
    """Return a function that deploys files (or the text of app.py), and invokes them."""

    def call(
        files: str | Mapping[str, str | bytes],
        event: object = None,
        configuration: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Invocation:
        code = deploy({"app.py": files} if isinstance(files, str) else files, **(configuration or {}))
        function = fetch_function(local, "f", code=code, region=REGION, folder=tmp_path, account=ACCOUNT)
        return invoke(function, json.dumps(event).encode(), local=local, state=shared, **options)

    return call


network = pytest.mark.network


@network
def test_a_function_answers_and_its_log_is_heard(run: Invoker) -> None:
    heard: list[str] = []
    source = """
import logging, sys
print("importing")
def handler(event, context):
    print("é", event["name"])
    logging.getLogger().warning("careful")
    print("to stderr", file=sys.stderr)
    assert 0 < context.get_remaining_time_in_millis() <= 20_000
    return {"hello": event["name"], "arn": context.invoked_function_arn, "memory": context.memory_limit_in_mb}
"""
    done = run(source, {"name": "Ada"}, {"MemorySize": 512}, on_log=heard.append)
    assert done.error is None
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
    assert json.loads(done.payload) == {"hello": "Ada", "arn": arn, "memory": "512"}
    for line in ("importing\n", "é Ada\n", "[WARNING]", "to stderr\n"):
        assert line in done.log
    assert "".join(heard) == done.log
    assert done.max_memory_bytes is not None
    assert 1 << 20 < done.max_memory_bytes < 1 << 30
    assert done.init_ms > 0 < done.duration_ms


@network
def test_an_exception_comes_with_type_message_and_stack(run: Invoker) -> None:
    done = run("def handler(event, context):\n    raise KeyError('lost')\n")
    assert done.error is not None
    assert (done.error.type, done.error.message) == ("KeyError", "'lost'")
    assert "raise KeyError('lost')" in done.error.stack[-1]
    assert "app.py" in done.error.stack[0]  # nothing of the runtime's own frames
    assert json.loads(done.payload)["errorType"] == "KeyError"
    assert "[ERROR] KeyError: 'lost'\nTraceback" in done.log


@network
def test_a_timeout_ends_the_function_and_what_it_started(run: Invoker, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    source = f"""
import subprocess, time
def handler(event, context):
    child = subprocess.Popen(["sleep", "600"])
    open({str(pid_file)!r}, "w").write(str(child.pid))
    print("sleeping")
    time.sleep(600)
"""
    done = run(source, timeout=0.5)
    assert done.error is not None
    assert done.error.type == "Sandbox.Timedout"
    assert done.error.message == f"RequestId: {done.request_id} Error: Task timed out after 0.50 seconds"
    assert "sleeping" in done.log
    assert until(lambda: not alive(int(pid_file.read_text())))


@network
@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("os._exit(3)", "Runtime exited with error: exit status 3"),
        ("exit(4)", "Runtime exited with error: exit status 4"),
        ("os._exit(0)", "Runtime exited without providing a reason"),
        ("os.kill(os.getpid(), 11)", "Runtime exited with error: signal: segmentation fault"),
    ],
)
def test_an_exit_is_an_error(run: Invoker, statement: str, text: str) -> None:
    done = run(f"import os\ndef handler(event, context):\n    {statement}\n")
    assert done.error is not None
    assert done.error.type == "Runtime.ExitError"
    assert done.error.message == f"RequestId: {done.request_id} Error: {text}"


@network
def test_a_missing_module_says_so_though_the_host_has_it(run: Invoker) -> None:
    done = run("import pytest\ndef handler(event, context): ...\n")
    assert done.error is not None
    assert done.error.type == "Runtime.ImportModuleError"
    assert done.error.message == "Unable to import module 'app': No module named 'pytest'"
    assert "does not contain 'pytest'" in (done.error.hint or "")


@network
def test_a_wrong_handler_says_so(run: Invoker) -> None:
    done = run("x = 1\n")
    assert done.error is not None
    assert done.error.type == "Runtime.HandlerNotFound"
    assert "MODULE.FUNCTION" in (done.error.hint or "")


@network
def test_nothing_of_the_host_is_visible_and_nothing_stays(
    run: Invoker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "GITHUB_TOKEN"):
        monkeypatch.setenv(name, "from the host")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    source = """
import os, pathlib, sys, tempfile
def handler(event, context):
    pathlib.Path(tempfile.gettempdir(), "left").write_text("x")
    return {
        "env": dict(os.environ), "cwd": os.getcwd(), "path": sys.path, "home": os.path.expanduser("~"),
        "argv": sys.argv, "tmp": tempfile.gettempdir(),
    }
"""
    done = run(source, None, {"Environment": {"Variables": {"TABLE": "t", "PATH": "/mine"}}})
    seen = json.loads(done.payload)
    assert b"from the host" not in done.payload
    assert (seen["env"]["TABLE"], seen["env"]["PATH"]) == ("t", "/mine")
    assert seen["cwd"] == seen["path"][0] == seen["env"]["LAMBDA_TASK_ROOT"]
    assert seen["cwd"].endswith("/var/task")
    assert str(Path.home()) != seen["home"]
    assert not any(Path(folder).name == "site-packages" for folder in seen["path"])
    root = Path(seen["cwd"]).parents[1]
    assert {Path(seen["home"]).parent, Path(seen["tmp"]).parent} == {root}
    assert not root.exists()
    assert not list(tmp_path.glob("planton-invoke-*"))


@network
def test_the_sdk_is_preinstalled_and_reaches_the_local_aws(run: Invoker, local: LocalAws) -> None:
    source = """
import boto3
def handler(event, context):
    s3 = boto3.client("s3")
    s3.put_object(Bucket=event, Key="from-inside", Body=b"hello")
    return boto3.client("sts").get_caller_identity()["Account"]
"""
    done = run(source, BUCKET)
    assert done.error is None, done.log
    assert json.loads(done.payload) == ACCOUNT
    found = local_client(local, "s3", REGION, ACCOUNT).get_object(Bucket=BUCKET, Key="from-inside")
    assert found["Body"].read() == b"hello"


@network
def test_what_the_artifact_brings_goes_before_what_is_preinstalled(run: Invoker) -> None:
    files = {
        "boto3.py": "whose = 'mine'",
        "simplejson.py": "whose = 'mine'",
        "awslambdaric.py": "raise RuntimeError",
        "app.py": "import boto3, simplejson\ndef handler(e, c): return [boto3.whose, simplejson.whose]",
    }
    assert json.loads(run(files).payload) == ["mine", "mine"]


@network
@pytest.mark.parametrize(
    "version", [(3, 10), (3, 12), (3, 13), (3, 14)], ids=lambda version: f"3.{version[1]}"
)
def test_a_function_runs_on_the_python_of_its_runtime(run: Invoker, version: tuple[int, int]) -> None:
    if find_interpreter(version) is None:
        pytest.skip(f"no Python {version[0]}.{version[1]} on this host")
    source = """
import sys, boto3
def handler(event, context):
    return [*sys.version_info[:2], boto3.client("s3").meta.region_name]
"""
    done = run(source, None, {"Runtime": f"python{version[0]}.{version[1]}"})
    assert done.error is None, done.log
    assert json.loads(done.payload) == [*version, REGION]


@network
def test_a_large_event_and_a_large_answer_go_through(run: Invoker) -> None:
    done = run("def handler(event, context): return event", "x" * 6_000_000)
    assert len(json.loads(done.payload)) == 6_000_000


@network
def test_a_too_large_answer_is_lambdas_error(run: Invoker) -> None:
    done = run("def handler(event, context): return 'x' * 7_000_000")
    assert done.error is not None
    assert done.error.type == "Function.ResponseSizeTooLarge"


@network
def test_an_invocation_through_the_api_runs_the_version_that_it_names(run: Invoker, local: LocalAws) -> None:
    api = local_client(local, "lambda", REGION, ACCOUNT)
    answers = (
        "def handler(event, context):\n    print('heard', event)\n    return [{}, context.function_version]"
    )
    run(answers.format("1"), 0)
    assert api.publish_version(FunctionName="f")["Version"] == "1"
    newer = io.BytesIO()
    with zipfile.ZipFile(newer, "w") as archive:
        archive.writestr("app.py", answers.format("2"))
    api.update_function_code(FunctionName="f", ZipFile=newer.getvalue())
    first = api.invoke(FunctionName="f", Qualifier="1", Payload=b'"Ada"', LogType="Tail")
    assert json.loads(first["Payload"].read()) == [1, "1"]
    assert (first["ExecutedVersion"], first.get("FunctionError")) == ("1", None)
    log = base64.b64decode(first["LogResult"]).decode()
    assert "heard Ada" in log
    assert "REPORT RequestId: " in log
    assert json.loads(api.invoke(FunctionName="f")["Payload"].read()) == [2, "$LATEST"]
    logs = local_client(local, "logs", REGION, ACCOUNT)
    events = logs.filter_log_events(logGroupName="/aws/lambda/f", filterPattern="heard")["events"]
    assert any("heard Ada" in event["message"] for event in events)


@network
def test_an_invocation_through_the_api_may_fail_or_invoke_others(run: Invoker, local: LocalAws) -> None:
    api = local_client(local, "lambda", REGION, ACCOUNT)
    source = """
import boto3
def handler(event, context):
    if event == "inner":
        raise LookupError("inside")
    answer = boto3.client("lambda").invoke(FunctionName="f", Payload=b'"inner"')
    return answer["FunctionError"]
"""
    run(source, "inner")
    assert json.loads(api.invoke(FunctionName="f", Payload=b'"outer"')["Payload"].read()) == "Unhandled"
    failed = api.invoke(FunctionName="f", Payload=b'"inner"')
    assert failed["FunctionError"] == "Unhandled"
    assert json.loads(failed["Payload"].read())["errorType"] == "LookupError"


@network
def test_layers_are_warned_about(run: Invoker, local: LocalAws) -> None:
    layer = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:common:3"
    prepare([manifest(layerArns=[{"value": layer}])], local)
    heard: list[Event] = []
    run("def handler(e, c): ...", None, {"Layers": [layer]}, listen=heard.append)
    assert any(layer in str(event) for event in heard)


def test_native_code_of_another_machine_is_refused(run: Invoker) -> None:
    elf = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHI", 3, 243, 1) + bytes(44)
    with pytest.raises(ArtifactNotRunnable, match=r"fast\.abi3\.so is riscv64 Linux code, and this host is "):
        run({"app.py": "", "fast.abi3.so": elf})


def test_code_that_was_replaced_after_the_deploy_is_not_run(
    deploy: Callable[..., S3Source], local: LocalAws, tmp_path: Path
) -> None:
    code = deploy({"app.py": "x = 1"})
    local_client(local, "s3", REGION, ACCOUNT).put_object(Bucket=BUCKET, Key=code.key, Body=b"other")
    with pytest.raises(ArtifactNotRunnable, match="is not the code that f is deployed with"):
        fetch_function(local, "f", code=code, region=REGION, folder=tmp_path, account=ACCOUNT)


def test_what_is_fetched_is_what_was_deployed(
    deploy: Callable[..., S3Source], local: LocalAws, tmp_path: Path
) -> None:
    code = deploy({"app.py": "x = 1"})
    function = fetch_function(local, "f", code=code, region=REGION, folder=tmp_path, account=ACCOUNT)
    deployed = local_client(local, "lambda", REGION, ACCOUNT).get_function_configuration(FunctionName="f")
    digest = hashlib.sha256(function.artifact.read_bytes()).digest()
    assert base64.b64encode(digest).decode() == deployed["CodeSha256"]
    assert (function.account, function.timeout, function.runtime) == (ACCOUNT, 20, OWN)


def test_absent_functions_and_absent_code_are_told_apart(
    deploy: Callable[..., S3Source], local: LocalAws, tmp_path: Path
) -> None:
    options = {"region": REGION, "folder": tmp_path, "account": ACCOUNT}
    code = deploy({"app.py": ""})
    with pytest.raises(FunctionUnknown, match="no function g is deployed to the local AWS in eu-west-1"):
        fetch_function(local, "g", code=code, **options)
    with pytest.raises(ArtifactNotRunnable, match="cannot be read from the local AWS"):
        fetch_function(local, "f", code=S3Source(BUCKET, "gone.zip"), **options)


def test_neither_profile_nor_proxy_of_the_user_gets_between(
    local: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nonexistent")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    local_client.cache_clear()
    assert local_client(local, "sts", REGION, ACCOUNT).get_caller_identity()["Account"] == ACCOUNT
    local_client.cache_clear()


def test_a_server_that_went_away_is_told(tmp_path: Path) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        gone = LocalAws(f"http://127.0.0.1:{reserved.getsockname()[1]}", REGION, 1)
        with pytest.raises(LocalServerFailed, match="stopped answering"):
            fetch_function(gone, "f", code=S3Source("b", "k"), region=REGION, folder=tmp_path)


# The runtime client's wheels.


@network
def test_a_damaged_wheel_is_fetched_again(tmp_path: Path) -> None:
    first = wheels_module.runtime_wheels(tmp_path)
    first[0].write_bytes(b"damaged")
    again = wheels_module.runtime_wheels(tmp_path)
    assert again == first
    assert zipfile.is_zipfile(again[0])
    assert sorted(again[0].parent.iterdir()) == sorted(again)


def test_without_an_index_the_error_says_who_fetches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(LocalUnavailable, match=r"awslambdaric==4\.2\.2.* could not be fetched: ") as caught:
        wheels_module.runtime_wheels(tmp_path)
    assert "pip config list" in (caught.value.hint or "")
    assert list((tmp_path / "runtime").iterdir()) == []
