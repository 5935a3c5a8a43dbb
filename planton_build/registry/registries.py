"""`Registries`: the registries of a run, each with one session and one login for all functions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeAlias

from planton_build.errors import ImageUnavailable
from planton_build.registry.reference import Reference

if TYPE_CHECKING:
    from planton_build.registry.login import LoginSource
    from planton_build.registry.pull import Repository
    from planton_build.registry.session import Session

LoginOf: TypeAlias = "Callable[[str], LoginSource | None]"
"""Gives the login for a registry's host, or None to ask docker's configuration."""
ServedBy: TypeAlias = Callable[[str], str | None]
"""Tells which address serves a registry's host in its place, as `http://127.0.0.1:5000`; None: itself."""


class Registries:
    """The registries of a run. Safe to use from several threads; nothing is opened before it is asked."""

    def __init__(
        self,
        served_by: ServedBy | None = None,
        *,
        login_of: LoginOf | None = None,
        certificates: Path | None = None,
        docker_config: Path | None = None,
    ) -> None:
        """Take where to ask and what to log in with.

        Args:
            served_by: which address serves a host in its place.
            login_of: gives logins that are not docker's, such as those of ECR.
            certificates: a PEM file, or a folder of them, instead of the system's.
            docker_config: docker's configuration, `~/.docker/config.json` by default.
        """
        self._served_by = served_by or _nothing
        self._login_of = login_of or _nothing
        self._certificates = certificates
        self._docker_config = docker_config
        self._sessions: dict[str, Session] = {}
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        """Return the registries, whose connections are closed at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            session.close()

    def address(self, host: str) -> str | None:
        """Return what serves a host in its place."""
        return self._served_by(host)

    def session(self, host: str) -> Session:
        """Return the session with a registry."""
        from planton_build.registry.login import docker_login
        from planton_build.registry.session import Session

        with self._guard:
            if host not in self._sessions:
                login = self._login_of(host) or docker_login(host, self._docker_config)
                self._sessions[host] = Session(
                    host, login=login, base_url=self._served_by(host), certificates=self._certificates
                )
            return self._sessions[host]

    def repository(self, reference: Reference) -> Repository:
        """Return the repository that a name stands for, for pulling.

        Raises:
            ImageUnavailable: the name has no registry.
        """
        from planton_build.registry.pull import Repository

        if reference.host is None:
            raise ImageUnavailable(
                f"{reference.name} has no registry in its name: it can only be on the container engine",
                hint="name it with its registry, or write the image to a file with `docker save` and name "
                "that as docker-archive:FILE",
            )
        return Repository(self.session(reference.host), reference.repository)


def _nothing(_host: str) -> None:
    return None
