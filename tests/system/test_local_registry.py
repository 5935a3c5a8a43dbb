"""The registry of the local AWS as a real process, and functions of images that are deployed from it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from planton_build.cli.aws import Accounts
from planton_build.deploy.functions import apply_all, plan_all
from planton_build.errors import ArtifactNotRunnable, LocalUnavailable, NotDeployable
from planton_build.events import ignore
from planton_build.local.image import fetched_image
from planton_build.local.registry import VARIABLE, local_registries
from planton_build.local.server import ensure_server, status, stop_server
from planton_build.manifest.code_source import ImageSource
from planton_build.manifest.document import Manifest
from planton_build.manifest.model import AwsLambda
from planton_build.oci.blobs import BytesContent, Descriptor
from planton_build.oci.image import Image, Layer
from planton_build.oci.media_types import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST
from planton_build.publish.images import Registries, publish_image

pytestmark = [
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc"),
    pytest.mark.engine("docker-registry"),
]
ACCOUNT, REGION = "111122223333", "eu-west-1"
HOST = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"


def until(condition: Callable[[], object], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def processes(state: Path) -> dict[str, int]:
    """Return the keeper and the registry of a state folder, by what they are."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdecimal() else []
        except OSError:
            continue
        if any(word.startswith(os.fsencode(state)) for word in command):
            if b"planton_build.local.registry_keeper" in command:
                found["keeper"] = int(entry.name)
            elif b"serve" in command:
                found["registry"] = int(entry.name)
    return found


def answers(address: str | None) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/v2/", timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def make_image(layer: bytes) -> Image:
    """Return an image of a layer that is no tar: registries do not look into them."""
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(b"tar" + layer)]},
        }
    ).encode()
    descriptor = Descriptor(OCI_LAYER, digest_of(layer), len(layer))
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": digest_of(config), "size": len(config)},
        "layers": [{"mediaType": OCI_LAYER, "digest": descriptor.digest, "size": descriptor.size}],
    }
    layers = (Layer(descriptor, digest_of(b"tar" + layer), BytesContent(layer)),)
    return Image(OCI_MANIFEST, json.dumps(manifest).encode(), config, layers)


def manifest(image_uri: str, name: str = "f", account: str = ACCOUNT) -> Manifest:
    document = {
        "apiVersion": "aws.planton.dev/v1",
        "kind": "AwsLambda",
        "metadata": {"name": name},
        "spec": {
            "region": REGION,
            "functionName": name,
            "roleArn": {"value": f"arn:aws:iam::{account}:role/{name}"},
            "codeSourceType": "CODE_SOURCE_TYPE_IMAGE",
            "imageUri": image_uri,
        },
    }
    return Manifest(Path("manifest.yaml"), 0, AwsLambda.model_validate(document), {}, "")


@pytest.fixture
def state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, require_engine: Callable[[str, bool, str], None]
) -> Iterator[Path]:
    found = shutil.which("docker-registry") or shutil.which("registry")
    require_engine(
        "docker-registry", found is not None, "not installed; as root: apt install docker-registry"
    )
    folder = tmp_path / "state"
    monkeypatch.setenv("PLANTON_STATE_DIR", str(folder))
    monkeypatch.delenv(VARIABLE, raising=False)
    yield folder
    stop_server(folder)
    assert until(lambda: not processes(folder))


@pytest.fixture
def accounts(state: Path) -> Accounts:
    return Accounts(local=True, region=None, profile=None)


@pytest.fixture
def publish(accounts: Accounts) -> Callable[..., str]:
    """Return a function that publishes an image for a function, and gives its `image_uri`."""

    def published(image: Image, name: str = "f", account: str = ACCOUNT) -> str:
        with Registries(accounts.registry) as registries:
            return publish_image(
                image,
                function_name=name,
                repository="planton-local/{function}",
                create=False,
                region=REGION,
                aws=accounts.of(manifest("", name, account)),
                registries=registries,
                listener=ignore,
            ).source.image_uri

    return published


# The process.


def test_it_starts_when_it_is_asked_for_and_ends_with_the_local_aws(state: Path) -> None:
    local = ensure_server(state)
    served_by = local_registries(local, os.environ)
    served_by("public.ecr.aws")
    assert processes(state) == {}
    address = served_by(HOST)
    assert answers(address)
    assert set(processes(state)) == {"keeper", "registry"}
    assert local_registries(ensure_server(state), os.environ)(HOST) == address  # another command's
    folder = next(state.glob("registry-*"))
    assert folder.stat().st_mode & 0o777 == 0o700
    stop_server(state)
    assert processes(state) == {}
    assert not state.exists()


def test_a_killed_registry_is_started_again_with_what_it_held(
    state: Path, accounts: Accounts, publish: Callable[..., str]
) -> None:
    uri = publish(make_image(b"one"))
    os.kill(processes(state)["registry"], signal.SIGKILL)
    assert until(lambda: not processes(state))
    again = Accounts(local=True, region=None, profile=None)
    again.require_code([manifest(uri)])


def test_a_killed_keeper_leaves_no_registry(state: Path) -> None:
    local = ensure_server(state)
    address = local_registries(local, os.environ)(HOST)
    os.kill(processes(state)["keeper"], signal.SIGKILL)
    assert until(lambda: "keeper" not in processes(state))
    answers(address)  # its log has no reader any more, which ends it
    assert until(lambda: not processes(state))
    assert answers(local_registries(local, os.environ)(HOST))


def test_a_killed_local_aws_leaves_no_registry_and_no_data(state: Path) -> None:
    local = ensure_server(state)
    local_registries(local, os.environ)(HOST)
    os.kill(local.pid, signal.SIGKILL)
    assert until(lambda: not processes(state))
    assert until(lambda: not list(state.glob("registry-*")))
    assert status(state) is None


def test_stopping_removes_what_a_killed_pair_has_left(state: Path) -> None:
    left = state / "registry-1"
    left.mkdir(parents=True)
    (left / "blob").write_bytes(b"left")
    assert not stop_server(state)
    assert not state.exists()


def test_without_a_program_nothing_starts(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LocalUnavailable, match="docker-registry is not installed"):
        local_registries(ensure_server(state), os.environ)(HOST)


def test_a_program_that_fails_is_quoted(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "docker-registry"
    program.write_text(f"#!{sys.executable}\nprint('the disk is full')\nraise SystemExit(3)\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Exception, match="does not start: the disk is full"):
        local_registries(ensure_server(state), os.environ)(HOST)
    assert processes(state) == {}


# Functions.


def test_an_image_keeps_its_name_in_aws_and_is_there_once(
    accounts: Accounts, publish: Callable[..., str]
) -> None:
    image = make_image(b"one")
    uri = publish(image)
    assert uri == f"{HOST}/planton-local/f@{image.digest}"
    assert publish(image) == uri
    repositories = accounts.of(manifest(uri)).ecr(REGION).describe_repositories()["repositories"]
    assert [one["repositoryName"] for one in repositories] == ["planton-local/f"]


def test_two_accounts_do_not_get_in_each_others_way(accounts: Accounts, publish: Callable[..., str]) -> None:
    first = publish(make_image(b"one"))
    second = publish(make_image(b"two"), account="999988887777")
    assert second.startswith("999988887777.dkr.ecr.")
    accounts.require_code([manifest(first), manifest(second, account="999988887777")])


def test_a_second_plan_finds_nothing_and_a_new_digest_is_seen(
    accounts: Accounts, publish: Callable[..., str]
) -> None:
    def planned(uri: str) -> list[Any]:
        wanted = manifest(uri)
        accounts.prepare([(wanted, None)])
        accounts.require_code([wanted])
        return plan_all([wanted], accounts.of)

    first, second = publish(make_image(b"one")), publish(make_image(b"two"))
    for uri in (first, second):
        deployments = planned(uri)
        assert not deployments[0].plan.empty
        apply_all(deployments, ignore, base_url_of=accounts.registry)
        again = planned(uri)[0].plan
        assert again.empty
        assert again.observed.code_sha256 == uri.rpartition(":")[2]
    answer = accounts.of(manifest(second)).lambda_(REGION).get_function(FunctionName="f")
    assert answer["Code"]["ResolvedImageUri"] == answer["Code"]["ImageUri"] == second
    assert answer["Configuration"]["CodeSha256"] == second.rpartition(":")[2]


def test_images_that_are_gone_are_refused_by_name(
    state: Path, accounts: Accounts, publish: Callable[..., str]
) -> None:
    wanted = manifest(publish(make_image(b"one")))
    accounts.require_code([wanted])
    stop_server(state)
    after = Accounts(local=True, region=None, profile=None)
    with pytest.raises(
        NotDeployable, match=r"the local AWS has no image .*planton-local/f@sha256:"
    ) as caught:
        after.require_code([wanted])
    assert "planton-build --local, which pushes it again" in (caught.value.findings[0].hint or "")


def test_a_registry_that_the_user_names_is_used_and_none_started(
    state: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    accounts: Accounts,
    publish: Callable[..., str],
) -> None:
    address = accounts.registry(HOST)  # of this local AWS, for another one
    other = tmp_path / "other"
    monkeypatch.setenv("PLANTON_STATE_DIR", str(other))
    monkeypatch.setenv(VARIABLE, str(address))
    try:
        theirs = Accounts(local=True, region=None, profile=None)
        assert theirs.registry(HOST) == address
        theirs.require_code([manifest(publish(make_image(b"one")))])
        assert processes(other) == {}
    finally:
        stop_server(other)


def test_another_image_than_the_deployed_one_is_not_run(
    state: Path, accounts: Accounts, publish: Callable[..., str]
) -> None:
    first, second = publish(make_image(b"one")), publish(make_image(b"two"))
    wanted = manifest(first)
    accounts.prepare([(wanted, None)])
    apply_all(plan_all([wanted], accounts.of), ignore, base_url_of=accounts.registry)
    options: Any = {"architecture": "x86_64", "region": REGION, "account": ACCOUNT}
    local = ensure_server(state)
    with fetched_image(
        local, "f", code=ImageSource(first), served_by=accounts.registry, **options
    ) as function:
        assert function.image.digest == first.partition("@")[2]
        assert (function.account, function.timeout, function.memory_mb) == (ACCOUNT, 3, 128)
        place = str(accounts.registry(HOST)).removeprefix("http://")
        assert function.pull_from == f"{place}/planton-local/f@{function.image.digest}"
    opened = fetched_image(local, "f", code=ImageSource(second), served_by=accounts.registry, **options)
    with pytest.raises(ArtifactNotRunnable, match="is not the code that f is deployed with"), opened:
        pass
