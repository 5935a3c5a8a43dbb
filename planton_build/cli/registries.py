"""The image registries of a command: where they answer, and as whom they are asked."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from planton_build.registry.registries import Registries

if TYPE_CHECKING:
    from planton_build.cli.aws import Accounts
    from planton_build.registry.login import LoginSource


def open_registries(accounts: Callable[[], Accounts], *, local: bool) -> Registries:
    """Return the registries of a command.

    A private registry of ECR is logged in to by the SDK's own chain, any other as docker does it. With
    `local`, the registry of this machine answers in ECR's place.

    Args:
        accounts: gives the AWS of the command; called when a registry is asked, not before.
        local: whether the AWS is that of this machine.
    """

    def served_by(host: str) -> str | None:
        return accounts().registry(host) if local else None

    def login_of(host: str) -> LoginSource | None:
        return None if local else accounts().ecr_login(host)

    return Registries(served_by, login_of=login_of)


def aws_registries() -> Registries:
    """Return the registries of a command that has no option for AWS: ECR as the SDK's own chain finds it."""

    @functools.cache
    def accounts() -> Accounts:
        from planton_build.cli.aws import Accounts

        return Accounts(local=False, region=None, profile=None)

    return open_registries(accounts, local=False)
