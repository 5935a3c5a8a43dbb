"""Which deployed functions a command is about: those of manifests below a path, or some by their names."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from planton_build.cli.planning import inputs_for, manifests_below
from planton_build.errors import FunctionUnknown, NoFunctionFound, PlantonError

if TYPE_CHECKING:
    from planton_build.cli.aws import Accounts
    from planton_build.deploy.functions import Deployment
    from planton_build.deploy.life.status import PlanOf
    from planton_build.deploy.life.target import Target
    from planton_build.manifest.document import Manifest
    from planton_build.publish.aws import Aws

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_ARN = re.compile(
    r"arn:aws[a-zA-Z-]*:lambda:(?P<region>[a-z0-9-]+):\d{12}:function:(?P<name>[a-zA-Z0-9_-]{1,64})"
)

Command = TypeVar("Command", bound=Callable[..., Any])


def functions_argument(command: Command) -> Command:
    """Add `[PATH|NAME]...`: manifests, folders, or names of functions; the current folder by default."""
    argument = click.argument("functions", nargs=-1, metavar="[PATH|NAME]...", required=False)
    return argument(command)


Found = TypeVar("Found")


def of_deployed(
    targets: Sequence[Target], work: Callable[[Target], Found], *, jobs: int
) -> list[Found | None]:
    """Apply `work` to all functions, side by side; None stands for one that is not deployed.

    Raises FunctionUnknown when that is so of all of them, and what `work` raises.
    """
    from planton_build.parallel import each

    def attempt(target: Target) -> tuple[Found | None, FunctionUnknown | None]:
        try:
            return work(target), None
        except FunctionUnknown as error:
            return None, error

    outcomes = each(targets, attempt, jobs=jobs)
    unknown = [error for _, error in outcomes if error is not None]
    if unknown and len(unknown) == len(outcomes):
        raise unknown[0]
    return [found for found, _ in outcomes]


class Chosen:
    """The functions that a command was given, each with its AWS; none until `find` was called."""

    def __init__(self, *, local: bool, region: str | None, profile: str | None) -> None:
        from planton_build.cli.aws import Accounts

        self.accounts: Accounts = Accounts(local=local, region=region, profile=profile)
        self._region = region
        self._profile = profile
        self._by_name: Aws | None = None
        self.targets: list[Target] = []

    def find(self, functions: Sequence[str]) -> Chosen:
        """Look for paths, names and ARNs; without any, for what is below the current folder.

        A name is that of a manifest below the current folder, if one fits (and is of --region, if given);
        otherwise it is looked for in AWS without one. A path goes before a name. Raises NoFunctionFound, and
        what reading manifests raises.
        """
        self.targets = self._found(functions)
        return self

    @property
    def manifests(self) -> list[Manifest]:
        """Return the manifests of the functions that have one."""
        return [target.manifest for target in self.targets if target.manifest is not None]

    def plan_of(self) -> PlanOf:
        """Return what plans one function. Raises ConfigInvalid for settings that are wrong."""
        from planton_build.deploy.functions import plan_all

        # No version is published here, so nothing has to be asked of git.
        inputs = replace(
            inputs_for(self.manifests, self.accounts, os.environ), record_of=lambda _manifest: ""
        )
        return lambda manifest: plan_all([manifest], self.accounts.of, inputs, jobs=1)[0].plan

    def deployments(self) -> list[Deployment]:
        """Plan every function. Raises NoFunctionFound for one that was only named, and as `plan_all`."""
        from planton_build.deploy.functions import plan_all
        from planton_build.manifest.load import require_deployable
        from planton_build.parallel import each

        nameless = [target.name for target in self.targets if target.manifest is None]
        if nameless:
            raise NoFunctionFound(
                f"no manifest describes {', '.join(nameless)}",
                hint="name the folder with its manifest; `planton-deploy adopt` writes one",
            )
        each(self.manifests, require_deployable, jobs=1)
        inputs = replace(
            inputs_for(self.manifests, self.accounts, os.environ), record_of=lambda _manifest: ""
        )
        return plan_all(self.manifests, self.accounts.of, inputs)

    def named(self, name: str, region: str | None = None) -> Target:
        """Return a function that no manifest describes, in the account of the credentials."""
        from planton_build.deploy.life.target import Target

        aws = self._unmanaged()
        return Target(name, aws.region(region or self._region), aws)

    def _unmanaged(self) -> Aws:
        if self._by_name is None:
            from planton_build.publish.aws import Aws, AwsSettings

            local = self.accounts.local
            if local is None:
                settings = AwsSettings(region=self._region, profile=self._profile)
            else:
                from planton_build.local.server import DEFAULT_ACCOUNT

                key, secret = local.credentials(DEFAULT_ACCOUNT)
                settings = AwsSettings(self._region or local.region, None, local.endpoint, key, secret)
            self._by_name = Aws(settings)
        return self._by_name

    def _found(self, functions: Sequence[str]) -> list[Target]:
        paths = [Path(one) for one in functions if _is_path(one)]
        manifests = manifests_below(paths) if paths or not functions else []
        targets = [self._of(manifest) for manifest in manifests]
        here: list[Manifest] | None = None
        for one in functions:
            if _is_path(one):
                continue
            if (arn := _ARN.fullmatch(one)) is not None:
                targets.append(self.named(arn["name"], arn["region"]))
                continue
            here = _manifests_here() if here is None else here
            known = [manifest for manifest in here if self._is(manifest, one)]
            targets += [self._of(manifest) for manifest in known] or [self.named(one)]
        distinct = {(id(target.aws), target.region, target.name): target for target in reversed(targets)}
        return list(reversed(distinct.values()))

    def _is(self, manifest: Manifest, name: str) -> bool:
        """Tell whether a manifest of the current folder describes the function that was named."""
        spec = manifest.model.spec
        return spec.function_name == name and self._region in (None, spec.region or self._region)

    def _of(self, manifest: Manifest) -> Target:
        from planton_build.deploy.life.target import Target

        aws, spec = self.accounts.of(manifest), manifest.model.spec
        return Target(spec.function_name, aws.region(spec.region or None), aws, manifest)


def _is_path(argument: str) -> bool:
    """Tell whether an argument is a path: one that exists, or could be no name of a function."""
    return Path(argument).exists() or not (_NAME.fullmatch(argument) or _ARN.fullmatch(argument))


def _manifests_here() -> list[Manifest]:
    """Read the manifests below the current folder that can be read: a name may be of any of them."""
    from planton_build.manifest.load import read_manifests
    from planton_build.project.discovery import find_manifests

    found: list[Manifest] = []
    try:
        for path in find_manifests([Path()]):
            try:
                found += read_manifests(path)
            except PlantonError:
                continue  # somebody else's mistake: the function was only named
    except PlantonError:
        return []
    return found
