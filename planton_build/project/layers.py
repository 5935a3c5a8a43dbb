"""Which value of an option counts, for one function.

The first of these that has the option wins, option by option:

1. flags;
2. variables: `PLANTON_BUCKET`, `PLANTON_MAX_SIZE` and so on; lists are separated by commas. An empty one
   counts as not set, because that is how CI systems pass on a variable without a value;
3. the nearest `planton.toml`, beside the manifest or in a folder above it, then the next, up to the
   repository's root (or the file system's, outside of one): in each the table `[function.NAME]`, where NAME
   is the function's name in AWS, then the general keys;
4. `[tool.planton]` of the `pyproject.toml` files in the same folders, in the same way;
5. defaults.

Lists are replaced, not joined: what an option is, is said in one place.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planton_build.errors import ConfigInvalid, Finding, SourceInvalid
from planton_build.manifest.document import Manifest
from planton_build.project.config import (
    ENVIRONMENT_PREFIX,
    LIST_OPTIONS,
    OPTION_NAMES,
    PATH_OPTIONS,
    SWITCHES,
    TABLES,
    ConfigFile,
    Options,
    invalid,
    parse_options,
    read_config,
)
from planton_build.project.function import BuildOptions
from planton_build.project.repository import repository_root

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class Layer:
    """Options from one place. Relative paths in them are relative to `folder`."""

    options: Options
    folder: Path
    file: Path | None = None


class ConfigFiles:
    """The configuration files of one run, each read once."""

    def __init__(self) -> None:
        self._read: dict[Path, ConfigFile | None] = {}

    def above(self, folder: Path) -> Iterator[ConfigFile]:
        """Yield the files that count for a manifest in `folder`: every `planton.toml`, then every pyproject.

        Raises ConfigInvalid for the first one that is wrong.
        """
        root = repository_root(folder)
        folders = [folder, *folder.parents]
        if root is not None:
            folders = folders[: folders.index(root) + 1]
        for name in ("planton.toml", "pyproject.toml"):
            for candidate in folders:
                if (found := self._file(candidate / name)) is not None:
                    yield found

    def _file(self, path: Path) -> ConfigFile | None:
        if path not in self._read:
            self._read[path] = read_config(path)
        return self._read[path]


def options_for(
    manifest: Manifest,
    *,
    flags: Mapping[str, Any],
    environment: Mapping[str, str],
    files: ConfigFiles | None = None,
) -> BuildOptions:
    """Return the options of one function.

    Args:
        manifest: the function's manifest. Its folder is the default source folder, its `s3.bucket` the
            default bucket, the repository of its `image_uri` the default repository.
        flags: options from the command line by their names in `BuildOptions`; None and () mean "not given".
            Relative paths are relative to the working folder.
        environment: variables, of which those named `PLANTON_<OPTION>` count.
        files: configuration files that were read already; pass one object for all functions of a run.

    Raises:
        ConfigInvalid: an option is unknown or wrong, or `dependencies` names nothing that exists.
        SourceInvalid: `source` is not a folder.

    """
    folder = Path(os.path.realpath(manifest.path.parent))
    name = manifest.model.spec.function_name
    found = list((files or ConfigFiles()).above(folder))
    layers = [_from_flags(flags), _from_environment(environment), *_from_files(found, name)]
    values = {option: _first(option, layers) for option in OPTION_NAMES}
    now = manifest.model.spec.s3
    if values["bucket"] is None and now is not None and now.bucket:
        values["bucket"] = now.bucket
    if values["repository"] is None and manifest.model.spec.image_uri:
        values["repository"] = re.sub(r"(:[^/@]*)?(@.*)?$", "", manifest.model.spec.image_uri)
    options = BuildOptions(
        **{**values, "source": values["source"] or folder},
        config_files=tuple(file.path for file in found),
    )
    _check_paths(options, layers, manifest)
    return options


def _from_flags(flags: Mapping[str, Any]) -> Layer:
    given = {
        key.replace("_", "-"): str(value) if isinstance(value, os.PathLike) else value
        for key, value in flags.items()
        if value is not None and value != ()
    }
    options, faults = parse_options(given)
    if faults:
        raise invalid(
            [Finding(ConfigInvalid.code, f"--{fault.key} {fault.fault}", hint=fault.hint) for fault in faults]
        )
    return Layer(options, Path.cwd())


def _from_environment(environment: Mapping[str, str]) -> Layer:
    values: dict[str, Any] = {}
    for name in OPTION_NAMES:
        text = environment.get(ENVIRONMENT_PREFIX + name.upper(), "")
        if not text.strip():
            continue
        if name in LIST_OPTIONS:
            values[name] = [item.strip() for item in text.split(",") if item.strip()]
        elif name in SWITCHES:
            values[name] = True if text.lower() in _TRUE else False if text.lower() in _FALSE else text
        elif name in TABLES:
            values[name] = dict(entry.partition("=")[::2] for entry in text.split(";") if entry.strip())
        else:
            values[name] = text
    options, faults = parse_options(values)
    if faults:
        raise invalid(
            [
                Finding(
                    ConfigInvalid.code,
                    f"the variable {ENVIRONMENT_PREFIX}{fault.key.upper()} {fault.fault}",
                    hint=fault.hint,
                )
                for fault in faults
            ]
        )
    return Layer(options, Path.cwd())


def _from_files(files: Iterable[ConfigFile], function: str) -> Iterator[Layer]:
    for file in files:
        if (special := file.functions.get(function)) is not None:
            yield Layer(special, file.path.parent, file.path)
        yield Layer(file.general, file.path.parent, file.path)


def _first(option: str, layers: Iterable[Layer]) -> Any:
    """Return the option's first value, with a path made absolute, or its default."""
    for layer in layers:
        if option in layer.options.model_fields_set:
            value = getattr(layer.options, option)
            if option in PATH_OPTIONS:
                return Path(os.path.normpath(layer.folder / value))
            if option == "base_image":
                return _absolute(value, layer.folder)
            if option == "docker_secrets":
                return {key: Path(os.path.normpath(layer.folder / path)) for key, path in value.items()}
            return value
    return Options.model_fields[option].get_default(call_default_factory=True)


def _absolute(image: str | None, folder: Path) -> str | None:
    """Make the path of an image on disk absolute."""
    kind, colon, path = (image or "").partition(":")
    if colon and kind in ("oci", "docker-archive"):
        return f"{kind}:{os.path.normpath(folder / path)}"
    return image


def _check_paths(options: BuildOptions, layers: Iterable[Layer], manifest: Manifest) -> None:
    origin = {
        option: next((layer.file for layer in layers if option in layer.options.model_fields_set), None)
        for option in PATH_OPTIONS
    }
    name = manifest.model.spec.function_name
    if not options.source.is_dir():
        raise SourceInvalid(
            f"the source folder {options.source} of {name} is not a folder",
            hint="correct `source`; relative paths are relative to the file they stand in",
            file=origin["source"] or manifest.path,
        )
    if options.dependencies is not None and not options.dependencies.exists():
        raise ConfigInvalid(
            f"the dependency input {options.dependencies} of {name} does not exist",
            hint="correct `dependencies`; relative paths are relative to the file they stand in",
            file=origin["dependencies"] or manifest.path,
        )
    if options.dockerfile is not None and not options.dockerfile.is_file():
        raise ConfigInvalid(
            f"the Dockerfile {options.dockerfile} of {name} does not exist",
            hint="correct `dockerfile`; relative paths are relative to the file they stand in",
            file=origin["dockerfile"] or manifest.path,
        )
