from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from planton_build.deploy.desired import desired_state
from planton_build.deploy.references.resolver import References, Resolved
from planton_build.deploy.references.shapes import SHAPES, misfit
from planton_build.errors import AwsUnreachable, ConfigInvalid, ReferenceUnresolved
from planton_build.manifest.document import Manifest
from planton_build.publish.aws import Aws, AwsSettings
from planton_build.settings.model import ReferenceSource
from planton_build.settings.read import settings_for

Refer = Callable[..., Manifest]
Resolve = Callable[..., Resolved]
Make = Callable[..., Any]
ROLE = "arn:aws:iam::123456789012:role/worker"


def test_the_default_kind_and_path_are_assumed(refer: Refer, resource: Make, resolve: Resolve) -> None:
    resource()
    assert resolve(refer()) == Resolved("role_arn", (ROLE,), "roles/role.yaml:7 status.outputs.role_arn")


@pytest.mark.parametrize("kind", ["AwsIamRole", "208"])
def test_kinds_are_names_or_numbers(kind: str, refer: Refer, resource: Make, resolve: Resolve) -> None:
    resource(kind="aws-iam_role")
    assert resolve(refer(roleArn=f"{{valueFrom: {{kind: {kind}, name: worker}}}}")).values == (ROLE,)


def test_a_default_path_is_not_that_of_another_kind(refer: Refer, resolve: Resolve) -> None:
    with pytest.raises(ReferenceUnresolved, match="without a field path"):
        resolve(refer(roleArn="{valueFrom: {kind: AwsLambda, name: other}}"))


def test_a_field_without_a_default_kind_needs_one(refer: Refer, resolve: Resolve) -> None:
    manifest = refer(layerArns="[{valueFrom: {name: fonts, fieldPath: status.outputs.x}}]")
    with pytest.raises(ReferenceUnresolved, match="without a kind"):
        resolve(manifest, field="layer_arns", index=0)


@pytest.mark.parametrize("dialect", ["aws.project-planton.org/v1", "aws.openmcf.org/v1"])
def test_subnets_of_older_dialects_name_their_path(dialect: str, refer: Refer, resolve: Resolve) -> None:
    manifest = refer(dialect=dialect, subnets="[{valueFrom: {name: net}}]")
    with pytest.raises(ReferenceUnresolved, match="without a field path"):
        resolve(manifest, field="subnets", index=0)


def test_a_list_takes_all_items(refer: Refer, resource: Make, resolve: Resolve) -> None:
    resource("privateSubnets: [{id: subnet-0a}, {id: subnet-0b}]", kind="AwsVpc", name="net")
    path = '"status.outputs.private_subnets.[*].id"'
    manifest = refer(
        subnets=f"[{{value: subnet-1}}, {{valueFrom: {{kind: AwsVpc, name: net, fieldPath: {path}}}}}]"
    )
    found = resolve(manifest, field="subnets", index=1)
    assert (found.field, found.values) == ("subnets[1]", ("subnet-0a", "subnet-0b"))


def test_a_single_field_takes_no_list(refer: Refer, resource: Make, resolve: Resolve) -> None:
    resource(f"role_arns: [{ROLE}]")
    manifest = refer(roleArn='{valueFrom: {name: worker, fieldPath: "status.outputs.role_arns.[*]"}}')
    with pytest.raises(ReferenceUnresolved, match="takes one value"):
        resolve(manifest)


def test_a_wrong_path_is_explained(refer: Refer, resolve: Resolve) -> None:
    with pytest.raises(ReferenceUnresolved, match="field path that has 'a b'"):
        resolve(refer(roleArn="{valueFrom: {name: worker, fieldPath: status.a b}}"))


def test_a_sibling_function_may_be_meant_but_not_the_function_itself(
    refer: Refer, resource: Make, resolve: Resolve
) -> None:
    path = "fieldPath: status.outputs.role_arn"
    resource(kind="AwsLambda", name="sibling")
    found = resolve(refer(roleArn=f"{{valueFrom: {{kind: AwsLambda, name: sibling, {path}}}}}"))
    assert found.values == (ROLE,)
    with pytest.raises(ReferenceUnresolved, match="its own manifest"):
        resolve(refer(roleArn=f"{{valueFrom: {{kind: AwsLambda, name: render, {path}}}}}"))


def test_the_environment_is_that_of_the_manifest(refer: Refer, resource: Make, resolve: Resolve) -> None:
    resource(env="prod", file="prod.yaml")
    resource(f"role_arn: {ROLE}-staging", env="staging", file="staging.yaml")
    assert resolve(refer(env="staging")).values == (f"{ROLE}-staging",)
    assert resolve(refer(env="staging", roleArn="{valueFrom: {name: worker, env: prod}}")).values == (ROLE,)
    with pytest.raises(ReferenceUnresolved, match="only for the environment prod, staging"):
        resolve(refer())
    with pytest.raises(ReferenceUnresolved, match="'worker' in dev"):
        resolve(refer(env="dev"))


def test_what_is_not_found_says_where_it_was_looked_for(
    refer: Refer, resource: Make, source: Make, resolve: Resolve, repo: Path
) -> None:
    resource(name="another")
    (repo / "outputs.json").write_text("{}")
    manifest = refer(env="prod")
    sources = [
        source("manifests"),
        source("outputs", file="outputs.json"),
        source("ssm", kinds=("AwsVpc",), name="/{name}"),
        source("pulumi", env="dev", file="{name}.json"),
    ]
    with pytest.raises(ReferenceUnresolved) as caught:
        resolve(manifest, *sources)
    (finding,) = caught.value.findings
    assert (finding.file, finding.line, finding.column) == (manifest.path, 6, 12)
    assert finding.message == caught.value.message
    assert caught.value.message == (
        "spec.role_arn refers to status.outputs.role_arn of AwsIamRole 'worker' in prod, whose value is not "
        "known; looked in: manifests (planton.toml:7): no document of it in 2 YAML files of the repository "
        "repo (of this kind: another); outputs (planton.toml:7): outputs.json has no AwsIamRole 'worker' in "
        "prod; ssm (planton.toml:7): it is not for AwsIamRole; pulumi (planton.toml:7): it is for the "
        "environment dev"
    )
    assert finding.hint and "[[deploy.references]]" in finding.hint


def test_the_first_source_that_knows_wins(
    refer: Refer, resource: Make, source: Make, resolve: Resolve, repo: Path
) -> None:
    resource()
    (repo / "outputs.json").write_text(f'{{"AwsIamRole": {{"worker": {{"role_arn": "{ROLE}-2"}}}}}}')
    files = source("outputs", file="outputs.json"), source("manifests")
    assert resolve(refer(), *files).values == (f"{ROLE}-2",)
    assert resolve(refer(), *reversed(files)).values == (ROLE,)


def test_a_value_of_another_shape_is_refused(refer: Refer, resource: Make, resolve: Resolve) -> None:
    resource("role_arn: arn:aws:s3:::bucket/secret-looking")
    with pytest.raises(ReferenceUnresolved, match="is not the ARN of a role, such as"):
        resolve(refer())


@pytest.mark.parametrize("field", SHAPES)
def test_each_field_takes_its_example_and_no_others(field: str) -> None:
    for other, shape in SHAPES.items():
        assert (misfit(field, shape.example, secret=False) is None) == (field == other)


def test_values_that_may_be_secret_are_not_shown() -> None:
    assert "hunter2" not in str(misfit("role_arn", "hunter2", secret=False))
    assert "subnet-0a1b2c3d" in str(misfit("role_arn", "subnet-0a1b2c3d", secret=False))
    assert "subnet-0a1b2c3d" not in str(misfit("role_arn", "subnet-0a1b2c3d", secret=True))


# Options.


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("vault", {}, "there is no such type"),
        ("manifests", {"path": "x"}, "'path' is not an option of it"),
        ("manifests", {"paths": []}, "the option paths must be a list of texts"),
        ("outputs", {}, "the option file is missing"),
        ("outputs", {"file": 3}, "the option file must be text"),
        ("outputs", {"file": "{nmae}.json"}, "the option file has {nmae}"),
        ("outputs", {"file": "{name.json"}, "a brace without its other half"),
        ("ssm", {"name": "/x/{name}", "decrypt": "yes"}, "the option decrypt must be true or false"),
        ("ssm", {"name": "/x/{field}"}, "no option has {name}"),
        ("ssm", {"name": "/{name}", "region": "nowhere"}, "the option region must be"),
        ("cloudformation", {}, "either `stack` or `export`"),
        ("cloudformation", {"stack": "{name}", "export": "{name}"}, "either `stack` or `export`"),
        ("cloudformation", {"stack": "network"}, "the option output is missing"),
        ("cloudformation", {"export": "{name}", "output": "x"}, "goes with `stack`"),
        ("terraform", {"state": "s3://bucket"}, "must name a bucket and a key"),
        ("terraform", {}, "the option state is missing"),
        ("pulumi", {"file": "stack.json", "output": "role_arn"}, "no option has {name}"),
    ],
)
def test_wrong_options_are_refused_with_their_place(
    kind: str, options: dict[str, Any], message: str, source: Make, repo: Path
) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        References([source(kind, **options)], aws=None)
    (finding,) = caught.value.findings
    assert message in finding.message
    assert (finding.file, finding.line) == (repo / "planton.toml", 7)


def test_all_wrong_sources_are_told_at_once(source: Make) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        References([source("vault"), source("outputs", fiel="x")], aws=None)
    assert len(caught.value.findings) == 3
    assert any(finding.hint == "did you mean `file`?" for finding in caught.value.findings)


def test_a_limited_source_may_name_one_resource(source: Make) -> None:
    References([source("ssm", kinds=("AwsVpc",), name="/network/{field}")], aws=None)


def test_a_source_without_a_folder_is_relative_to_its_file(tmp_path: Path) -> None:
    origin = f"{tmp_path / 'planton.toml'}:3"
    with pytest.raises(ConfigInvalid) as caught:
        References([ReferenceSource("outputs", origin=origin)], aws=None)
    assert (caught.value.findings[0].file, caught.value.findings[0].line) == (tmp_path / "planton.toml", 3)


# AWS.


def test_whether_aws_is_needed_is_known_beforehand(
    refer: Refer, resource: Make, source: Make, repo: Path
) -> None:
    ssm, manifests = source("ssm", name="/{name}/{field}"), source("manifests")
    needs = lambda *sources, **fields: References(sources, aws=None).needs_aws(refer(**fields))  # noqa: E731
    assert needs(ssm)
    assert needs(manifests, ssm)
    assert not needs(manifests)
    assert not needs(ssm, roleArn=f"{{value: '{ROLE}'}}")
    resource()
    assert not needs(manifests, ssm)
    assert needs(ssm, manifests)
    assert not needs(source("ssm", kinds=("AwsVpc",), name="/x"), manifests)
    assert needs(source("terraform", state="s3://b/{name}"))
    assert not needs(source("terraform", state="{name}.tfstate"))
    subnets = "[{value: subnet-1}, {valueFrom: {name: net}}]"
    assert needs(manifests, ssm, subnets=subnets)


def test_aws_is_opened_once_and_not_for_what_files_say(refer: Refer, resource: Make, source: Make) -> None:
    opened: list[int] = []

    def open_aws() -> tuple[Aws, str]:
        opened.append(1)
        return Aws(AwsSettings("eu-west-1", None, "http://127.0.0.1:9", "testing", "testing")), "eu-west-1"

    resource()
    manifest = refer()
    ref = manifest.model.spec.role_arn.value_from  # type: ignore[union-attr]
    references = References([source("manifests"), source("ssm", name="/{name}")], aws=open_aws)
    references.resolve(manifest, "role_arn", None, ref)  # type: ignore[arg-type]
    assert not opened


def test_aws_that_must_not_be_asked_is_not_skipped(
    refer: Refer, resource: Make, source: Make, resolve: Resolve
) -> None:
    resource()
    with pytest.raises(ReferenceUnresolved, match="AWS would have to be asked"):
        resolve(refer(), source("ssm", name="/{name}"), source("manifests"))


def test_aws_that_does_not_answer_is_no_missing_value(
    refer: Refer, resource: Make, source: Make, resolve: Resolve
) -> None:
    resource()
    manifest = refer()
    aws = Aws(AwsSettings("eu-west-1", None, "http://127.0.0.1:9", "testing", "testing"))
    with pytest.raises(
        AwsUnreachable, match=r"^spec.role_arn: AWS cannot be reached while reading the parameter"
    ) as e:
        resolve(manifest, source("ssm", name="/{name}"), source("manifests"), aws=lambda: (aws, "eu-west-1"))
    assert (e.value.findings[0].file, e.value.findings[0].line) == (manifest.path, 6)


def test_many_threads_read_each_thing_once(
    refer: Refer, resource: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from planton_build.deploy.references import manifests

    resource()
    read: list[Path] = []
    lock = threading.Lock()
    real = manifests.bytes_of

    def counted(file: Path, limit: int) -> bytes:
        with lock:
            read.append(file)
        return real(file, limit)

    monkeypatch.setattr(manifests, "bytes_of", counted)
    manifest = refer()
    ref = manifest.model.spec.role_arn.value_from  # type: ignore[union-attr]
    references = References([], aws=None)
    with ThreadPoolExecutor(8) as pool:
        work = [pool.submit(references.resolve, manifest, "role_arn", None, ref) for _ in range(40)]  # type: ignore[arg-type]
        assert {one.result().values for one in work} == {(ROLE,)}
    assert len(read) == 2


# From the configuration to the function.


def test_tables_of_a_configuration_file_lead_to_the_desired_function(refer: Refer, repo: Path) -> None:
    (repo / "build").mkdir()
    (repo / "build" / "prod.json").write_text(f'{{"AwsIamRole": {{"worker": {{"roleArn": "{ROLE}"}}}}}}')
    (repo / "planton.toml").write_text(
        '[[deploy.references]]\ntype = "manifests"\npaths = ["*.yaml"]\n\n'
        '[[deploy.references]]\ntype = "outputs"\nfile = "build/{env}.json"\n'
    )
    manifest = refer(env="prod", s3="{bucket: artifacts, key: render/x.zip}")
    settings = settings_for(manifest)
    desired = desired_state(manifest, settings, References(settings.references, aws=None))
    assert desired.role == ROLE
    assert desired.resolved == (Resolved("role_arn", (ROLE,), "build/prod.json AwsIamRole/worker/role_arn"),)


def test_a_mistake_in_a_table_has_its_line(refer: Refer, repo: Path) -> None:
    (repo / "planton.toml").write_text('\n[[deploy.references]]\ntype = "outputs"\nfiel = "x"\n')
    with pytest.raises(ConfigInvalid) as caught:
        References(settings_for(refer()).references, aws=None)
    assert {finding.file for finding in caught.value.findings} == {repo / "planton.toml"}
    assert {finding.line for finding in caught.value.findings} <= {2, 3}


@pytest.mark.parametrize("ref", [r'name: "wor\eker"', "name: worker, env: " + "x" * 300])
def test_names_that_cannot_be_shown_are_refused(ref: str, refer: Refer, resolve: Resolve) -> None:
    with pytest.raises(ReferenceUnresolved, match="not printable"):
        resolve(refer(roleArn=f"{{valueFrom: {{{ref}}}}}"))


def test_names_that_others_wrote_are_shown_escaped(refer: Refer, resource: Make, resolve: Resolve) -> None:
    resource(name=r'"a\e[31mb"')
    with pytest.raises(ReferenceUnresolved) as caught:
        resolve(refer())
    assert r"a\x1b[31mb" in caught.value.message
    assert caught.value.message.isprintable()
