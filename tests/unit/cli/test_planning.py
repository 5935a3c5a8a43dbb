from __future__ import annotations

from pathlib import Path

import pytest

from planton_build.cli.aws import Accounts
from planton_build.cli.planning import deployer, inputs_for, manifests_below
from planton_build.errors import ConfigInvalid, NoFunctionFound, NotDeployable, SeveralErrors
from planton_build.manifest.load import read_manifests

MANIFEST = """\
apiVersion: aws.planton.dev/v1
kind: AwsLambda
metadata: {{name: {name}}}
spec:
  region: eu-west-1
  functionName: {name}
  roleArn: {role}
  codeSourceType: CODE_SOURCE_TYPE_S3
  runtime: python3.13
  handler: app.handler
  s3: {{bucket: artifacts, key: {name}.zip}}
"""
ROLE = """\
apiVersion: aws.planton.dev/v1
kind: AwsIamRole
metadata: {name: worker}
status:
  outputs:
    role_arn: arn:aws:iam::210987654321:role/worker
"""
LITERAL = "{value: 'arn:aws:iam::123456789012:role/worker'}"


def write(folder: Path, name: str = "orders", role: str = LITERAL) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "lambda.yaml"
    path.write_text(MANIFEST.format(name=name, role=role))
    return path


def accounts() -> Accounts:
    return Accounts(local=False, region="eu-west-1", profile=None)


def test_the_ci_system_says_for_whom_a_job_runs_and_otherwise_the_login_name_counts() -> None:
    assert deployer({"GITHUB_ACTOR": "ann", "GITLAB_USER_LOGIN": "bob"}) == "ann"
    assert deployer({"GITLAB_USER_LOGIN": "bob"}) == "bob"
    assert deployer({})


def test_all_mistakes_of_all_manifests_are_told_at_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        path = write(tmp_path / name, name)
        path.write_text(path.read_text().replace("CODE_SOURCE_TYPE_S3", "CODE_SOURCE_TYPE_UNSPECIFIED"))
    assert len(manifests_below([tmp_path])) == 2
    with pytest.raises(SeveralErrors) as raised:
        manifests_below([tmp_path], deployable=True)
    assert [type(error) for error in raised.value.errors] == [NotDeployable] * 2


def test_a_folder_without_functions_is_told(tmp_path: Path) -> None:
    with pytest.raises(NoFunctionFound):
        manifests_below([tmp_path])


def test_the_role_of_a_reference_is_what_a_sibling_says(tmp_path: Path) -> None:
    (tmp_path / "role.yaml").write_text(ROLE)
    [manifest] = read_manifests(write(tmp_path, role="{valueFrom: {name: worker}}"))
    assert accounts().role_of(manifest) == "arn:aws:iam::210987654321:role/worker"


def test_a_role_that_no_file_knows_is_not_guessed(tmp_path: Path) -> None:
    [manifest] = read_manifests(write(tmp_path, role="{valueFrom: {name: worker}}"))
    assert accounts().role_of(manifest) is None
    [literal] = read_manifests(write(tmp_path))
    assert accounts().role_of(literal) == "arn:aws:iam::123456789012:role/worker"


def test_settings_are_read_before_anything_is_planned(tmp_path: Path) -> None:
    [manifest] = read_manifests(write(tmp_path))
    (tmp_path / "planton.toml").write_text('[deploy]\nalias = "live"\n')
    inputs = inputs_for([manifest], accounts(), {})
    assert inputs.settings_of(manifest).alias == "live"
    assert inputs.record_of(manifest).startswith("planton:")
    (tmp_path / "planton.toml").write_text("[deploy]\nalias = 7\n")
    with pytest.raises(ConfigInvalid):
        inputs_for([manifest], accounts(), {})


def test_functions_with_the_same_sources_share_what_was_read(tmp_path: Path) -> None:
    manifests = [one for name in ("a", "b") for one in read_manifests(write(tmp_path / name, name))]
    inputs = inputs_for(manifests, accounts(), {})
    first, second = (inputs.references_of(manifest) for manifest in manifests)
    assert first is second


def test_the_role_of_one_manifest_is_never_that_of_another_that_is_gone(tmp_path: Path) -> None:
    known = accounts()
    for number in range(50):
        arn = f"arn:aws:iam::{number:012}:role/worker"
        [manifest] = read_manifests(write(tmp_path, role=f"{{value: '{arn}'}}"))
        assert known.role_of(manifest) == arn
        del manifest
