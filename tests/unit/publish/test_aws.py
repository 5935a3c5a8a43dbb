from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from planton_build import __version__
from planton_build.errors import AwsUnreachable, ConfigInvalid, CredentialsMissing
from planton_build.publish.aws import Aws, AwsSettings
from planton_build.publish.aws_errors import explained


def test_a_client_is_made_once_for_all_threads(clients: Aws) -> None:
    aws = Aws(clients.settings)
    made: list[Any] = []
    threads = [threading.Thread(target=lambda: made.append(aws.lambda_())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert len({id(client) for client in made}) == 1


def test_every_region_has_its_own_client(clients: Aws) -> None:
    assert clients.s3().meta.region_name == "eu-west-1"
    assert clients.s3("us-east-1").meta.region_name == "us-east-1"
    assert clients.s3() is clients.s3("eu-west-1")


def test_clients_say_who_is_calling_and_retry_in_the_standard_mode(clients: Aws) -> None:
    config = clients.lambda_().meta.config
    assert config.user_agent_extra == f"planton-build/{__version__}"
    assert config.retries["mode"] == "standard"
    assert f"planton-build/{__version__}" in config.user_agent


def test_secrets_are_not_shown() -> None:
    settings = AwsSettings(access_key_id="AKIA-ONE", secret_access_key="two", session_token="three")
    assert not any(secret in repr(settings) for secret in ("AKIA-ONE", "two", "three"))


def test_the_sdks_own_chain_is_used_when_nothing_is_set(
    monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-south-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    client = Aws().lambda_()
    assert (client.meta.region_name, client.meta.endpoint_url) == ("ap-south-1", endpoint)


def test_an_emulator_on_localhost_is_addressed_by_path(
    monkeypatch: pytest.MonkeyPatch, front: Any, endpoint: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint.replace("127.0.0.1", "localhost"))
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "testing")
    assert Aws(AwsSettings("eu-west-1")).s3().meta.config.s3 == {"addressing_style": "path"}


def test_a_profile_that_does_not_exist_is_a_credentials_problem() -> None:
    with pytest.raises(CredentialsMissing, match="nobody"):
        Aws(AwsSettings("eu-west-1", "nobody")).s3()


def test_a_broken_configuration_file_is_a_credentials_problem(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "config"
    broken.write_text("[profile\nno")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(broken))
    with pytest.raises(CredentialsMissing):
        Aws(AwsSettings("eu-west-1")).s3()


@pytest.mark.parametrize("endpoint", ["not a url", "http://"])
def test_an_endpoint_that_is_no_url_is_a_configuration_problem(endpoint: str) -> None:
    with pytest.raises(ConfigInvalid):
        Aws(AwsSettings("eu-west-1", None, endpoint, "a", "b")).s3()


def test_an_endpoint_that_does_not_answer_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    aws = Aws(AwsSettings("eu-west-1", None, "http://127.0.0.1:9", "a", "b"))
    with pytest.raises(AwsUnreachable, match="looking"), explained("looking"):
        aws.lambda_().list_functions()
