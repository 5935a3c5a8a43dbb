"""Which resolver makes a lock: uv on the host, pip-tools in the build container, or one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from planton_build.errors import ContainerRequired, NoFittingWheel
from planton_build.events import Listener, Note

if TYPE_CHECKING:
    from planton_build.ecosystems.python.building.room import BuildRoom
    from planton_build.ecosystems.python.inputs import DependencyInput
    from planton_build.ecosystems.python.lock import Lock
    from planton_build.ecosystems.python.resolver import Resolver, Upgrade
    from planton_build.ecosystems.python.run import Run
    from planton_build.ecosystems.python.settings import IndexSettings
    from planton_build.project.function import ContainerMode, FunctionProject
    from planton_build.runtimes.target import Target


@dataclass(frozen=True, slots=True)
class ModeResolver:
    """A `Resolver` that takes containers as the mode allows.

    With `auto` the host resolves, from wheels alone. Where that leads nowhere because a package has sources
    only, the target's own interpreter has to say what those sources require: the build container resolves.

    `on_host` and `in_container` make the resolvers; the second is given the reason for a container.
    """

    mode: ContainerMode
    function: str
    on_host: Callable[[], Resolver]
    in_container: Callable[[str], Resolver]
    listener: Listener

    def resolve(
        self,
        dependencies: DependencyInput,
        target: Target,
        settings: IndexSettings,
        *,
        pins: Mapping[str, str],
        upgrade: Upgrade | None = None,
    ) -> Lock:
        """Resolve as `Resolver.resolve` says."""
        if self.mode == "always":
            reason = "--container always resolves dependencies in a container"
            return self.in_container(reason).resolve(
                dependencies, target, settings, pins=pins, upgrade=upgrade
            )
        try:
            return self.on_host().resolve(dependencies, target, settings, pins=pins, upgrade=upgrade)
        except (ContainerRequired, NoFittingWheel) as error:
            if self.mode == "never" or (isinstance(error, NoFittingWheel) and not error.has_sdist):
                raise
            reason = error.message.splitlines()[0].removesuffix(".")
            self.listener(Note(self.function, f"{reason}; resolving in a container"))
            return self.in_container(reason).resolve(
                dependencies, target, settings, pins=pins, upgrade=upgrade
            )


def resolver_for(
    run: Run,
    project: FunctionProject,
    room: Callable[[], BuildRoom],
    mode: ContainerMode | None = None,
) -> ModeResolver:
    """Return the resolver for a function's mode, or for another. Nothing is opened before it is used."""

    def on_host() -> Resolver:
        from planton_build.ecosystems.python.resolver import UvResolver

        return UvResolver(run.environment)

    def in_container(reason: str) -> Resolver:
        from planton_build.ecosystems.python.pip_tools.resolver import PipToolsResolver

        opened = room()
        return PipToolsResolver(
            sandbox=lambda: opened.sandbox(reason),
            image=lambda: opened.image(reason),
            limits=opened.limits,
            environment=run.environment,
        )

    own = project.options.container
    chosen = own if mode is None or own == "never" else mode
    return ModeResolver(chosen, project.name, on_host, in_container, run.listener)
