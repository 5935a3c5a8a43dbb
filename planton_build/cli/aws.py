"""Which AWS a command speaks to: the SDK's own chain, or the embedded one of `--local`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from planton_build.cli.commands import state_folder
from planton_build.errors import PlantonError
from planton_build.publish.aws import Aws, AwsSettings

if TYPE_CHECKING:
    from planton_build.local.registry import ServedBy
    from planton_build.local.server import LocalAws
    from planton_build.manifest.document import Manifest
    from planton_build.registry.login import LoginSource

LOCAL_BUCKET = "planton-local-artifacts"
"""The bucket of `--local` when neither an option nor the manifest names one."""
LOCAL_REPOSITORY = "planton-local/{function}"
"""The repository of `--local` in the same case."""


class Accounts:
    """The AWS of each function. Real AWS is one session; the embedded one has an account per role ARN."""

    def __init__(
        self, *, local: bool, region: str | None, profile: str | None, rate: int | None = None
    ) -> None:
        self.local: LocalAws | None = None
        self._region = region
        self._sessions: dict[str, Aws] = {}
        self._registries: ServedBy | None = None
        self._roles: dict[int, tuple[Manifest, str | None]] = {}
        if local:
            from planton_build.local.registry import local_registries
            from planton_build.local.server import ensure_server

            self.local = ensure_server(state_folder())
            self._registries = local_registries(self.local, os.environ)
        else:
            settings = AwsSettings(region=region, profile=profile, calls_per_second=rate)
            self._sessions[""] = Aws(settings)

    def of(self, manifest: Manifest) -> Aws:
        """Return the AWS that a function belongs to."""
        if self.local is None:
            return self._sessions[""]
        from planton_build.local.prepare import account_of

        account = account_of(manifest, self.role_of)
        if account not in self._sessions:
            key, secret = self.local.credentials(account)
            self._sessions[account] = Aws(
                AwsSettings(
                    region=self._region or self.local.region,
                    endpoint_url=self.local.endpoint,
                    access_key_id=key,
                    secret_access_key=secret,
                )
            )
        return self._sessions[account]

    def role_of(self, manifest: Manifest) -> str | None:
        """Return the ARN of a function's role; of a reference, what files say, None when they do not.

        The account of the embedded AWS is chosen by it, so that AWS cannot be asked for it.
        """
        if id(manifest) not in self._roles:
            # With the manifest itself: another one may get the id of one that is gone.
            self._roles[id(manifest)] = manifest, _role(manifest)
        return self._roles[id(manifest)][1]

    def registry(self, host: str) -> str | None:
        """Return the address that serves a registry's host in its place; None is the host itself."""
        return None if self._registries is None else self._registries(host)

    def ecr_login(self, host: str) -> LoginSource | None:
        """Return the login for a registry of ECR, or None for another registry."""
        from planton_build.publish.ecr import ecr_login

        return ecr_login(host, self._sessions[""]) if self.local is None else None

    def prepare(self, manifests: Sequence[tuple[Manifest, str | None]]) -> None:
        """Give the embedded AWS the buckets, roles and layers that an account would have; else nothing."""
        if self.local is None:
            return
        from planton_build.local.prepare import prepare

        for manifest, bucket in manifests:
            prepare([manifest], self.local, bucket=bucket, role_of=self.role_of)

    def require_code(self, manifests: Sequence[Manifest]) -> None:
        """Refuse functions whose code the embedded AWS does not hold; real AWS says so itself."""
        if self.local is None:
            return
        from planton_build.local.prepare import require_code

        require_code(manifests, self.local, served_by=self.registry, role_of=self.role_of)


def _role(manifest: Manifest) -> str | None:
    role = manifest.model.spec.role_arn
    if role is None or role.value_from is None:
        return role.value if role else None
    from planton_build.deploy.references.resolver import References
    from planton_build.settings.read import settings_for

    try:
        references = References(settings_for(manifest).references, aws=None, manifests=[manifest.path])
        return next(iter(references.resolve(manifest, "role_arn", None, role.value_from).values), None)
    except PlantonError:
        return None  # told when the function is planned, with all that is wrong
