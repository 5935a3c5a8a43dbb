from __future__ import annotations

import json
from pathlib import Path

import pytest

from planton_build.errors import ContainerDiskFull, EngineUnavailable
from planton_build.sandbox.engine import connect, engine_errors


@pytest.fixture(autouse=True)
def docker_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give docker's client a configuration of its own, which it reads at a fixed place."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / ".docker"))
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    (tmp_path / ".docker").mkdir()
    return tmp_path / ".docker" / "config.json"


def test_an_engine_that_is_not_there_is_named_with_what_to_do(tmp_path: Path) -> None:
    endpoint = f"unix://{tmp_path}/no/docker.sock"
    with pytest.raises(EngineUnavailable) as caught:
        connect({"DOCKER_HOST": endpoint})
    assert f"{endpoint} (no such file or directory)" in caught.value.message
    assert "start Docker or Podman" in str(caught.value.hint)


def test_a_remote_engine_that_refuses_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"127\.0\.0\.1:1.*connection refused"):
        connect({"DOCKER_HOST": "tcp://127.0.0.1:1"})


def test_an_unknown_context_is_an_error_and_not_another_engine() -> None:
    with pytest.raises(EngineUnavailable, match="knows no context 'elsewhere'"):
        connect({"DOCKER_CONTEXT": "elsewhere"})


def test_the_context_in_use_counts(docker_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    name = "far"
    folder = docker_config.parent / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    endpoint = {"docker": {"Host": "tcp://127.0.0.1:2", "SkipTLSVerify": False}}
    (folder / "meta.json").write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": endpoint}))
    docker_config.write_text(json.dumps({"currentContext": name}))
    with pytest.raises(EngineUnavailable, match=r"127\.0\.0\.1:2"):
        connect({})


def test_a_full_disk_of_the_engine_is_told_from_other_failures() -> None:
    import docker

    with pytest.raises(ContainerDiskFull, match="while copying"), engine_errors("copying"):
        raise docker.errors.APIError("500", explanation="write /x: no space left on device")
    with pytest.raises(EngineUnavailable, match="while copying: something else"), engine_errors("copying"):
        raise docker.errors.APIError("500", explanation="something else")
