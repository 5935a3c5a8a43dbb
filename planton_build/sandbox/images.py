"""From a target to an image on the engine: base image by digest, the pinned tools, system packages.

Images that are made here are named by what they are made of, so that they are made once per engine.
"""

from __future__ import annotations

import hashlib
import io
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planton_build.errors import EngineUnavailable, ImageMismatch, ImageUnavailable, SystemPackagesFailed
from planton_build.registry.reference import parse_reference
from planton_build.runtimes.target import Target
from planton_build.sandbox.build_image import BuildImage, ImagePin
from planton_build.sandbox.container import Sandbox
from planton_build.sandbox.engine import Engine, engine_errors
from planton_build.sandbox.files import Input, write_tar
from planton_build.sandbox.strays import LABEL

SYSTEM_PACKAGES = "/opt/planton/system-packages"
"""File of a build image that lists what `system-packages` installed, with exact versions, one per line."""
_SHOWN_LINES = 15
_KEY_LENGTH = 24
_BUILDER_LINES = ("Step ", " ---> ", "Removing intermediate container ", "Successfully ", "[Warning] ")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_LISTING_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class Toolchain:
    """The pinned tools of a build image: their `dockerfile`, `lock`, and the `wheels` by file name.

    `digest` (SHA-256, hex) stands for all of it: the lock has the wheels' hashes.
    """

    dockerfile: bytes
    lock: bytes
    wheels: Callable[[], Sequence[tuple[str, Path]]]

    @property
    def digest(self) -> str:
        """Return what stands for these tools in keys and locks."""
        return hashlib.sha256(b"\0".join((self.dockerfile, self.lock))).hexdigest()


class Images:
    """Makes and finds the images of a run. Safe to use from several threads."""

    def __init__(
        self,
        sandbox: Sandbox,
        toolchain: Callable[[Target], Toolchain],
        log: Callable[[str, str | None], None],
    ) -> None:
        self._sandbox = sandbox
        self._engine: Engine = sandbox.engine
        self._toolchain = toolchain
        self._log = log
        self._making = threading.Lock()
        self._made: dict[tuple[object, ...], BuildImage] = {}

    def build_image(
        self,
        target: Target,
        name: str,
        *,
        digest: str | None,
        system_packages: Sequence[str] = (),
    ) -> BuildImage:
        """Return the image for a target's builds, making what the engine lacks of it.

        Args:
            target: the runtime and architecture.
            name: the base image, with its tag.
            digest: its digest where it is known, which then decides; else the tag is resolved.
            system_packages: what the image's package manager installs; exact versions where they are known.

        Raises:
            ImageUnavailable: the base image cannot be had.
            ImageMismatch, EmulationMissing: it is not for the target, or cannot run here.
            SystemPackagesFailed: the package manager refuses.
            EngineUnavailable: the engine fails.
        """
        key = (target, name, digest, tuple(system_packages))
        with self._making:
            if key not in self._made:
                self._made[key] = self._build_image(target, name, digest, system_packages)
            return self._made[key]

    def base(self, name: str, digest: str | None, machine: str) -> tuple[str, ImagePin]:
        """Return the ID of a base image on the engine, pulling it if it is not there, and what pins it.

        Raises:
            ImageUnavailable: it cannot be had.
        """
        if digest is None:
            digest = self._resolved(name, machine)
        if digest is not None:
            found = self._local(f"{parse_reference(name).name}@{digest}") or self._local(digest)
            return (found or self._pulled(name, digest)), ImagePin(name, digest)
        found = self._local(name)
        if found is None:
            raise ImageUnavailable(
                f"there is no image {name} on the container engine, and its name has no registry",
                hint="load it with `docker load`, or name a registry as in public.ecr.aws/sam/...",
            )
        return found, ImagePin(name, found)

    def _build_image(
        self, target: Target, name: str, digest: str | None, system_packages: Sequence[str]
    ) -> BuildImage:
        base, pin = self.base(name, digest, target.machine)
        self._sandbox.check(base, target.machine)
        toolchain = self._toolchain(target)
        key = _key(pin.digest, base, toolchain.digest)
        tag = f"planton-build-tools:{key}"
        image = self._local(tag) or self._with_tools(base, pin, tag, toolchain, target)
        if not system_packages:
            return BuildImage(image, pin, toolchain.digest)
        tag = f"planton-build-system:{_key(key, *system_packages)}"
        image = self._local(tag) or self._with_packages(image, tag, system_packages, target)
        listing = self._sandbox.read(image, SYSTEM_PACKAGES, limit=_LISTING_LIMIT).decode()
        return BuildImage(image, pin, toolchain.digest, tuple(listing.split()))

    def _with_tools(self, base: str, pin: ImagePin, tag: str, toolchain: Toolchain, target: Target) -> str:
        context = [
            Input("/Dockerfile", toolchain.dockerfile),
            Input("/toolchain/toolchain.lock", toolchain.lock),
        ]
        context += [Input(f"/toolchain/{name}", path) for name, path in toolchain.wheels()]
        what = f"making the build image of {target.name}"
        arguments = {
            "BASE": base,
            "PYTHON": ".".join(map(str, target.version)),
            "BASE_DIGEST": pin.digest,
            "TOOLCHAIN": toolchain.digest,
        }
        try:
            return self._built(context, tag, target, arguments, what)
        except _BuildFailed as error:
            raise ImageMismatch(
                f"the build tools cannot be installed into {pin.name}:\n{error}",
                hint="use one of Amazon's build images, or one made from it",
            ) from error

    def _with_packages(self, image: str, tag: str, packages: Sequence[str], target: Target) -> str:
        what = f"installing {', '.join(packages[:5])}{' …' if len(packages) > 5 else ''} for {target.name}"
        dockerfile = _INSTALL.format(base=image, packages=" ".join(packages), listing=SYSTEM_PACKAGES)
        try:
            return self._built(
                [Input("/Dockerfile", dockerfile.encode())], tag, target, {}, what, network=True
            )
        except _BuildFailed as error:
            raise SystemPackagesFailed(
                f"the system packages {' '.join(packages)} cannot be installed:\n{error}",
                hint="check their names in the image's package manager (dnf on Amazon Linux 2023, yum on "
                "Amazon Linux 2); if the build lock names a version that is gone, take a newer one with "
                "`planton-build lock --upgrade`",
            ) from error

    def _built(
        self,
        context: Sequence[Input],
        tag: str,
        target: Target,
        arguments: dict[str, str],
        what: str,
        *,
        network: bool = False,
    ) -> str:
        """Build an image from a context, pass on what the builder says, and return the image's ID."""
        archive = io.BytesIO()
        write_tar(context, archive)
        archive.seek(0)
        lines: list[str] = []
        with engine_errors(what):
            answers = self._engine.api.build(
                fileobj=archive,
                custom_context=True,
                tag=tag,
                rm=True,
                forcerm=True,
                network_mode=None if network else "none",
                platform=_platform(target.machine),
                buildargs=arguments,
                labels={LABEL: "image"},
                decode=True,
            )
            for answer in _whole_lines(answers):
                if "error" in answer:
                    if not lines and "code" not in (answer.get("errorDetail") or {}):
                        # No command has run: the engine itself failed, such as for want of its network.
                        raise EngineUnavailable(
                            f"the container engine failed while {what}: {answer['error']}", hint=_ENGINE_HINT
                        )
                    raise _BuildFailed("\n".join(lines[-_SHOWN_LINES:] or [str(answer["error"])]))
                said = _COLOUR.sub("", str(answer.get("stream", ""))).rstrip()
                if said and not said.startswith(_BUILDER_LINES):
                    lines.append(said)
                    self._log(what, said)
        self._log(what, None)
        image = self._local(tag)
        if image is None:
            raise EngineUnavailable(f"the container engine made no image while {what}")
        return image

    def _local(self, reference: str) -> str | None:
        """Return the ID of an image that the engine has, or None."""
        import docker

        with engine_errors(f"looking for the image {reference}"):
            try:
                return str(self._engine.api.inspect_image(reference)["Id"])
            except docker.errors.NotFound:
                return None

    def _resolved(self, name: str, machine: str) -> str | None:
        """Return the digest that a registry has for a tag; None for an image that is only on the engine."""
        if parse_reference(name).host is None:
            return None
        from planton_build.registry.resolve import resolve

        try:
            return resolve(name, machine=machine).digest
        except ImageUnavailable:
            if self._local(name) is None:
                raise
            return None  # pulled before, by whatever way: its ID pins it

    def _pulled(self, name: str, digest: str) -> str:
        import docker

        named = parse_reference(name)
        reference = f"{named.name}@{digest}"
        if named.host is None:
            raise ImageUnavailable(
                f"the container engine has no image with the ID {digest}, which is locked for {name}",
                hint="load that very image with `docker load`, or take the one that is there with "
                "`planton-build lock --upgrade`",
            )
        self._log("pulling the build image", reference)
        with engine_errors(f"pulling {reference}"):
            try:
                for answer in self._engine.api.pull(reference, stream=True, decode=True):
                    if "error" in answer:
                        raise ImageUnavailable(
                            f"{reference} cannot be pulled: {answer['error']}", hint=_PULL_HINT
                        )
                    if status := answer.get("status"):
                        self._log("pulling the build image", f"{answer.get('id', '')} {status}".strip())
            except docker.errors.APIError as error:
                raise ImageUnavailable(
                    f"{reference} cannot be pulled: {error.explanation}", hint=_PULL_HINT
                ) from error
        self._log("pulling the build image", None)
        found = self._local(reference)
        if found is None:
            raise ImageUnavailable(f"{reference} was pulled, and is not there", hint=_PULL_HINT)
        return found


def local_image(engine: Engine, name: str) -> str | None:
    """Return the ID of an image that was built or loaded on the engine.

    None stands for one that came from the registry in its name, or that is not there.

    Raises:
        EngineUnavailable: the engine fails.
    """
    import docker

    with engine_errors(f"looking for the image {name}"):
        try:
            found = engine.api.inspect_image(name)
        except docker.errors.NotFound:
            return None
    digests = found.get("RepoDigests") or ()
    known = {str(digest).partition("@")[0] for digest in digests} & {parse_reference(name).name}
    return None if known else str(found["Id"])


class _BuildFailed(Exception):
    """The builder ended with an error; the text has its last lines."""


def _whole_lines(answers: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Give a builder's answers with one line each: a program's output comes in pieces, as it was written."""
    rest = ""
    for answer in answers:
        *whole, rest = (rest + str(answer.get("stream", ""))).split("\n")
        yield from ({"stream": line} for line in whole)
        if "stream" not in answer:
            yield {"stream": rest}
            rest = ""
            yield answer
    yield {"stream": rest}


_PULL_HINT = (
    "check the name, the network of the engine, and `docker login`; build-image in planton.toml names another"
)
_ENGINE_HINT = "look into the engine's own log; restarting it often helps"
_INSTALL = """\
FROM {base}
USER root
RUN set -e; \\
    list() {{ if command -v dpkg-query >/dev/null; then dpkg-query -W -f '${{Package}}=${{Version}}\\n'; \\
      else rpm -qa --qf '%{{NAME}}-%{{VERSION}}-%{{RELEASE}}\\n'; fi | sort; }}; \\
    list >/tmp/before; \\
    if command -v apt-get >/dev/null; then \\
      apt-get update -qq; DEBIAN_FRONTEND=noninteractive \\
      apt-get install -y -qq --no-install-recommends --allow-downgrades {packages}; \\
    elif command -v dnf >/dev/null; then dnf install -y -q {packages}; \\
    else yum install -y -q {packages}; fi; \\
    list >/tmp/after; \\
    LC_ALL=C comm -13 /tmp/before /tmp/after >{listing}; \\
    rm -rf /tmp/before /tmp/after /var/lib/apt/lists /var/cache/dnf /var/cache/yum
USER builder
"""


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_KEY_LENGTH]


def _platform(machine: str) -> str:
    return "linux/arm64" if machine == "aarch64" else "linux/amd64"
