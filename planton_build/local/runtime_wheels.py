"""awslambdaric and its two dependencies: the program that runs a Python handler in Lambda, fetched once by
hash.

It is not a dependency of the tool because it cannot be one everywhere: its wheels are for Linux, and
elsewhere an installation would need a C++ compiler and CMake. All that is platform specific is one small
module, which `runtime/runtime_client.py` replaces; the rest of the wheel is pure Python. So one and the same
wheel serves every host and every interpreter: pip fetches it from the user's own index, as for a foreign
platform and by hash, and it stays packed in the state folder. Python imports from wheels directly, so nothing
is unpacked or installed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from planton_build.errors import LocalUnavailable
from planton_build.files import sha256_of

WHEELS = {
    "awslambdaric==4.2.2": "ea87f581768a7558b493a59ee9f4de6dcbc6444b888169afa01af71396ed731d",
    "simplejson==4.3.0": "48d5d79d723300b49f18bbd88d786c0410cc58b869c121024a132e2e49f9cf35",
    "snapshot-restore-py==1.0.0": "38f99e696793790f54658e71c68c7a8a40cea877c81232b5052383b1301aceba",
}
"""Requirement and SHA-256 of its wheel: awslambdaric for cp311 on manylinux2014_x86_64, the others for any
host."""
MINIMUM_PYTHON = (3, 10)
"""The oldest Python that awslambdaric 4.2.2 runs on."""

_PLATFORM = ("--platform", "manylinux2014_x86_64", "--python-version", "3.11", "--implementation", "cp")
_FETCH_SECONDS = 120


def runtime_wheels(state: Path) -> tuple[Path, ...]:
    """Return the wheels, in the order of `WHEELS`, fetching those the state folder lacks.

    Their hashes are checked every time. Raises `LocalUnavailable` when they cannot be fetched.
    """
    folder = state / "runtime"
    kept = [folder / f"{digest}.whl" for digest in WHEELS.values()]
    if not all(_is_whole(path) for path in kept):
        _fetch(folder)
    return tuple(kept)


def _is_whole(path: Path) -> bool:
    try:
        return sha256_of(path) == path.stem
    except OSError:
        return False


def _fetch(folder: Path) -> None:
    """Fetch all wheels next to where they belong, then move each into its place."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as name:
        fetched = Path(name)
        pinned = fetched / "requirements.txt"
        pinned.write_text(
            "".join(f"{requirement} --hash=sha256:{digest}\n" for requirement, digest in WHEELS.items()),
            encoding="utf-8",
        )
        command = [
            *(sys.executable, "-P", "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--no-input", "--no-deps", "--only-binary=:all:", "--require-hashes", *_PLATFORM),
            *("--dest", name, "--requirement", str(pinned)),
        ]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=_FETCH_SECONDS,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired as error:
            raise _unavailable(f"pip did not finish in {_FETCH_SECONDS} s") from error
        found = {sha256_of(path): path for path in fetched.glob("*.whl")}
        missing = [requirement for requirement, digest in WHEELS.items() if digest not in found]
        if done.returncode != 0 or missing:
            lines = done.stderr.strip().splitlines()
            raise _unavailable(lines[-1] if lines else f"pip gave another file for {missing[0]}")
        for digest in WHEELS.values():
            found[digest].replace(folder / f"{digest}.whl")


def _unavailable(reason: str) -> LocalUnavailable:
    return LocalUnavailable(
        f"Lambda's Python runtime client ({next(iter(WHEELS))}) could not be fetched: {reason}",
        hint="It is fetched once, by pip, from the index that pip is configured for. Check `pip config list` "
        "and the network, then run the command again.",
    )
