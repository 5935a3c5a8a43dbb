"""`planton-deploy role`: print the least that a function's role must allow, or make that role."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from planton_build.cli.commands import (
    aws_options,
    output_options,
    paths_argument,
    show_warnings,
    with_console,
)
from planton_build.cli.console import Console, printable
from planton_build.errors import ConfigInvalid, CredentialsMissing, DeployRefused, NoFunctionFound
from planton_build.events import Note

if TYPE_CHECKING:
    from planton_build.cli.aws import Accounts
    from planton_build.deploy.desired import DesiredFunction
    from planton_build.deploy.role.make import MadeRole, WantedRole
    from planton_build.manifest.document import Manifest
    from planton_build.publish.aws import Aws


@dataclass(frozen=True, slots=True)
class _Function:
    """A function, the role it should have, and where that is."""

    manifest: Manifest
    aws: Aws
    account: str
    region: str
    wanted: WantedRole


@click.command(
    "role",
    short_help="Print, or create, a function's least-privilege execution role.",
    epilog="Example: planton-deploy role functions/render --create",
)
@paths_argument
@click.option("--create", is_flag=True, help="Create the role, or update its policy; print its ARN.")
@click.option("--name", default="", help="The role's name, in place of the manifest's or NAME-role.")
@aws_options
@output_options
@with_console
def role(console: Console, paths: tuple[Path, ...], create: bool, name: str, **aws: Any) -> None:
    """Print the policy that the role of every function below PATH needs, and no more, as JSON.

    The reason of each statement goes to stderr. What the function's own code does in AWS is added from
    `[deploy.role] statements`. AWS is asked for the account only, and only when the manifest's role does not
    tell it.

    With --create, the role is created, or the inline policy `planton-NAME` in it updated. Nothing else in a
    role that exists is touched.
    """
    from planton_build.cli.aws import Accounts

    functions = _functions(console, paths, Accounts(**aws), name)
    if create:
        _create(console, functions)
    else:
        _print(console, functions)


def _functions(console: Console, paths: Sequence[Path], accounts: Accounts, name: str) -> list[_Function]:
    from planton_build.manifest.load import read_manifests
    from planton_build.parallel import each
    from planton_build.project.discovery import find_manifests

    found = each(find_manifests(list(paths) or [Path()]), read_manifests, jobs=1)
    manifests = [manifest for some in found for manifest in some]
    if not manifests:
        raise NoFunctionFound("no AwsLambda manifest is in these files", hint="check `kind:` and the path")
    if name and len(manifests) > 1:
        raise ConfigInvalid(
            f"--name names one role, and {len(manifests)} functions are below the path",
            hint="name one manifest; each function should have a role of its own",
        )
    show_warnings(console, manifests)
    return each(manifests, lambda manifest: _function(manifest, accounts, name, paths), jobs=1)


def _function(manifest: Manifest, accounts: Accounts, name: str, paths: Sequence[Path]) -> _Function:
    from planton_build.deploy.role.wanted import account_in, wanted_role

    aws = accounts.of(manifest)
    region = aws.region(manifest.model.spec.region or None)
    account = account_in(manifest) or _account(aws, region)
    desired = _configured(manifest, aws, region, paths)
    return _Function(
        manifest, aws, account, region, wanted_role(manifest, desired, account, region, name=name)
    )


def _configured(manifest: Manifest, aws: Aws, region: str, paths: Sequence[Path]) -> DesiredFunction:
    """Return what decides a function's rights; references are looked up only where a value counts."""
    from planton_build.deploy.role.wanted import configured
    from planton_build.settings.read import settings_for

    settings = settings_for(manifest)
    key = manifest.model.spec.kms_key_arn
    if key is None or key.value_from is None:
        return configured(manifest, settings)
    from planton_build.deploy.references.resolver import References

    found = References(settings.references, aws=lambda: (aws, region), manifests=tuple(paths))
    return configured(manifest, settings, found)


def _account(aws: Aws, region: str) -> str:
    """Return the account that the credentials are of."""
    from planton_build.publish.aws_errors import explained

    with explained("asking AWS whose credentials these are", otherwise=CredentialsMissing):
        return str(aws.client("sts", region).get_caller_identity().get("Account") or "")


def _print(console: Console, functions: Sequence[_Function]) -> None:
    if console.as_json or len(functions) > 1:
        console.json({"functions": [_json(one) for one in functions]})
    else:
        console.result(functions[0].wanted.policy.text)
    if console.as_json:
        return
    for one in functions:
        for statement in one.wanted.policy.statements:
            _say(console, f"{one.wanted.function}: {statement.sid}: {statement.reason}")
    _notes(console, functions)


def _create(console: Console, functions: Sequence[_Function]) -> None:
    """Make the roles one after another: several functions may have one."""
    from planton_build.deploy.role.make import make_role
    from planton_build.parallel import each

    each(functions, _check_account, jobs=1)
    made = each(functions, lambda one: make_role(one.wanted, one.aws, one.region), jobs=1)
    if console.as_json:
        console.json(
            {
                "functions": [
                    _json(one) | {"role_arn": done.arn, "action": done.action, "calls": done.calls}
                    for one, done in zip(functions, made, strict=True)
                ]
            }
        )
        return
    for one, done in zip(functions, made, strict=True):
        _say(console, f"{one.wanted.function}: {done.action}")
        _difference(console, done)
        console.result(done.arn)
    _notes(console, functions)


def _check_account(one: _Function) -> None:
    """Refuse to make a role in another account than that of the function."""
    found = _account(one.aws, one.region)
    if found != one.account:
        position = one.manifest.position("spec", "role_arn")
        raise DeployRefused(
            f"the role of {one.wanted.function} is of the account {one.account}, and the credentials are of "
            f"{found or 'no account'}",
            hint="choose the credentials with --profile, or correct `spec.roleArn`",
            file=one.manifest.path,
            line=position.line if position else None,
            column=position.column if position else None,
        )


def _difference(console: Console, done: MadeRole) -> None:
    for line in done.difference if done.action == "updated" else ():
        style = {"+": "green", "-": "red"}.get(line[:1])
        text = printable(line)
        _say(console, console.styled(text, style, console.err) if style else text)


def _say(console: Console, text: str) -> None:
    if not console.quiet:
        console.log(f"{text}\n")


def _notes(console: Console, functions: Sequence[_Function]) -> None:
    for one in functions:
        for note in one.wanted.policy.notes:
            console.listen(Note(one.wanted.function, note, "warning"))


def _json(one: _Function) -> dict[str, object]:
    policy = one.wanted.policy
    return {
        "function_name": one.wanted.function,
        "account": one.account,
        "region": one.region,
        "role_name": one.wanted.name,
        "policy_name": one.wanted.policy_name,
        "policy": policy.document,
        "trust_policy": policy.trust,
        "reasons": {statement.sid: statement.reason for statement in policy.statements},
        "notes": list(policy.notes),
    }
