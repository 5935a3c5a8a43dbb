"""Locked wheels through the target's own pip, for `--container always`: one job fetches all that are missing.

What comes out of the container is believed only as far as its SHA-256 goes: that of the lock. Sdists do not
come this way: `pip download` runs their build backend to make sure of a name that the hash has settled, so
the host's own client fetches them (`download.py`).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from planton_build.cache import Store
from planton_build.ecosystems.python.lock import LockedPackage
from planton_build.ecosystems.python.pip_tools import failures
from planton_build.ecosystems.python.pip_tools.index_access import index_access
from planton_build.ecosystems.python.pip_tools.resolver import reports_of, script_inputs
from planton_build.ecosystems.python.settings import IndexSettings
from planton_build.errors import CacheBroken, HashMismatch, NoFittingWheel, PlantonError
from planton_build.files import sha256_of
from planton_build.runtimes.target import Target
from planton_build.sandbox.build_image import BuildImage
from planton_build.sandbox.container import Sandbox
from planton_build.sandbox.files import Input
from planton_build.sandbox.job import IN, TOOLS, Job, Limits


@dataclass(frozen=True, slots=True)
class ContainerDownload:
    """Fetches wheels in the target's build container. See `PipToolsResolver` for the parts."""

    sandbox: Callable[[], Sandbox]
    image: Callable[[], BuildImage]
    limits: Limits
    environment: Mapping[str, str]

    def fetch(
        self, packages: Sequence[LockedPackage], target: Target, settings: IndexSettings, store: Store
    ) -> list[tuple[LockedPackage, str, str]]:
        """Put the wheels of `packages` into the store.

        Args:
            packages: those that the store lacks; none whose hash is an sdist's.
            target: what they are for.
            settings: index settings with the options of the input merged over them.
            store: takes the wheels.

        Returns:
            Each package with the name and the SHA-256 (hex) of its file.

        Raises:
            NoFittingWheel: the indexes offer no wheel with the locked hash.
            HashMismatch: an index, or the container, gives other bytes than locked.
            IndexUnreachable: an index cannot be read from the container.
            PlantonError: what `Sandbox.run` raises.
        """
        if not packages:
            return []
        access = index_access(
            settings, self.environment, wanted={package.name: package.hashes for package in packages}
        )
        lines = [
            " ".join(
                [f"{one.name}=={one.version}", *(f"--hash=sha256:{digest}" for digest in sorted(one.hashes))]
            )
            for one in packages
        ]
        job = Job(
            what=f"fetching {len(packages)} wheels for {target.name}",
            image=self.image().id,
            machine=target.machine,
            command=(TOOLS, f"{IN}/download_wheels.py"),
            inputs=(
                *script_inputs("download_wheels", target=target),
                Input(f"{IN}/requirements.txt", "".join(f"{line}\n" for line in lines).encode()),
                *access.inputs,
            ),
            environment=access.environment,
            secrets=access.secrets,
            network=True,
            limits=self.limits,
        )
        with tempfile.TemporaryDirectory(prefix="planton-download-") as temporary:
            folder = Path(temporary)
            outcome = self.sandbox().run(job, folder)
            reports = reports_of(folder / "report.json", access)
            if reports is None:
                raise failures.broken(job.what, access.redact(outcome.log))
            if reports[0]["kind"] != "ok":
                raise _failure(reports[0], target)
            return _kept(packages, (path for path in outcome.files if path.name != "report.json"), store)


def _kept(
    packages: Sequence[LockedPackage], files: Iterable[Path], store: Store
) -> list[tuple[LockedPackage, str, str]]:
    """Move files into the store, each for the package whose lock has its hash."""
    by_hash = {sha256: package for package in packages for sha256 in package.hashes}
    found: dict[str, tuple[LockedPackage, str, str]] = {}
    for path in files:
        sha256 = sha256_of(path)
        package = by_hash.get(sha256)
        if package is None:
            raise HashMismatch(
                f"the container handed back {path.name!r}, whose SHA-256 {sha256} no locked package has",
                hint="the toolchain image may be damaged: remove it, so that it is made again",
            )
        with store.staging() as staged:
            try:
                shutil.copyfile(path, staged)
            except OSError as error:
                raise CacheBroken(
                    f"the cache folder {store.root} cannot be written: {error.strerror or error}",
                    hint="free some space or name another folder with PLANTON_CACHE_DIR",
                ) from error
            store.keep("wheels", sha256, staged)
        found[package.name] = (package, path.name, sha256)
    if missing := [package for package in packages if package.name not in found]:
        raise NoFittingWheel(
            f"pip in the build container left no file for {missing[0].name}=={missing[0].version}",
            hint="run `planton-build lock`, or leave out --container always",
        )
    return [found[package.name] for package in packages]


def _failure(report: Mapping[str, str], target: Target) -> PlantonError:
    if report["kind"] == "unreachable":
        return failures.unreachable(report)
    words = failures.brief(report["text"])
    if "DO NOT MATCH THE HASHES" in report["text"]:
        return HashMismatch(
            f"a file from an index is not what the lock names\n{words}",
            hint="if the index replaced the file, find out why before locking again; "
            "otherwise suspect a proxy or mirror",
        )
    return NoFittingWheel(
        f"pip in the build container finds no locked wheel for {target.name}\n{words}",
        hint="the lock was made for another target or from another index: run `planton-build lock`",
    )
