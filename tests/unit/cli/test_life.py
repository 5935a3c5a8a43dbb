"""The commands of a function's life, against an emulated AWS that the SDK's own settings name."""

from __future__ import annotations

import hashlib
import io
import json
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from planton_build.cli.adopt import adopt
from planton_build.cli.destroy import destroy
from planton_build.cli.drift import drift
from planton_build.cli.logs import logs
from planton_build.cli.prune import prune
from planton_build.cli.status import status
from planton_build.cli.versions import versions
from planton_build.emulator.serve import Emulator, serve
from planton_build.publish.aws import Aws, AwsSettings

REGION = "eu-west-1"
ROLE = "arn:aws:iam::123456789012:role/worker"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def running() -> Iterator[Emulator]:
    with serve() as emulator:
        yield emulator


@pytest.fixture(scope="module")
def clients(running: Emulator) -> Aws:
    return Aws(AwsSettings(REGION, None, running.url, "123456789012", "testing"))


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Give back the signals that commands take."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture
def cloud(running: Emulator, clients: Aws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Emulator:
    running.reset()
    for name, value in {
        "AWS_ENDPOINT_URL": running.url,
        "AWS_ACCESS_KEY_ID": "123456789012",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": str(tmp_path / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "no-credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_COLOR": "1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setattr("planton_build.publish.aws.CALLS_PER_SECOND", 1000)
    place = {"LocationConstraint": REGION}
    clients.s3().create_bucket(Bucket="artifacts", CreateBucketConfiguration=place)  # type: ignore[arg-type]
    clients.iam().create_role(RoleName="worker", AssumeRolePolicyDocument=TRUST)
    return running


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work"
    (folder / ".git").mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def made(cloud: Emulator, clients: Aws, folder: Path) -> Callable[..., None]:
    """Make a function with a manifest, some published versions, and the alias `live` on the last."""

    def make(name: str = "render", *, count: int = 2) -> None:
        client: Any = clients.lambda_()
        for number in range(1, count + 1):
            out = io.BytesIO()
            with zipfile.ZipFile(out, "w") as archive:
                archive.writestr(zipfile.ZipInfo("app.py"), f"version = {number}")
            key = f"{name}/{hashlib.sha256(out.getvalue()).hexdigest()}.zip"
            clients.s3().put_object(Bucket="artifacts", Key=key, Body=out.getvalue())
            code = {"S3Bucket": "artifacts", "S3Key": key}
            if number == 1:
                client.create_function(
                    FunctionName=name, Role=ROLE, Runtime="python3.13", Handler="app.handler", Code=code
                )
            else:
                client.update_function_code(FunctionName=name, **code)
            record = f"planton: git={number:040x} at=2026-11-25T16:40:12Z by=ci%40acme"
            client.publish_version(FunctionName=name, Description=record)
        client.create_alias(FunctionName=name, Name="live", FunctionVersion=str(count))
        place = folder / name
        place.mkdir()
        (place / "lambda.yaml").write_text(
            f"apiVersion: aws.planton.dev/v1\nkind: AwsLambda\nmetadata: {{name: {name}}}\nspec:\n"
            f"  region: {REGION}\n  functionName: {name}\n  roleArn: {{value: '{ROLE}'}}\n"
            "  runtime: python3.13\n  handler: app.handler\n  codeSourceType: CODE_SOURCE_TYPE_S3\n"
            f"  s3: {{bucket: artifacts, key: {key}}}\n"
        )
        (place / "planton.toml").write_text('[deploy]\nalias = "live"\n')

    return make


@pytest.fixture
def run() -> Run:
    def invoke(command: click.Command, *arguments: str, code: int = 0, **options: Any) -> Result:
        result = CliRunner().invoke(command, [*arguments], **options)
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return invoke


def test_status_of_a_folder(made: Callable[..., None], run: Run) -> None:
    made()
    out = run(status).stdout
    assert out.splitlines()[0].split() == [
        "function",
        "region",
        "manifest",
        "state",
        "serves",
        "code",
        "changed",
    ]
    assert "render    eu-west-1  in sync   Active  live: 2" in out
    [found] = json.loads(run(status, "--json").stdout)["functions"]
    assert (found["manifest"], found["aliases"], found["changes"]) == ("in sync", {"live": {"2": 1.0}}, 0)


def test_a_function_can_be_named_where_no_manifest_is(
    made: Callable[..., None], run: Run, folder: Path
) -> None:
    made()
    [named] = json.loads(run(status, "render", "--json").stdout)["functions"]
    assert named["manifest"] == "in sync"  # the folder `render` is here
    (folder / "render").rename(folder / "elsewhere")
    [named] = json.loads(run(status, "render", "--json").stdout)["functions"]
    assert named["manifest"] == "in sync"  # a manifest below the current folder has that name
    [other] = json.loads(run(status, "render", "--region", "us-east-1", "--json").stdout)["functions"]
    assert (other["region"], other["manifest"]) == ("us-east-1", "not deployed")
    (folder / "elsewhere" / "lambda.yaml").unlink()
    arn = f"arn:aws:lambda:{REGION}:123456789012:function:render"
    for name in ("render", arn):
        [named] = json.loads(run(status, name, "--json").stdout)["functions"]
        assert (named["manifest"], named["state"]) == ("unknown", "Active")


def test_a_path_that_is_not_there_is_no_name(cloud: Emulator, folder: Path, run: Run) -> None:
    assert "no_function_found" in run(status, "functions/render", code=20).stderr


def test_versions_say_what_they_were_built_from(made: Callable[..., None], run: Run) -> None:
    made()
    lines = run(versions).stdout.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [["2", "live"], ["1", lines[2].split()[1]]]
    assert "000000000000" in lines[1]
    assert "ci@acme" in lines[1]
    [found] = json.loads(run(versions, "render", "--json").stdout)["functions"]
    assert [one["record"]["commit"] for one in found["versions"]] == [f"{2:040x}", f"{1:040x}"]


def test_versions_of_several_functions_are_told_apart(made: Callable[..., None], run: Run) -> None:
    made("one", count=1)
    made("two", count=1)
    out = run(versions).stdout
    assert "one (eu-west-1)" in out
    assert "two (eu-west-1)" in out


def test_drift_has_its_exit_code(made: Callable[..., None], run: Run, clients: Aws) -> None:
    made()
    assert "0 differ, 1 as their manifests want" in run(drift).stdout
    clients.lambda_().update_function_configuration(FunctionName="render", Timeout=60)
    out = run(drift, "--who", code=10).stdout
    assert "timeout_seconds: 60, wanted 3  [changed in AWS]" in out
    assert "UpdateFunctionConfiguration by" in out
    [found] = json.loads(run(drift, "--json", code=10).stdout)["functions"]
    assert found["drift"]
    assert found["changes"][0] == {
        "field": "timeout_seconds",
        "now": "60",
        "wanted": "3",
        "secret": False,
        "cause": "aws",
    }


def test_drift_needs_a_manifest(made: Callable[..., None], run: Run, folder: Path) -> None:
    made()
    assert "adopt" in run(drift, "unknown", code=20).stderr


def test_logs_are_lines_and_lines_of_json(made: Callable[..., None], run: Run, clients: Aws) -> None:
    made()
    now = int(time.time() * 1000)
    client = clients.client("logs", REGION)
    client.create_log_group(logGroupName="/aws/lambda/render")
    client.create_log_stream(logGroupName="/aws/lambda/render", logStreamName="2026/11/25/[2]ab")
    client.put_log_events(
        logGroupName="/aws/lambda/render",
        logStreamName="2026/11/25/[2]ab",
        logEvents=[
            {"timestamp": now - 2000, "message": "one\n"},
            {"timestamp": now - 1000, "message": "\x1b[2Jtwo"},
        ],
    )
    out = run(logs, "render").stdout.splitlines()
    assert [line.split(" ", 2)[2] for line in out] == ["one", "\\x1b[2Jtwo"]
    first = json.loads(run(logs, "--json").stdout.splitlines()[0])
    assert (first["message"], first["version"], first["function_name"]) == ("one", "2", "render")
    assert run(logs, "--version", "1").stdout == ""
    assert run(logs, "--since", "1s", "--filter", "nothing").stdout == ""


@pytest.mark.parametrize("since", ["soon", "5", "99999d", "-1h"])
def test_a_time_that_is_none_is_refused(since: str, run: Run) -> None:
    assert "is no duration" in run(logs, "render", "--since", since, code=2).stderr


def test_prune_shows_before_it_deletes(made: Callable[..., None], run: Run, cloud: Emulator) -> None:
    made(count=3)
    arguments = ("--keep", "1", "--older-than", "0s")
    out = run(prune, *arguments, "--dry-run").stdout
    assert "render (eu-west-1): would delete 2 versions" in out
    assert sorted(cloud.region().functions["render"].versions) == ["1", "2", "3"]
    out = run(prune, *arguments).stdout
    assert "2 versions deleted (" in out
    assert "code storage in eu-west-1: " in out
    assert list(cloud.region().functions["render"].versions) == ["3"]
    [found] = json.loads(run(prune, *arguments, "--json").stdout)["functions"]
    assert (found["deleted"], [kept["why"] for kept in found["kept"]]) == ([], ["served by live"])


def test_prune_keeps_the_young_by_default(made: Callable[..., None], run: Run) -> None:
    made(count=3)
    assert "0 versions deleted" in run(prune, "--keep", "1").stdout


def test_destroy_is_not_done_unasked(made: Callable[..., None], run: Run, cloud: Emulator) -> None:
    made()
    result = run(destroy, "render", code=76)
    assert "confirmation_required" in result.stderr
    assert "2 published versions" in result.stdout
    assert list(cloud.region().functions) == ["render"]
    assert run(destroy, code=25).stderr.count("destroy has to be told what to delete") == 1


def test_destroy_ends_a_function_once(made: Callable[..., None], run: Run, cloud: Emulator) -> None:
    made()
    assert "1 destroyed, 0 were not there" in run(destroy, "render", "--yes").stdout
    assert cloud.region().functions == {}
    assert "0 destroyed, 1 were not there" in run(destroy, "render").stdout
    [found] = json.loads(run(destroy, "render", "--json").stdout)["functions"]
    assert (found["deleted"], found["calls"]) == (False, 0)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "left"), [("render\n", []), ("yes\n", ["render"]), ("", ["render"])])
def test_on_a_terminal_the_name_has_to_be_typed(
    made: Callable[..., None],
    cloud: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    left: list[str],
) -> None:
    made()
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    with pytest.raises(SystemExit) as caught:
        destroy.main(["render"], standalone_mode=False)
    assert caught.value.code == (76 if left else 0)
    assert "Type the name of the function to delete it (render): " in terminal.getvalue()
    assert list(cloud.region().functions) == left


def test_adopt_writes_what_deploys_unchanged(
    made: Callable[..., None], run: Run, folder: Path, clients: Aws
) -> None:
    made()
    clients.lambda_().update_function_configuration(
        FunctionName="render", Environment={"Variables": {"TOKEN": "hunter2"}}
    )
    clients.lambda_().publish_version(FunctionName="render")
    clients.lambda_().update_alias(FunctionName="render", Name="live", FunctionVersion="3")
    result = run(adopt, "render", "--output", "adopted")
    assert "wrote adopted/render/lambda.yaml" in result.stdout
    assert "warning: render: its manifest holds the values of environment variables" in result.stderr
    assert "run planton-build on the manifest" in result.stderr
    assert "hunter2" not in result.output
    assert 'alias = "live"' in (folder / "adopted" / "render" / "planton.toml").read_text()
    assert "1 adopted, 0 files written" in run(adopt, "--all", "--output", "adopted").stdout
    (folder / "adopted" / "render" / "lambda.yaml").write_text("mine")
    assert "file_in_the_way" in run(adopt, "render", "--output", "adopted", code=77).stderr


@pytest.mark.parametrize("arguments", [[], ["render", "--all"]])
def test_adopt_takes_names_or_all(arguments: list[str], run: Run) -> None:
    assert "--all" in run(adopt, *arguments, code=25).stderr


def test_a_folder_may_hold_what_was_never_deployed(
    made: Callable[..., None], run: Run, folder: Path, cloud: Emulator
) -> None:
    made("one", count=1)
    made("two", count=1)
    cloud.region().functions.pop("two")
    assert "two: it is not deployed" in run(versions).stdout
    assert "0 versions deleted" in run(prune).stdout
    run(logs)
    for command in (versions, prune, logs):
        assert "function_unknown" in run(command, "two", code=66).stderr
