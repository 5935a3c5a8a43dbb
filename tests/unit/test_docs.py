"""The pages say what the code does: their tables, commands, flags and links are held against it."""

from __future__ import annotations

import ast
import contextlib
import inspect
import json
import re
import shlex
import types
import typing
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from botocore import xform_name
from botocore.loaders import Loader
from pydantic import BaseModel, JsonValue

import planton_build
from planton_build import errors
from planton_build.cli import (
    build,
    check_schema,
    console,
    deploy,
    deploy_schema,
    life_schema,
    schema,
    verify_schema,
)
from planton_build.project.config import OPTION_NAMES
from planton_build.project.left_out import LEFT_OUT
from planton_build.runtimes.catalog import GLIBC, runtimes

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
PROGRAMS: dict[str, click.Group] = {"planton-build": build.main, "planton-deploy": deploy.main}
SYSTEMS = {"al2": "Amazon Linux 2", "al2023": "Amazon Linux 2023"}


def page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def rows(text: str, mark: str) -> list[list[str]]:
    """Return the cells of the table below an HTML comment, without its head."""
    lines = text[text.index(f"<!-- {mark}") :].splitlines()[1:]
    table = []
    for line in lines:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    assert len(table) > 2, mark
    return table[2:]


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def without_fences(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


# Tables.


def error_classes() -> list[type[errors.PlantonError]]:
    return [
        one
        for one in vars(errors).values()
        if inspect.isclass(one) and issubclass(one, errors.PlantonError) and one is not errors.PlantonError
    ]


def test_the_table_of_errors_is_that_of_the_code() -> None:
    wanted = [
        [
            f"`{one.code}`",
            str(one.exit_code),
            f"`{one.__name__}`",
            " ".join((inspect.getdoc(one) or "").split()),
        ]
        for one in error_classes()
    ]
    table = rows(page("errors"), "errors")
    assert [row[:4] for row in table] == wanted
    assert all(row[4] for row in table)


def test_the_ranges_of_exit_codes_hold_every_error() -> None:
    ranges = [
        range(int(first), int(last) + 1)
        for first, last in re.findall(r"^\| (\d+) to (\d+) \|", page("ci"), re.MULTILINE)
    ]
    for one in error_classes():
        if one is not errors.SeveralErrors:
            assert any(one.exit_code in known for known in ranges), one
    assert {known[-1] for known in ranges} <= {one.exit_code for one in error_classes()}


def test_every_option_is_described() -> None:
    table = rows(page("configuration"), "options")
    assert [codes(row[0]) for row in table] == [[name.replace("_", "-")] for name in OPTION_NAMES]


def leaves(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    for word, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, f"{name} {word}")
        else:
            yield f"{name} {word}", command


def long_options(command: click.Command) -> set[str]:
    return {
        flag
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for flag in parameter.opts
        if flag.startswith("--")
    }


COMMANDS = {name: command for program, group in PROGRAMS.items() for name, command in leaves(group, program)}


def test_every_flag_is_described_with_its_commands() -> None:
    common = {"--json", "--quiet", "--help"}
    described = {
        (flag, name)
        for row in rows(page("configuration"), "flags")
        for flag in codes(row[0])
        for name in codes(row[1])
    }
    real = {(flag, name) for name, command in COMMANDS.items() for flag in long_options(command) - common}
    assert described == real
    with_output = [command for name, command in COMMANDS.items() if not name.endswith(" completion")]
    assert all({"--json", "--quiet"} <= long_options(command) for command in with_output)


def test_what_is_left_out_by_default_is_listed() -> None:
    text = page("configuration")
    listed = text[text.index("<!-- left out -->") :].split("```gitignore\n")[1].split("```")[0]
    assert listed.strip() == LEFT_OUT.strip()


def test_the_runtimes_and_their_glibc_are_those_of_the_catalog() -> None:
    table = {codes(row[0])[0]: row[1:] for row in rows(page("dependencies"), "glibc")}
    current = [
        row
        for row in runtimes().values()
        if row.family == "python" and row.system != "al1" and not row.experimental
    ]
    assert list(table) == [row.name for row in current]
    for row in current:
        major, minor = GLIBC[row.system]
        wheels = f"`manylinux_{major}_{minor}` and older"
        assert table[row.name] == [SYSTEMS[row.system], f"{major}.{minor}", wheels]


def rule_ids() -> set[str]:
    """Return the ids of rules that stand in the code of the manifest room."""
    found: set[str] = set()
    for module in ("rules", "reader", "nodes", "source"):
        tree = ast.parse((ROOT / "planton_build" / "manifest" / f"{module}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if re.fullmatch(
                    r"(parse|lambda|string|enum|code_source|string_value_or_ref|metadata)\.[a-z_]+",
                    node.value,
                ):
                    found.add(node.value)
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_message_rule":
                first = node.args[0]
                assert isinstance(first, ast.Constant)
                found.add(str(first.value))
    return found | {"required", "lambda.subnets", "lambda.security_groups"}


def test_every_rule_of_a_manifest_is_listed() -> None:
    listed = [rule for row in rows(page("manifests"), "rules") for rule in codes(row[0])]
    assert len(listed) == len(set(listed))
    assert set(listed) == rule_ids()


# Permissions.

NOT_CALLS = {
    "iam": {"PassRole"},
    "lambda": {"InvokeFunction"},
    "s3": {"GetObjectVersion", "ListBucket"},
}
"""Actions of IAM that no call of the API has the name of."""
CALLED_OTHERWISE = {"Invoke": "InvokeFunction"}


def allowed() -> set[tuple[str, str]]:
    """Return the actions of the policies in docs/deploying.md, as (service, action)."""
    text = page("deploying")
    actions: set[str] = set()
    fences = re.compile(r"^```json\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    for policy in fences.findall(text, text.index("## Permissions")):
        for statement in json.loads(policy)["Statement"]:
            some = statement["Action"]
            actions |= {some} if isinstance(some, str) else set(some)
    return {(service, action) for service, _, action in (one.partition(":") for one in actions)}


def calls_of(service: str) -> set[str]:
    """Return the operations of a service that botocore knows."""
    return set(Loader().load_service_model(service, "service-2")["operations"])


def test_an_action_of_the_policies_is_one_that_exists() -> None:
    names = {"elasticfilesystem": "efs"}
    for service, action in allowed():
        if action not in NOT_CALLS.get(service, ()):
            assert action in calls_of(names.get(service, service)), f"{service}:{action}"


def test_the_policies_have_every_call_to_lambda_that_the_code_makes() -> None:
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for room in ("cli", "deploy", "publish")
        for path in sorted((ROOT / "planton_build" / room).rglob("*.py"))
    )
    named = set(re.findall(r"\.([a-z_]+)\b", code))
    made = {CALLED_OTHERWISE.get(one, one) for one in calls_of("lambda") if xform_name(one) in named}
    assert len(made) > 40
    assert made == {action for service, action in allowed() if service == "lambda"}


# JSON.


def fields_of(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, str]]:
    for name, field in model.model_fields.items():
        kind, inner, suffix = described(field.annotation)
        yield f"{path}{name}", kind
        if inner is not None:
            yield from fields_of(inner, f"{path}{name}{suffix}.")


def described(annotation: object) -> tuple[str, type[BaseModel] | None, str]:
    """Return a type in words, the model inside it if there is one, and `[]` for a list of them."""
    words = {str: "string", int: "integer", float: "number", bool: "boolean"}
    if annotation is JsonValue:
        return "any", None, ""
    if isinstance(annotation, types.UnionType):
        (one,) = (part for part in typing.get_args(annotation) if part is not types.NoneType)
        kind, inner, suffix = described(one)
        return f"{kind} or null", inner, suffix
    if typing.get_origin(annotation) is typing.Literal:
        return "string", None, ""
    if typing.get_origin(annotation) is dict:
        return "object", None, ""
    if typing.get_origin(annotation) is list:
        _, inner, _ = described(typing.get_args(annotation)[0])
        return "list", inner, "[]"
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return "object", annotation, ""
    assert isinstance(annotation, type)
    return words[annotation], None, ""


@pytest.mark.parametrize(
    ("model", "within", "base"),
    [
        (schema.BuildOut, "", None),
        (check_schema.ImageOut, "images[].", None),
        (verify_schema.VerifyOut, "", None),
        (deploy_schema.PlanOut, "", None),
        (deploy_schema.ApplyOut, "", deploy_schema.PlanOut),
        (deploy_schema.RollbackOut, "", None),
        (deploy_schema.RoleOut, "", None),
        (deploy_schema.RoleCreateOut, "", deploy_schema.RoleOut),
        (deploy_schema.InvokeOut, "", None),
        (deploy_schema.InvokeLocalOut, "", deploy_schema.InvokeOut),
        (life_schema.StatusOut, "", None),
        (life_schema.VersionsOut, "", None),
        (life_schema.DriftOut, "", None),
        (life_schema.AdoptOut, "", None),
        (life_schema.LogEventOut, "", None),
        (life_schema.PruneOut, "", None),
        (life_schema.PruneDryRunOut, "", life_schema.PruneOut),
        (life_schema.DestroyOut, "", None),
        (schema.ErrorsOut, "", None),
    ],
)
def test_the_fields_of_a_contract_are_listed_with_their_types(
    model: type[BaseModel], within: str, base: type[BaseModel] | None
) -> None:
    """Hold a table against its model; that of an extended contract has what its base does not have."""
    table = rows(page("json"), f"schema: {model.__name__}")
    listed = {codes(row[0])[0]: row[1] for row in table}
    known = dict(fields_of(base)) if base else {}
    assert listed == {f"{within}{name}": kind for name, kind in fields_of(model) if known.get(name) != kind}


def test_no_model_of_the_schema_is_forgotten() -> None:
    models = {
        name
        for module in (schema, check_schema, verify_schema, deploy_schema, life_schema)
        for name, one in vars(module).items()
        if inspect.isclass(one) and issubclass(one, BaseModel) and name[0] != "_"
    }
    marked = set(" ".join(re.findall(r"<!-- schema: ([\w ]+) -->", page("json"))).split())
    assert marked == models - {"BaseModel"}


def test_an_error_has_the_fields_of_its_contract() -> None:
    finding = errors.Finding("some_code", "a message", Path("lambda.yaml"), 1, 2, "a hint", "a.rule")
    assert set(schema.ErrorOut.model_validate(console.finding_json(finding)).model_fields_set) == set(
        schema.ErrorOut.model_fields
    )


# Commands, options and links in the text.


def named_commands(text: str) -> Iterator[str]:
    """Yield every command line of ours: inline code, and lines of fenced blocks."""
    for span in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", without_fences(text)):
        yield from re.findall(r"planton-(?:build|deploy) .*", span.partition("#")[0])
    for fence in re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in fence.splitlines():
            command = re.match(
                r"(?:\$ |- run: | *run: )?\s*(?:[A-Z_]+=\S+ )*(planton-(?:build|deploy) .*)", line.strip()
            )
            if command and not re.match(r"planton-\w+\s{2}", command[1]):
                yield command[1]


def parse(command: str) -> None:
    """Parse a command line with click, and run nothing."""
    text = re.split(r"\s#|\s2?>|&&|;|\||\)", command)[0].replace("…", "x")
    program, *arguments = shlex.split(text)
    current: click.Command = PROGRAMS[program]
    context: click.Context | None = None
    name: str | None = program
    while isinstance(current, click.Group):
        if not arguments or arguments[0] in ("--help", "--version"):
            arguments = [current.default] if isinstance(current, build.DefaultCommandGroup) else []
        if isinstance(current, build.DefaultCommandGroup) and arguments[0] not in current.commands:
            arguments = [current.default, *arguments]
        assert arguments, f"{command}: which command?"
        context = click.Context(current, info_name=name, parent=context)
        name, found, arguments = current.resolve_command(context, arguments)
        assert found is not None
        current = found
    # A command may be named without what it works on.
    with contextlib.suppress(click.MissingParameter):
        current.make_context(name, arguments, parent=context)


MENTIONED = sorted(
    {(one.name, command) for one in PAGES for command in named_commands(one.read_text(encoding="utf-8"))}
)


@pytest.mark.parametrize(("where", "command"), MENTIONED)
def test_a_command_in_the_text_is_one_that_exists(where: str, command: str) -> None:
    try:
        parse(command)
    except click.ClickException as error:
        pytest.fail(f"{where}: {command}: {error.format_message()}")


@pytest.mark.parametrize(
    "wrong",
    [
        "planton-build --no-such-flag",
        "planton-deploy no-such-command --also",
        "planton-build lock --bucket x",
    ],
)
def test_a_command_that_does_not_exist_would_be_found(wrong: str) -> None:
    with pytest.raises(click.ClickException):
        parse(wrong)


def messages() -> list[tuple[str, str]]:
    """Return every command line of ours that a message of the code names in backquotes, and where."""
    found = []
    for path in sorted((ROOT / "planton_build").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if ast.get_docstring(tree) is not None:
            del tree.body[0]  # for those who read the code: it may name a group of commands
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found += [
                    (path.name, command)
                    for command in re.findall(r"`(planton-(?:build|deploy)(?: [^`\n]*)?)`", node.value)
                ]
    return sorted(set(found))


@pytest.mark.parametrize(("where", "command"), messages())
def test_a_command_in_a_message_is_one_that_exists(where: str, command: str) -> None:
    try:
        parse(command)
    except click.ClickException as error:
        pytest.fail(f"{where}: {command}: {error.format_message()}")


FOREIGN_FLAGS = {"--require-hashes", "--target", "--wheel", "--stage", "--peers"}
"""Flags of pip, uv, git and the benchmarks that the pages mention."""


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_flag_in_the_text_is_one_that_exists(path: Path) -> None:
    known = {flag for command in COMMANDS.values() for flag in long_options(command)}
    known |= {"--help", "--version"} | FOREIGN_FLAGS
    named = {
        flag
        for span in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", without_fences(path.read_text(encoding="utf-8")))
        for flag in re.findall(r"(?:^|\s)(--[a-z][a-z-]*)", span)
    }
    assert named <= known


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, by GitHub's rule."""
    heads = re.findall(r"^#+ (.+)$", without_fences(path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", [*PAGES, ROOT / "ARCHITECTURE.md"], ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+://", target):
            continue
        place, _, anchor = target.partition("#")
        file = (path.parent / place).resolve() if place else path
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_hold_nothing_of_the_machine_they_were_written_on(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w.])/(?:home|root|work|tmp|Users)/", text)


def test_the_version_is_in_the_changelog() -> None:
    assert f"## {planton_build.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
