"""The sources that are files: `outputs`, `terraform`, `pulumi`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planton_build.deploy.references import reading
from planton_build.deploy.references.resolver import Resolved
from planton_build.errors import ConfigInvalid, PlantonError, ReferenceUnresolved
from planton_build.manifest.document import Manifest

Refer = Callable[..., Manifest]
Resolve = Callable[..., Resolved]
Make = Callable[..., Any]
ROLE = "arn:aws:iam::123456789012:role/worker"
LAYER = "arn:aws:lambda:eu-west-1:123456789012:layer:fonts:4"
SUBNETS = "[{valueFrom: {kind: AwsVpc, name: net, fieldPath: 'status.outputs.private_subnets.[*].id'}}]"


# outputs


@pytest.mark.parametrize(
    "content",
    [
        {"AwsIamRole": {"worker": {"role_arn": ROLE}}},
        {"aws-iam-role": {"worker": {"roleArn": ROLE}}},
        {"208": {"worker": {"role_arn": ROLE}}},
        {"prod": {"AwsIamRole": {"worker": {"role_arn": ROLE}}}},
        {"prod": {"AwsIamRole": {"worker": {"role_arn": ROLE}}}, "AwsIamRole": {"worker": {"role_arn": "x"}}},
        {"AwsIamRole/worker/status.outputs.role_arn": ROLE},
        {"AwsIamRole/worker/role_arn": ROLE},
        {"prod/AwsIamRole/worker/role_arn": ROLE, "dev/AwsIamRole/worker/role_arn": "x"},
    ],
)
def test_outputs_are_found_in_every_form(
    content: Any, refer: Refer, source: Make, repo: Path, resolve: Resolve
) -> None:
    (repo / "outputs.json").write_text(json.dumps(content))
    found = resolve(refer(env="prod"), source("outputs", file="outputs.json"))
    assert found.values == (ROLE,)
    assert found.source.startswith("outputs.json ")
    assert found.source.endswith("AwsIamRole/worker/role_arn")


def test_outputs_may_be_yaml(refer: Refer, source: Make, repo: Path, resolve: Resolve) -> None:
    (repo / "outputs.yaml").write_text(f"AwsIamRole:\n  worker:\n    role_arn: {ROLE}\n")
    assert resolve(refer(), source("outputs", file="outputs.yaml")).values == (ROLE,)


def test_outputs_may_be_in_a_file_for_each_environment(
    refer: Refer, source: Make, repo: Path, resolve: Resolve
) -> None:
    (repo / "prod.json").write_text(json.dumps({"AwsIamRole": {"worker": {"role_arn": ROLE}}}))
    one = source("outputs", file="{env}.json")
    assert resolve(refer(env="prod"), one).values == (ROLE,)
    with pytest.raises(ReferenceUnresolved, match=r"the file dev.json does not exist"):
        resolve(refer(env="dev"), one)
    with pytest.raises(ReferenceUnresolved, match=r"no environment is known for \{env\}"):
        resolve(refer(), one)


def test_flattened_lists_of_outputs_are_lists(
    refer: Refer, source: Make, repo: Path, resolve: Resolve
) -> None:
    flat = {"private_subnets.0.id": "subnet-0a", "private_subnets.1.id": "subnet-0b"}
    (repo / "o.json").write_text(json.dumps({"AwsVpc": {"net": flat}}))
    found = resolve(refer(subnets=SUBNETS), source("outputs", file="o.json"), field="subnets", index=0)
    assert found.values == ("subnet-0a", "subnet-0b")


def test_outputs_of_another_environment_do_not_count(
    refer: Refer, source: Make, repo: Path, resolve: Resolve
) -> None:
    (repo / "o.json").write_text(json.dumps({"dev": {"AwsIamRole": {"worker": {"role_arn": ROLE}}}}))
    for env in ("", "prod"):
        with pytest.raises(ReferenceUnresolved):
            resolve(refer(env=env), source("outputs", file="o.json"))


@pytest.mark.parametrize(
    "content",
    [
        {"AwsIamRole": {"worker": {"role_arn": ROLE}}, "aws-iam-role": {"worker": {"role_arn": ROLE + "2"}}},
        {"AwsIamRole": {"worker": {"role_arn": ROLE}}, "AwsIamRole/worker/role_arn": ROLE + "2"},
        {"AwsIamRole": {"worker": {"role_arn": ROLE, "roleArn": ROLE + "2"}}},
    ],
)
def test_a_file_that_contradicts_itself_is_refused(
    content: Any, refer: Refer, source: Make, repo: Path, resolve: Resolve
) -> None:
    (repo / "o.json").write_text(json.dumps(content))
    with pytest.raises(ReferenceUnresolved, match="different values"):
        resolve(refer(), source("outputs", file="o.json"))


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("o.json", b"{", "is not JSON"),
        ("o.json", b"[1]", "is not a JSON object"),
        ("o.json", b"\xff", "is not UTF-8"),
        ("o.json", b'{"a": 1, "a": 2}', "has the key 'a' twice"),
        ("o.json", b"[" * 200_000, "is nested too deeply"),
        ("o.yaml", b"a: [", "cannot be read"),
        ("o.yaml", b"a: 1\n---\nb: 1\n", "has 2 YAML documents"),
        ("o.yaml", b"- a\n", "must hold a mapping"),
        ("o.yaml", b"a: &a [*a]\n", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    name: str, raw: bytes, message: str, refer: Refer, source: Make, repo: Path, resolve: Resolve
) -> None:
    (repo / name).write_bytes(raw)
    with pytest.raises(ConfigInvalid, match=message) as caught:
        resolve(refer(), source("outputs", file=name))
    assert caught.value.findings[0].file == repo / name


def test_a_file_that_does_not_exist_is_a_mistake_of_the_configuration(
    refer: Refer, source: Make, resolve: Resolve, repo: Path
) -> None:
    with pytest.raises(ConfigInvalid, match=r"the file o.json does not exist") as caught:
        resolve(refer(), source("outputs", file="o.json"))
    assert (caught.value.findings[0].file, caught.value.findings[0].line) == (repo / "planton.toml", 7)


def test_files_are_read_up_to_a_limit(
    refer: Refer, source: Make, repo: Path, resolve: Resolve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading.bytes_of, "__defaults__", (10,))
    (repo / "o.json").write_text(json.dumps({"AwsIamRole": {}}))
    with pytest.raises(ConfigInvalid, match="is larger than 10 bytes"):
        resolve(refer(), source("outputs", file="o.json"))
    (repo / "folder.json").mkdir()
    with pytest.raises(ConfigInvalid, match="is not a regular file"):
        resolve(refer(), source("outputs", file="folder.json"))


@pytest.mark.parametrize("name", ["../../secret", "a/b", "..", ".hidden", "a\\b", "x y"])
@pytest.mark.parametrize("kind", ["outputs", "terraform", "pulumi"])
def test_names_cannot_lead_to_other_folders(
    kind: str, name: str, refer: Refer, source: Make, resolve: Resolve
) -> None:
    option = "state" if kind == "terraform" else "file"
    manifest = refer(roleArn=f"{{valueFrom: {{name: {json.dumps(name)}}}}}")
    with pytest.raises(ReferenceUnresolved, match="cannot be a part of a path"):
        resolve(manifest, source(kind, **{option: "outputs/{name}.json"}))


# terraform


def state(**outputs: Any) -> dict[str, Any]:
    tables = {
        name: value if isinstance(value, dict) and "value" in value else {"value": value, "type": "string"}
        for name, value in outputs.items()
    }
    return {"version": 4, "terraform_version": "1.9.0", "serial": 3, "outputs": tables, "resources": []}


def test_terraform_outputs_are_named_for_the_resource(
    refer: Refer, source: Make, repo: Path, resolve: Resolve
) -> None:
    (repo / "network.tfstate").write_text(json.dumps(state(worker_role_arn=ROLE)))
    found = resolve(refer(), source("terraform", state="network.tfstate"))
    assert found == Resolved("role_arn", (ROLE,), "output worker_role_arn of network.tfstate")


def test_terraform_names_may_have_underscores_for_dashes(
    refer: Refer, source: Make, repo: Path, resolve: Resolve
) -> None:
    (repo / "t.tfstate").write_text(json.dumps(state(my_worker_role_arn=ROLE)))
    manifest = refer(roleArn="{valueFrom: {name: my-worker}}")
    assert resolve(manifest, source("terraform", state="t.tfstate")).values == (ROLE,)


@pytest.mark.parametrize(
    "value", [["subnet-0a", "subnet-0b"], [{"id": "subnet-0a"}, {"id": "subnet-0b"}], "subnet-0a,subnet-0b"]
)
def test_terraform_lists_are_taken(
    value: Any, refer: Refer, source: Make, repo: Path, resolve: Resolve
) -> None:
    (repo / "t.tfstate").write_text(json.dumps(state(private_subnet_ids=value)))
    one = source("terraform", kinds=("AwsVpc",), state="t.tfstate", output="private_subnet_ids")
    found = resolve(refer(subnets=SUBNETS), one, field="subnets", index=0)
    assert found.values == ("subnet-0a", "subnet-0b")


@pytest.mark.parametrize("sensitive", [True, "yes", None])
def test_sensitive_outputs_are_taken_only_when_asked_for(
    sensitive: Any, refer: Refer, source: Make, repo: Path, resolve: Resolve
) -> None:
    secret = {"value": ROLE, "sensitive": sensitive}
    (repo / "t.tfstate").write_text(json.dumps(state(worker_role_arn=secret)))
    with pytest.raises(ReferenceUnresolved, match="is sensitive") as caught:
        resolve(refer(), source("terraform", state="t.tfstate"), source("manifests"))
    assert ROLE not in str(caught.value.findings)
    assert resolve(refer(), source("terraform", state="t.tfstate", sensitive=True)).values == (ROLE,)


def test_a_sensitive_value_of_the_wrong_shape_is_not_shown(
    refer: Refer, source: Make, repo: Path, resolve: Resolve
) -> None:
    secret = {"value": "sg-0a1b2c3d", "sensitive": True}
    (repo / "t.tfstate").write_text(json.dumps(state(worker_role_arn=secret)))
    with pytest.raises(ReferenceUnresolved, match="a text of 11 characters is not the ARN of a role"):
        resolve(refer(), source("terraform", state="t.tfstate", sensitive=True))


def test_what_terraform_prints_is_read_too(refer: Refer, source: Make, repo: Path, resolve: Resolve) -> None:
    printed = {"worker_role_arn": {"sensitive": False, "type": "string", "value": ROLE}}
    (repo / "printed.json").write_text(json.dumps(printed))
    assert resolve(refer(), source("terraform", state="printed.json")).values == (ROLE,)


def test_a_missing_output_lists_what_is_there(
    refer: Refer, source: Make, repo: Path, resolve: Resolve
) -> None:
    (repo / "t.tfstate").write_text(json.dumps(state(vpc_id="x")))
    with pytest.raises(ReferenceUnresolved, match=r"no output worker_role_arn \(it has: vpc_id\)"):
        resolve(refer(), source("terraform", state="t.tfstate"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"version": 3, "modules": []}, "has the version 3"),
        ({"version": "4" * 500}, "has the version"),
        ({"encrypted_data": "x", "encryption_version": "v0"}, "is encrypted"),
        ({"version": 4, "outputs": [1]}, "has no outputs in the form of Terraform"),
        ({"version": 4, "outputs": {"a": "x"}}, "has no outputs in the form of Terraform"),
        ({"anything": "else"}, "has no outputs in the form of Terraform"),
    ],
)
def test_a_file_that_is_no_state_is_refused(
    content: Any, message: str, refer: Refer, source: Make, repo: Path, resolve: Resolve
) -> None:
    (repo / "t.tfstate").write_text(json.dumps(content))
    with pytest.raises(ConfigInvalid, match=message):
        resolve(refer(), source("terraform", state="t.tfstate"))


# pulumi

SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}


def export(**outputs: Any) -> dict[str, Any]:
    stack = {"urn": "urn:pulumi:prod::iam::pulumi:pulumi:Stack::iam-prod", "type": "pulumi:pulumi:Stack"}
    other = {"type": "aws:iam/role:Role", "outputs": {"worker_role_arn": "not-this"}}
    return {"version": 3, "deployment": {"resources": [other, stack | {"outputs": outputs}]}}


@pytest.mark.parametrize("shape", [export, dict])
def test_both_files_of_pulumi_are_read(
    shape: Callable[..., Any], refer: Refer, source: Make, repo: Path, resolve: Resolve
) -> None:
    (repo / "stack.json").write_text(json.dumps(shape(worker_role_arn=ROLE)))
    found = resolve(refer(), source("pulumi", file="stack.json"))
    assert found == Resolved("role_arn", (ROLE,), "output worker_role_arn of stack.json")


def test_a_stack_for_each_resource_has_upstreams_names(
    refer: Refer, source: Make, repo: Path, resolve: Resolve
) -> None:
    (repo / "AwsIamRole.worker.json").write_text(json.dumps({"role_arn": ROLE}))
    assert resolve(refer(), source("pulumi", file="{kind}.{name}.json")).values == (ROLE,)


def test_flattened_outputs_of_pulumi_are_lists(
    refer: Refer, source: Make, repo: Path, resolve: Resolve
) -> None:
    (repo / "other.json").write_text(json.dumps({"layer_arns.0": LAYER}))
    ref = "{valueFrom: {kind: AwsLambda, name: other, fieldPath: status.outputs.layer_arns.0}}"
    manifest = refer(layerArns=f"[{ref}]")
    found = resolve(manifest, source("pulumi", file="{name}.json"), field="layer_arns", index=0)
    assert found.values == (LAYER,)


def test_secrets_of_pulumi_are_taken_only_when_asked_for_and_readable(
    refer: Refer, source: Make, repo: Path, resolve: Resolve
) -> None:
    values = {
        "masked": ("[secret]", False),
        "encrypted": (SECRET | {"ciphertext": "v1:abc"}, False),
        "broken": (SECRET | {"plaintext": "{"}, False),
        "open": (SECRET | {"plaintext": json.dumps(ROLE)}, True),
    }
    for name, (value, readable) in values.items():
        (repo / f"{name}.json").write_text(json.dumps(export(worker_role_arn=value)))
        with pytest.raises(ReferenceUnresolved, match="is a secret"):
            resolve(refer(), source("pulumi", file=f"{name}.json"))
        asked = source("pulumi", file=f"{name}.json", sensitive=True)
        if readable:
            assert resolve(refer(), asked).values == (ROLE,)
        else:
            with pytest.raises(ReferenceUnresolved, match="encrypted secret"):
                resolve(refer(), asked)


@pytest.mark.parametrize("deployment", [{}, {"resources": 3}, {"resources": [1, {"type": "x"}]}])
def test_an_export_without_a_stack_is_refused(
    deployment: Any, refer: Refer, source: Make, repo: Path, resolve: Resolve
) -> None:
    (repo / "s.json").write_text(json.dumps({"version": 3, "deployment": deployment}))
    with pytest.raises(ConfigInvalid, match="holds no stack"):
        resolve(refer(), source("pulumi", file="s.json"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", ROLE, "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("version", "outputs", "value", "sensitive", "deployment", "resources", "type"),
                    *("AwsIamRole", "worker", "role_arn", "worker_role_arn", "worker_role_arn.0", *SECRET),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    content=st.dictionaries(st.sampled_from(["version", "outputs", "AwsIamRole", "worker_role_arn"]), JSON)
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("kind", ["outputs", "terraform", "pulumi"])
def test_whatever_a_file_holds_is_a_role_or_explained(
    kind: str, content: Any, refer: Refer, source: Make, repo: Path, resolve: Resolve
) -> None:
    (repo / "f.json").write_text(json.dumps(content))
    try:
        found = resolve(refer(), source(kind, **{"state" if kind == "terraform" else "file": "f.json"}))
    except PlantonError:
        return
    assert found.values == (ROLE,)
