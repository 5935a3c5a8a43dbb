"""Many functions planned and applied by planton-deploy, beside a plain boto3 script that does it in turn.

    python benchmarks/deploys.py [--functions 50] [--latency 0.1] [--settle 1.0] [--rate 12]

Both speak to the emulated AWS in a process of its own. `--latency` is what each call takes (seconds), as the
control plane does, and `--settle` how long a change of a function is in progress. The script is what people
write: look whether the function is there, create or update it, wait with the SDK's waiters, publish, move the
alias; it has no plan, undoes nothing and always updates. Measured are whole processes, the calls that arrive,
and the most that arrive within one second.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from measure import run

REGION, BUCKET, ACCOUNT = "eu-west-1", "artifacts", "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/worker"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
SERVER = """
import sys, time
from planton_build.emulator.serve import serve
with serve() as emulator:
    print(emulator.url, flush=True)
    sys.stdin.read()
"""
DEPLOY = "from planton_build.cli.entry import deploy; deploy()"
SCRIPT = """
import sys, yaml, boto3, pathlib
client = boto3.client("lambda", region_name="eu-west-1")
for path in sorted(pathlib.Path(sys.argv[1]).glob("*/lambda.yaml")):
    spec = yaml.safe_load(path.read_text())["spec"]
    name, code = spec["functionName"], spec["s3"]
    place = {"S3Bucket": code["bucket"], "S3Key": code["key"]}
    config = {"Runtime": spec["runtime"], "Handler": spec["handler"], "Role": spec["roleArn"]["value"],
              "MemorySize": spec["memoryMb"]}
    try:
        client.get_function(FunctionName=name)
    except client.exceptions.ResourceNotFoundException:
        client.create_function(FunctionName=name, Code=place, **config)
        client.get_waiter("function_active_v2").wait(FunctionName=name)
    else:
        client.update_function_configuration(FunctionName=name, **config)
        client.get_waiter("function_updated_v2").wait(FunctionName=name)
        client.update_function_code(FunctionName=name, **place)
        client.get_waiter("function_updated_v2").wait(FunctionName=name)
    version = client.publish_version(FunctionName=name)["Version"]
    try:
        client.update_alias(FunctionName=name, Name="live", FunctionVersion=version)
    except client.exceptions.ResourceNotFoundException:
        client.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
"""


def main() -> None:
    """Measure and print a table."""
    arguments = _arguments()
    print(
        f"{arguments.functions} functions; a call takes {arguments.latency} s, a change "
        f"{arguments.settle} s; at most {arguments.rate} calls a second\n"
    )
    print("| | planton-deploy | calls | most in 1 s | boto3 in turn | calls |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="planton-bench-")))
        sides = [
            _Side(place / "planton", stack.enter_context(_server()), arguments),
            _Side(place / "boto3", stack.enter_context(_server()), arguments),
        ]
        for step, text in (("create", "one"), ("nothing to do", "one"), ("new code in all", "two")):
            for side in sides:
                side.write(text)
            ours = sides[0].measure([sys.executable, "-c", DEPLOY, "--quiet", "--rate", str(arguments.rate)])
            theirs = sides[1].measure([sys.executable, "-c", SCRIPT, "."])
            print(
                f"| {step} | {ours.seconds:.1f} s | {ours.calls} | {ours.most} | {theirs.seconds:.1f} s | "
                f"{theirs.calls} |",
                flush=True,
            )


class _Measured:
    def __init__(self, seconds: float, times: list[float]) -> None:
        self.seconds = seconds
        self.calls = len(times)
        self.most = max(sum(1 for one in times if at <= one < at + 1) for at in times) if times else 0


class _Side:
    """A folder of functions and an AWS of its own."""

    def __init__(self, folder: Path, url: str, arguments: argparse.Namespace) -> None:
        self.folder, self._url, self._count = folder, url, arguments.functions
        self._environment = {
            **os.environ,
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": REGION,
        }
        import boto3

        keys = {"endpoint_url": url, "region_name": REGION, "aws_access_key_id": ACCOUNT,
                "aws_secret_access_key": "testing"}  # fmt: skip
        self._s3: Any = boto3.client("s3", **keys)
        self._s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        boto3.client("iam", **keys).create_role(RoleName="worker", AssumeRolePolicyDocument=json.dumps(TRUST))
        self._control("behaviour", {"seconds": arguments.settle})
        fault = {"matches": "lambda.*", "kind": "delay", "seconds": arguments.latency, "times": 10**9}
        self._control("faults", fault)

    def write(self, text: str) -> None:
        """Write the manifests of all functions, with code of this text."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(zipfile.ZipInfo("app.py"), text)
        key = f"code/{hashlib.sha256(buffer.getvalue()).hexdigest()}.zip"
        self._s3.put_object(Bucket=BUCKET, Key=key, Body=buffer.getvalue())
        for number in range(self._count):
            folder = self.folder / f"f{number:02}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "planton.toml").write_text('[deploy]\nalias = "live"\n')
            (folder / "lambda.yaml").write_text(
                f"""\
apiVersion: aws.planton.dev/v1
kind: AwsLambda
metadata: {{name: f{number:02}}}
spec:
  region: {REGION}
  functionName: f{number:02}
  roleArn: {{value: "{ROLE}"}}
  codeSourceType: CODE_SOURCE_TYPE_S3
  runtime: python3.13
  handler: app.handler
  memoryMb: 256
  s3: {{bucket: {BUCKET}, key: {key}}}
"""
            )

    def measure(self, command: list[str]) -> _Measured:
        """Run a command, and count what arrives."""
        self._control("calls", None, method="DELETE")
        ran = run(command, self.folder, self._environment)
        calls = [one for one in self._control("calls") if one["service"] == "lambda"]
        measured = _Measured(ran.seconds, [one["at"] for one in calls])
        # GetFunction has an allowance of its own.
        measured.most = _Measured(0, [one["at"] for one in calls if one["operation"] != "GetFunction"]).most
        return measured

    def _control(self, what: str, body: Any = None, *, method: str = "") -> Any:
        payload = json.dumps(body).encode() if body is not None else None
        verb = method or ("POST" if body is not None else "GET")
        request = urllib.request.Request(f"{self._url}/_planton/{what}", payload, method=verb)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)


@contextlib.contextmanager
def _server() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin and process.stdout
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--functions", type=int, default=50)
    parser.add_argument("--latency", type=float, default=0.1)
    parser.add_argument("--settle", type=float, default=1.0)
    parser.add_argument("--rate", type=int, default=12)
    return parser.parse_args()


if __name__ == "__main__":
    main()
