"""What every command of `planton-deploy` begins with: manifests, their settings, their references, a plan."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from planton_build.cli.commands import show_warnings
from planton_build.cli.console import Console
from planton_build.errors import CredentialsMissing, NoFunctionFound, PlantonError, SeveralErrors

if TYPE_CHECKING:
    from planton_build.cli.aws import Accounts
    from planton_build.deploy.functions import Deployment, Inputs
    from planton_build.deploy.references.resolver import References
    from planton_build.manifest.document import Manifest
    from planton_build.publish.aws import Aws
    from planton_build.settings.model import DeploySettings, ReferenceSource

_ACTORS = ("GITHUB_ACTOR", "GITLAB_USER_LOGIN", "BUILDKITE_BUILD_CREATOR", "CIRCLE_USERNAME", "BUILD_USER_ID")
"""The variables in which CI systems say for whom a job runs."""


def manifests_below(paths: Sequence[Path], *, deployable: bool = False) -> list[Manifest]:
    """Read every manifest below some paths, all errors at once.

    With `deployable`, one whose code source is missing is an error too. Raises NoFunctionFound when there is
    none.
    """
    from planton_build.manifest.load import read_manifests, require_deployable
    from planton_build.project.discovery import find_manifests

    manifests: list[Manifest] = []
    errors: list[PlantonError] = []
    for path in find_manifests(list(paths) or [Path()]):
        try:
            found = read_manifests(path)
            for manifest in found if deployable else ():
                require_deployable(manifest)
            manifests += found
        except PlantonError as error:
            errors.append(error)
    if errors:
        raise errors[0] if len(errors) == 1 else SeveralErrors(errors)
    if not manifests:
        raise NoFunctionFound("no AwsLambda manifest is in these files", hint="check `kind:` and the path")
    return manifests


def planned(console: Console, paths: Sequence[Path], accounts: Accounts) -> list[Deployment]:
    """Plan every function below some paths; a local AWS is given what an account would have."""
    from planton_build.deploy.functions import plan_all

    manifests = manifests_below(paths, deployable=True)
    show_warnings(console, manifests)
    inputs = inputs_for(manifests, accounts, os.environ)
    ready(manifests, accounts)
    return plan_all(manifests, accounts.of, inputs)


def ready(manifests: Sequence[Manifest], accounts: Accounts) -> None:
    """Give a local AWS what an account would have: buckets, roles, layers; and see that code is there."""
    buckets = [(manifest, manifest.model.spec.s3) for manifest in manifests]
    accounts.prepare([(manifest, code.bucket if code else None) for manifest, code in buckets])
    accounts.require_code(manifests)


def inputs_for(manifests: Sequence[Manifest], accounts: Accounts, environment: Mapping[str, str]) -> Inputs:
    """Return what plans are made of besides manifests. Raises every mistake in a configuration."""
    from planton_build.deploy.functions import Inputs
    from planton_build.deploy.life.record import build_record_for, render
    from planton_build.parallel import each
    from planton_build.project.layers import ConfigFiles
    from planton_build.settings.read import settings_for

    files = ConfigFiles()
    read = each(manifests, lambda manifest: settings_for(manifest, files=files), jobs=1)
    # With the manifests themselves: another one may get the id of one that is gone.
    settings = {id(one): (found, one) for one, found in zip(manifests, read, strict=True)}
    now, who = datetime.now(UTC), deployer(environment)
    places = _Sources(manifests, accounts)
    return Inputs(
        settings_of=lambda manifest: settings[id(manifest)][0],
        record_of=lambda manifest: render(build_record_for(manifest, time=now, who=who)),
        references_of=lambda manifest: places.of(manifest, settings[id(manifest)][0]),
    )


def deployer(environment: Mapping[str, str]) -> str:
    """Return for whom this runs: what the CI system says, or the login name; "" when neither is known."""
    for name in _ACTORS:
        if found := environment.get(name):
            return found
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


class _Sources:
    """The places where references are looked up: read once for all functions that share them."""

    def __init__(self, manifests: Sequence[Manifest], accounts: Accounts) -> None:
        self._paths = [manifest.path for manifest in manifests]
        self._accounts = accounts
        self._known: list[tuple[Aws, tuple[ReferenceSource, ...], References]] = []
        self._chosen: dict[int, References] = {}

    def of(self, manifest: Manifest, settings: DeploySettings) -> References:
        """Return where the references of a manifest are looked up: always in the same place."""
        if id(manifest) not in self._chosen:
            self._chosen[id(manifest)] = self._choose(self._accounts.of(manifest), settings.references)
        return self._chosen[id(manifest)]

    def _choose(self, aws: Aws, sources: tuple[ReferenceSource, ...]) -> References:
        from planton_build.deploy.references.resolver import References

        for one, others, known in self._known:
            if one is aws and others == sources:
                return known
        made = References(sources, aws=lambda: (aws, _region(aws)), manifests=self._paths)
        self._known.append((aws, sources, made))
        return made


def _region(aws: Aws) -> str:
    """Return the session's region, "" when it has none: functions that name theirs can do without."""
    try:
        return aws.region()
    except CredentialsMissing:
        return ""
