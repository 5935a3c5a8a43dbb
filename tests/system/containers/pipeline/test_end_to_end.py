"""Bytecode, glibc, `verify` and images of a registry: the whole way, from a manifest to a judged artifact."""

from __future__ import annotations

import marshal
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.xdist_group("containers"), pytest.mark.network]


def test_bytecode_is_unchecked_names_the_task_folder_and_is_made_once(
    site: Any, nowhere: dict[str, str]
) -> None:
    folder = site.function(
        "fast", {"requirements.txt": "idna\n", "planton.toml": "bytecode = true\n", "lib/inner.py": "X = 1\n"}
    )
    first = site.build(folder)
    made = {name: content for name, content in first.members.items() if name.endswith(".pyc")}
    sources = {name for name in first.members if name.endswith(".py")}
    assert {"app.py", "lib/inner.py", "idna/core.py"} <= sources
    assert set(made) == {_bytecode(name) for name in sources}
    assert all(content[4:8] == b"\x01\0\0\0" for content in made.values())  # unchecked hash: PEP 552
    assert first.function["bytecode"]["files"] == len(made)
    assert b"/var/task/lib/inner.py" in made["lib/__pycache__/inner.cpython-311.pyc"]
    _check_loadable(made["__pycache__/app.cpython-311.pyc"])
    again = site.build(folder, "--locked", env=nowhere)
    assert (again.function["cached"], again.function["sha256"]) == (True, first.function["sha256"])
    elsewhere = site.build(folder, "--locked", cache="elsewhere")
    assert elsewhere.function["sha256"] == first.function["sha256"]
    table = site.run(folder, "--no-publish", "--locked", env=nowhere)
    assert "bytecode" in table.out


def _bytecode(name: str) -> str:
    head, _, tail = name.rpartition("/")
    return f"{head}/__pycache__/{tail[:-3]}.cpython-311.pyc".lstrip("/")


def _check_loadable(content: bytes) -> None:
    try:
        code = marshal.loads(content[16:])
    except ValueError:
        return  # this Python has another format
    assert code.co_filename == "/var/task/app.py"


def test_bytecode_of_a_function_without_dependencies(site: Any, nowhere: dict[str, str]) -> None:
    folder = site.function("bare", {"planton.toml": "bytecode = true\n"})
    first = site.build(folder)
    assert set(first.members) == {"app.py", "__pycache__/app.cpython-311.pyc"}
    assert [path.name for path in folder.glob("*.lock")] == ["bare.python3.11-x86_64.build.lock"]
    again = site.build(folder, "--locked", env=nowhere)
    assert again.function["sha256"] == first.function["sha256"]
    # Another image may have another interpreter: what was made with the locked one does not count.
    other = site.run(
        *(folder, "--no-publish", "--locked"), env={**nowhere, "PLANTON_BUILD_IMAGE": "other"}, expect=32
    )
    assert "bare.python3.11-x86_64.build.lock is outdated" in other.err


NEW_GLIBC = """\
#include <Python.h>
#include <pthread.h>
static void *nothing(void *none) { return none; }
PyMODINIT_FUNC PyInit_tooyoung(void) {
    pthread_t thread;
    static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "tooyoung", NULL, -1, NULL};
    if (pthread_create(&thread, NULL, nothing, NULL) == 0) pthread_join(thread, NULL);
    return PyModule_Create(&module);
}
"""


def test_code_for_a_newer_glibc_than_the_runtimes_is_refused(site: Any) -> None:
    setup = 'from setuptools import Extension, setup\nsetup(ext_modules=[Extension("tooyoung", ["a.c"])])\n'
    site.sdist("tooyoung", {"setup.py": setup, "a.c": NEW_GLIBC})
    folder = site.function("old", {"requirements.txt": "tooyoung\n"})
    refused = site.run(folder, "--no-publish", expect=46)
    assert "error[native_code_unloadable]" in refused.err
    for word in ("tooyoung", ".cpython-311-x86_64-linux-gnu.so", "GLIBC_2.34", "2.26"):
        assert word in refused.err
    (name,) = re.findall(r"tooyoung\S*\.so", refused.err)[:1]
    (folder / "planton.toml").write_text(f'[allow]\n"{name}" = "only imported elsewhere"\n')
    passed = site.run(folder, "--no-publish")
    assert "only imported elsewhere" in passed.err
    again = site.run(folder, "--no-publish")
    assert "cached" in again.out
    assert "only imported elsewhere" in again.err


HANDLER = """\
import json
import os

def handler(event, context):
    print("seen", event["n"])
    return {"twice": event["n"] * 2, "memory": os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]}
"""


def test_verify_imports_and_invokes_and_says_what_it_saw(site: Any) -> None:
    folder = site.function("seen", {"app.py": HANDLER, "requirements.txt": "idna\n"})
    event = site.root / "event.json"
    event.write_text('{"n": 21}')
    shown = site.run(folder, "verify")
    assert re.search(
        r"^seen +python3.11-x86_64 +\d+\.\d\d s +\d+ +\d+ MB +256 MB +-$", shown.out, re.MULTILINE
    )
    assert "slowest imports of seen" in shown.out
    function = site.run(folder, "verify", "--json").function
    assert (function["memory_limit"], function["invocation"]) == (256 << 20, None)
    assert 0 < function["peak_memory"] < 256 << 20
    assert function["modules"] > 0
    invoked = site.run(folder, "verify", "--event", str(event), "--json").function
    assert invoked["invocation"]["payload"] == {"twice": 42, "memory": "256"}
    assert "seen 21" in invoked["log"]
    text = site.run(folder, "verify", "--event", str(event))
    assert '{"twice": 42, "memory": "256"}' in text.out
    assert "seen | " in text.err


def test_verify_tells_what_fails(site: Any, nowhere: dict[str, str]) -> None:
    folder = site.function("seen", {"app.py": "import nowhere_to_be_found\n\ndef handler(e, c): ...\n"})
    failed = site.run(folder, "verify", expect=48)
    assert "error[verify_failed]" in failed.err
    assert "nowhere_to_be_found" in failed.err
    as_json = site.run(folder, "verify", "--json", expect=48)
    assert as_json.json["errors"][0]["code"] == "verify_failed"
    (folder / "app.py").write_text("def another(event, context): ...\n")
    missing = site.run(folder, "verify", expect=48)
    assert "handler" in missing.err
    assert site.run(folder, "verify", env=nowhere, expect=80).err.count("verify runs functions") == 1
    (site.root / "bad.json").write_text("{")
    assert "is not JSON" in site.run(folder, "verify", "--event", "../../bad.json", expect=25).err


def test_verify_shows_the_functions_that_passed_beside_those_that_failed(site: Any) -> None:
    site.function("good", {})
    site.function("bad", {"app.py": "raise ValueError('no luck')\n\ndef handler(e, c): ...\n"})
    failed = site.run(site.root / "work", "verify", expect=48)
    assert "no luck" in failed.err
    assert re.search(r"^good +python3.11-x86_64", failed.out, re.MULTILINE)


@pytest.fixture
def registry(tmp_path: Path, require_engine: Callable[[str, bool, str], None]) -> Iterator[str]:
    """Run docker-registry on a free port of loopback, which engines take without TLS; return its address."""
    program = shutil.which("docker-registry")
    require_engine("docker-registry", program is not None, "apt-get install docker-registry")
    assert program is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    (tmp_path / "registry.yml").write_text(
        "version: 0.1\nlog: {level: error}\n"
        f"storage: {{filesystem: {{rootdirectory: {tmp_path}/registry}}}}\nhttp: {{addr: '{host}'}}\n"
    )
    with subprocess.Popen(
        [program, "serve", str(tmp_path / "registry.yml")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            for _ in range(200):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", int(host.rpartition(":")[2]))) == 0:
                        break
                time.sleep(0.05)
            yield host
        finally:
            process.terminate()


LABEL = "dev.planton.build.test"
"""On images that exist for a test; those that are made from them inherit it."""


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def pushed(image: str, name: str) -> str:
    """Push an image under a name, forget the name, and return the digest that the registry gave."""
    docker("tag", image, name)
    try:
        digest = re.search(r"digest: (sha256:[0-9a-f]{64})", docker("push", name))
    finally:
        docker("rmi", "--no-prune", name)
    assert digest is not None
    return digest[1]


def test_an_image_of_a_registry_is_pinned_by_digest_for_good(
    site: Any, stand_ins: str, registry: str
) -> None:
    stand_in = stand_ins.format(runtime="python3.11", architecture="x86_64")
    name = f"{registry}/standin/build-python3.11:latest-x86_64"
    first = pushed(stand_in, name)
    site.environment["PLANTON_BUILD_IMAGE"] = f"{registry}/standin/build-{{runtime}}:latest-{{architecture}}"
    options = "commands = ['cat /mark >$PLANTON_OUT/mark || echo first >$PLANTON_OUT/mark']\n"
    folder = site.function("web", {"planton.toml": options})
    try:
        built = site.build(folder)
        assert built.members["mark"] == b"first\n"
        (build_lock,) = folder.glob("*.build.lock")
        locked = build_lock.read_text()
        assert f'name = "{name}"\ndigest = "{first}"' in locked
        second = pushed(marked(stand_in, registry, site.root), name)
        assert second != first
        elsewhere = site.build(folder, "--locked", cache="elsewhere")
        assert elsewhere.members["mark"] == b"first\n"
        assert build_lock.read_text() == locked
        seen = site.run(folder, "verify", "--json").function["image"]
        assert seen == docker("image", "inspect", "--format", "{{.Id}}", stand_in).strip()
        site.run(folder, "lock", "--upgrade")
        assert f'digest = "{second}"' in build_lock.read_text()
        assert site.build(folder, "--locked").members["mark"] == b"second\n"
    finally:
        forget(registry)


def marked(stand_in: str, registry: str, folder: Path) -> str:
    """Return the ID of an image that is the stand-in with one more file."""
    (folder / "image").mkdir()
    recipe = f"FROM {stand_in}\nLABEL {LABEL}={registry}\nCOPY mark /mark\n"
    (folder / "image" / "Dockerfile").write_text(recipe)
    (folder / "image" / "mark").write_text("second\n")
    return docker("build", "--quiet", str(folder / "image")).strip()


def forget(registry: str) -> None:
    """Remove the names that images got from a registry which is about to end, and the images made for it."""
    named = docker("images", "--digests", "--format", "{{.Repository}}@{{.Digest}}", f"{registry}/*/*")
    made = docker("images", "--all", "--quiet", "--no-trunc", "--filter", f"label={LABEL}={registry}")
    for one in [*named.split(), *made.split()]:
        subprocess.run(["docker", "rmi", "--force", one], capture_output=True, check=False)
