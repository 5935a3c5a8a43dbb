"""The stand-ins keep the contract of AWS's build images, on both architectures."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

MACHINES = {"x86_64": ("x86_64", "amd64", 62), "arm64": ("aarch64", "arm64", 183)}
"""Lambda's name: what `uname -m`, OCI and an ELF header (e_machine) call it."""
LABEL = "dev.planton.test-standins"
INTERPRETER = """
import ctypes, json, os, platform, shutil, ssl, sys, sysconfig
with open(os.path.realpath("/var/lang/bin/python3"), "rb") as elf:
    header = elf.read(20)
json.dump({
    "elf": int.from_bytes(header[18:20], "little"), "machine": platform.machine(),
    "version": sys.version_info[:2], "found": shutil.which("python3"), "cwd": os.getcwd(),
    "headers": os.path.exists(sysconfig.get_paths()["include"] + "/Python.h"),
    "root": os.environ["LAMBDA_TASK_ROOT"], "runtime": os.environ["LAMBDA_RUNTIME_DIR"],
}, sys.stdout)
"""
EXTENSION = """
#include <Python.h>
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "hello", "compiled", -1, NULL};
PyMODINIT_FUNC PyInit_hello(void) { return PyModule_Create(&definition); }
"""
COMPILING = """
cd /tmp
python3 -m venv --without-pip v
include=$(v/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
printf '%s' "$1" >hello.c
cc -shared -fPIC "-I$include" hello.c -o hello.so
echo 'int main() { return 0; }' >main.cc
c++ main.cc -o main
./main
make --version >/dev/null
v/bin/python -c 'import hello; print(hello.__doc__)'
"""


def docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module", params=sorted(MACHINES))
def architecture(request: pytest.FixtureRequest, require_engine: Callable[[str, bool, str], None]) -> str:
    """Return an architecture whose stand-in is on the engine."""
    answers = shutil.which("docker") is not None and docker("info").returncode == 0
    require_engine("docker", answers, "no Docker Engine answers; as root: .ci/engines")
    architecture: str = request.param
    there = docker("image", "inspect", image(architecture)).returncode == 0
    require_engine("stand-in", there, f"{image(architecture)} is not loaded; as root: .ci/engines")
    return architecture


def image(architecture: str) -> str:
    return f"planton-standin/build-python3.11:latest-{architecture}"


def inside(architecture: str, script: str, *arguments: str) -> str:
    """Run a shell script in a stand-in, without network, and return what it prints."""
    done = docker(
        *("run", "--rm", "--network=none", "--label", LABEL, "--entrypoint", "/bin/sh"),
        *("--platform", f"linux/{MACHINES[architecture][1]}", image(architecture)),
        *("-euc", script, "sh", *arguments),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_stand_in_says_what_it_is(architecture: str) -> None:
    (described,) = json.loads(docker("image", "inspect", image(architecture)).stdout)
    assert described["Architecture"] == MACHINES[architecture][1]
    assert described["Config"]["Labels"]["dev.planton.standin"] == "debian-bookworm"
    assert inside(architecture, "cat /etc/planton-standin") == (
        "stand-in for public.ecr.aws/sam/build-python3.11: Debian, glibc 2.36; not Amazon Linux\n"
    )


def test_the_interpreter_is_where_aws_has_it_and_of_the_architecture(architecture: str) -> None:
    found = json.loads(inside(architecture, 'python3.11 -c "$1"', INTERPRETER))
    machine, _, elf = MACHINES[architecture]
    assert found == {
        "elf": elf,
        "machine": machine,
        "version": [3, 11],
        "found": "/var/lang/bin/python3",
        "cwd": "/var/task",
        "headers": True,
        "root": "/var/task",
        "runtime": "/var/runtime",
    }


def test_an_extension_module_compiles_and_loads_in_a_venv(architecture: str) -> None:
    assert inside(architecture, COMPILING, EXTENSION) == "compiled\n"


def test_the_package_manager_finds_its_database_whole(architecture: str) -> None:
    assert inside(architecture, "dpkg --audit; apt-get check -qq; dpkg -s libc6 | grep ^Status") == (
        "Status: install ok installed\n"
    )


@pytest.fixture
def emulator(architecture: str, tmp_path: Path) -> Iterator[str]:
    """Run a handler as AWS's image does, and return the address of its emulator."""
    name = f"standin-{uuid.uuid4().hex[:12]}"
    try:
        created = docker(
            *("create", "--name", name, "--label", LABEL, "--platform", f"linux/{MACHINES[architecture][1]}"),
            *("-p", "127.0.0.1::8080", image(architecture), "app.handler"),
        )
        assert created.returncode == 0, created.stderr
        code = tmp_path / "app.py"
        code.write_text(
            "import os, platform\n"
            "def handler(event, context):\n"
            "    return [event['x'] + 1, platform.machine(), os.environ['AWS_EXECUTION_ENV']]\n"
        )
        assert docker("cp", str(code), f"{name}:/var/task/app.py").returncode == 0
        assert docker("start", name).returncode == 0
        yield docker("port", name, "8080").stdout.splitlines()[0].strip()
    finally:
        docker("rm", "--force", "--volumes", name)


def test_a_handler_answers_through_the_emulator(architecture: str, emulator: str) -> None:
    assert invoked(emulator, {"x": 1}) == [2, MACHINES[architecture][0], "AWS_Lambda_python3.11"]


def invoked(address: str, event: object) -> Any:
    url = f"http://{address}/2015-03-31/functions/function/invocations"
    for _ in range(100):
        try:
            with urllib.request.urlopen(url, json.dumps(event).encode(), timeout=60) as answer:
                return json.load(answer)
        except (urllib.error.URLError, ConnectionError):  # not listening yet
            time.sleep(0.1)
    pytest.fail("the emulator does not listen")


def test_a_stand_in_that_is_loaded_already_is_not_made_again(architecture: str) -> None:
    make = Path(__file__).parents[2] / "standins" / "make"
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    done = subprocess.run(
        ["/usr/bin/python3", make, "--architecture", architecture],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": path},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{image(architecture)}\n", "")
