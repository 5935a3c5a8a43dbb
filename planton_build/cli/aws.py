"""Which AWS a command speaks to: the SDK's own chain, or the embedded one of `--local`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from planton_build.cli.commands import state_folder
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

        account = account_of(manifest)
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
            prepare([manifest], self.local, bucket=bucket)

    def require_code(self, manifests: Sequence[Manifest]) -> None:
        """Refuse functions whose code the embedded AWS does not hold; real AWS says so itself."""
        if self.local is None:
            return
        from planton_build.local.prepare import require_code

        require_code(manifests, self.local, served_by=self.registry)
