from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planton_build.deploy.references import manifests
from planton_build.deploy.references.resolver import References, Resolved
from planton_build.errors import ConfigInvalid, ReferenceUnresolved
from planton_build.manifest.document import Manifest

Refer = Callable[..., Manifest]
Resolve = Callable[..., Resolved]
Make = Callable[..., Any]
ROLE = "arn:aws:iam::123456789012:role/worker"


@pytest.mark.parametrize(
    "outputs",
    [
        f"role_arn: {ROLE}",
        f"roleArn: {ROLE}",
        f"{{'roleArn': '{ROLE}'}}",
    ],
)
def test_both_styles_of_keys_are_read(outputs: str, refer: Refer, resource: Make, resolve: Resolve) -> None:
    resource(outputs)
    assert resolve(refer()).values == (ROLE,)


def test_flattened_outputs_are_read(refer: Refer, resource: Make, resolve: Resolve) -> None:
    layer = "arn:aws:lambda:eu-west-1:123456789012:layer:fonts:"
    resource(f"{{layer_arns.0: '{layer}4', layer_arns.1: '{layer}5'}}", kind="AwsLambda", name="other")
    ref = "valueFrom: {kind: AwsLambda, name: other, fieldPath: 'status.outputs.layer_arns"
    manifest = refer(layerArns="[{" + ref + ".[*]'}}, {" + ref + "[1]'}}]")
    assert resolve(manifest, field="layer_arns", index=0).values == (f"{layer}4", f"{layer}5")
    assert resolve(manifest, field="layer_arns", index=1).values == (f"{layer}5",)


def test_other_fields_than_outputs_can_be_meant(refer: Refer, repo: Path, resolve: Resolve) -> None:
    (repo / "other.yaml").write_text(
        f"kind: AwsLambda\nmetadata: {{name: other}}\nspec:\n  roleArn:\n    value: {ROLE}\n"
    )
    ref = "{valueFrom: {kind: AwsLambda, name: other, fieldPath: spec.role_arn.value}}"
    assert resolve(refer(roleArn=ref)).source == "other.yaml:5 spec.role_arn.value"


def test_the_same_value_in_two_documents_is_no_contradiction(
    refer: Refer, resource: Make, resolve: Resolve
) -> None:
    resource()
    resource(file="again.yaml")
    assert resolve(refer()).values == (ROLE,)


def test_two_documents_with_different_values_are_refused(
    refer: Refer, resource: Make, resolve: Resolve
) -> None:
    resource()
    resource(f"role_arn: {ROLE}-2", file="again.yaml")
    with pytest.raises(ReferenceUnresolved, match=r"different values in again.yaml:7 and roles/role.yaml:7"):
        resolve(refer())


def test_a_resource_without_environment_serves_those_without_their_own(
    refer: Refer, resource: Make, resolve: Resolve
) -> None:
    resource()
    assert resolve(refer(env="prod")).values == (ROLE,)
    resource(f"role_arn: {ROLE}-prod", env="prod", file="prod.yaml")
    assert resolve(refer(env="prod")).values == (f"{ROLE}-prod",)
    assert resolve(refer(env="dev")).values == (ROLE,)


def test_a_document_without_the_output_is_named(refer: Refer, resource: Make, resolve: Resolve) -> None:
    resource("role_name: worker")
    with pytest.raises(
        ReferenceUnresolved, match=r"in roles/role.yaml:1 there is no status.outputs.role_arn"
    ):
        resolve(refer())


def test_an_output_that_is_no_text_is_refused(refer: Refer, resource: Make, resolve: Resolve) -> None:
    resource("role_arn: 12")
    with pytest.raises(ReferenceUnresolved, match="is a number, not text"):
        resolve(refer())


def test_files_that_git_ignores_and_hidden_folders_are_not_read(
    refer: Refer, resource: Make, repo: Path, resolve: Resolve
) -> None:
    (repo / ".gitignore").write_text("ignored/\n")
    for folder in ("ignored", ".terraform", "node_modules"):
        resource(file=f"{folder}/role.yaml")
    with pytest.raises(ReferenceUnresolved, match="no document of it in 1 YAML files"):
        resolve(refer())


@pytest.mark.parametrize("paths", ["ignored/role.yaml", ["ignored"], ["ig*/**/*.yaml"]])
def test_named_paths_are_read_in_any_case(
    paths: Any, refer: Refer, resource: Make, source: Make, repo: Path, resolve: Resolve
) -> None:
    (repo / ".gitignore").write_text("ignored/*.yaml\n" if paths != ["ignored"] else "nothing\n")
    resource(file="ignored/role.yaml")
    assert resolve(refer(), source("manifests", paths=paths)).source.startswith("ignored/role.yaml:7")


def test_only_named_paths_are_read(
    refer: Refer, resource: Make, source: Make, repo: Path, resolve: Resolve
) -> None:
    resource()
    resource(name="another", file="infra/role.yaml")
    with pytest.raises(ReferenceUnresolved, match=r"no document of it in 1 YAML files of infra"):
        resolve(refer(), source("manifests", paths=["infra"]))


def test_a_path_that_does_not_exist_is_a_mistake_of_the_configuration(
    refer: Refer, source: Make, resolve: Resolve
) -> None:
    with pytest.raises(ConfigInvalid, match="the path infra does not exist"):
        resolve(refer(), source("manifests", paths=["infra"]))


def test_a_pattern_may_match_nothing(refer: Refer, source: Make, resolve: Resolve) -> None:
    with pytest.raises(ReferenceUnresolved, match=r"no YAML file in infra/\*.yaml"):
        resolve(refer(), source("manifests", paths=["infra/*.yaml"]))


def test_a_broken_file_that_may_hold_another_value_is_not_passed_over(
    refer: Refer, resource: Make, repo: Path, resolve: Resolve
) -> None:
    resource()
    broken = repo / "broken.yaml"
    broken.write_text("kind: AwsIamRole\nmetadata: {name: another\n")
    assert resolve(refer()).values == (ROLE,)
    broken.write_text("kind: aws-iam-role\nmetadata: {name: worker\n")
    with pytest.raises(
        ReferenceUnresolved, match=r"broken.yaml names AwsIamRole 'worker', but cannot be read"
    ):
        resolve(refer())


@pytest.mark.parametrize(
    "text",
    [
        "kind: AwsIamRole\n",
        "kind: AwsIamRole\nmetadata: worker\n",
        "kind: AwsIamRole\nmetadata: {name: [worker]}\n",
        "- kind: AwsIamRole\n",
        "kind: AwsIamRole\nmetadata: {name: worker}\nstatus: 3\n",
        "kind: AwsIamRole\nmetadata: {name: worker}\nstatus: {outputs: [1]}\n",
        "kind: AwsIamRole\nmetadata: {name: worker}\nstatus: {outputs: null}\n",
        "kind: AwsIamRole\nmetadata: {name: worker}\nstatus: {outputs: {role_arn: {a: 1}}}\n",
        "kind: AwsIamRole\nmetadata: {name: worker}\nstatus: {outputs: {a: x, a.0: y}}\n",
        "kind: AwsIamRole\n" + "a: " + "[" * 60 + "]" * 60 + "\n",
        "kind: AwsIamRole\na: &a [1]\nb: *b\n",
        "",
    ],
)
def test_malformed_documents_never_give_a_value(
    text: str, refer: Refer, repo: Path, resolve: Resolve
) -> None:
    (repo / "role.yaml").write_text(text)
    with pytest.raises(ReferenceUnresolved):
        resolve(refer())


def test_links_out_of_the_repository_are_not_followed(
    refer: Refer, resource: Make, repo: Path, tmp_path: Path, resolve: Resolve
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    resource(file="role.yaml").rename(outside / "role.yaml")
    (repo / "linked").symlink_to(outside)
    (repo / "linked.yaml").symlink_to(outside / "role.yaml")
    with pytest.raises(ReferenceUnresolved):
        resolve(refer())


def test_outside_of_a_repository_the_given_folders_are_searched(
    refer: Refer, resource: Make, repo: Path, tmp_path: Path
) -> None:
    manifest = refer()
    resource(file="../elsewhere/role.yaml")
    (repo / ".git").rmdir()
    ref = manifest.model.spec.role_arn
    assert ref is not None and ref.value_from is not None
    with pytest.raises(ReferenceUnresolved, match="the folder repo"):
        References([], aws=None).resolve(manifest, "role_arn", None, ref.value_from)
    given = [tmp_path / "elsewhere" / "other.yaml"]
    found = References([], aws=None, manifests=given).resolve(manifest, "role_arn", None, ref.value_from)
    assert found.values == (ROLE,)


def test_too_many_files_are_refused(
    refer: Refer, resource: Make, monkeypatch: pytest.MonkeyPatch, resolve: Resolve
) -> None:
    monkeypatch.setattr(manifests, "MAX_FILES", 1)
    resource()
    with pytest.raises(ReferenceUnresolved, match="more than 1 YAML files"):
        resolve(refer())


def test_booleans_and_numbers_of_names_are_texts(refer: Refer, resource: Make, resolve: Resolve) -> None:
    resource(name="208", kind="AwsIamRole")
    assert resolve(refer(roleArn="{valueFrom: {name: '208'}}")).values == (ROLE,)
