"""A console whose streams are kept."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

import pytest

from planton_build.cli.console import Console


class Stream(io.StringIO):
    """Text in memory that may say it is a terminal."""

    def __init__(self, *, terminal: bool = False) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.fixture
def stream() -> type[Stream]:
    return Stream


@pytest.fixture
def console() -> Callable[..., Console]:
    def make(
        environment: Mapping[str, str] | None = None, *, terminal: bool = False, **options: bool
    ) -> Console:
        return Console(
            environment=environment or {},
            out=Stream(terminal=terminal),
            err=Stream(terminal=terminal),
            **options,
        )

    return make
