"""What all tests share: how the absence of a real engine is treated."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def require_engine() -> Callable[[str, bool, str], None]:
    """Return a function `(name, available, reason)` that ends a test whose engine is not available.

    On a laptop the test is skipped with the reason. Where PLANTON_REQUIRE_ENGINES is 1, as in CI, it fails:
    an engine that CI lost must not go unnoticed.
    """

    def require(name: str, available: bool, reason: str) -> None:
        if available:
            return
        if os.environ.get("PLANTON_REQUIRE_ENGINES") == "1":
            pytest.fail(f"{name} is required here (PLANTON_REQUIRE_ENGINES=1): {reason}", pytrace=False)
        pytest.skip(f"{name}: {reason}")

    return require
