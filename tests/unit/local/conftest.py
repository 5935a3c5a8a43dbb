from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

MACHINES = {"x86_64": 62, "aarch64": 183}


@pytest.fixture
def elf() -> Callable[[str], bytes]:
    """Return a function that makes the beginning of a 64-bit shared object for a machine."""

    def make(machine: str) -> bytes:
        header = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHI", 3, MACHINES[machine], 1)
        return header + bytes(5000)

    return make
