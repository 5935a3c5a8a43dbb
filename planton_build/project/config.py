"""Configuration as it is written: `planton.toml`, `[tool.planton]` in `pyproject.toml`, variables, flags.

```toml
# planton.toml, beside the manifest or in a folder above it
bucket = "acme-artifacts"
exclude = ["tests/"]

[function.orders]
source = "src"
max-size = "120 MB"

[function.orders.deploy]            # and [deploy]: read by planton-deploy, see `settings`
alias = "live"
```

Keys may be written with `-` or `_`. Relative paths are relative to the file they stand in. Which layer wins
is decided in `layers`.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, ValidationError
from pydantic_core import ErrorDetails

from planton_build.errors import ConfigInvalid, Finding
from planton_build.project import values
from planton_build.project.function import ContainerMode, LayerCompression

MAX_BYTES = 1 << 20
"""Largest configuration file, in bytes."""
ENVIRONMENT_PREFIX = "PLANTON_"


def parse_size(value: object) -> int:
    """Return a size in bytes from a number or from text such as `200 MB` (10^6) or `200 MiB` (2^20).

    Raises ConfigInvalid for anything else.
    """
    try:
        return values.size_of(value)
    except ValueError as error:
        raise ConfigInvalid(f"the size {value!r} {error}", hint=values.SIZE_HINT) from error


class Options(BaseModel):
    """One table of options. What is not in `model_fields_set` was not written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Annotated[str | None, BeforeValidator(values.text_of)] = None
    dependencies: Annotated[str | None, BeforeValidator(values.text_of)] = None
    extras: Annotated[tuple[str, ...], BeforeValidator(values.texts_of)] = ()
    groups: Annotated[tuple[str, ...], BeforeValidator(values.texts_of)] = ()
    include: Annotated[tuple[str, ...], BeforeValidator(values.patterns_of)] = ()
    exclude: Annotated[tuple[str, ...], BeforeValidator(values.patterns_of)] = ()
    package_exclude: Annotated[tuple[str, ...], BeforeValidator(values.patterns_of)] = ()
    scripts: StrictBool = False
    bytecode: StrictBool = False
    container: Annotated[ContainerMode, BeforeValidator(values.container_of)] = "auto"
    build_image: Annotated[str | None, BeforeValidator(values.image_of)] = None
    runtime_image: Annotated[str | None, BeforeValidator(values.image_of)] = None
    system_packages: Annotated[tuple[str, ...], BeforeValidator(values.system_packages_of)] = ()
    commands: Annotated[tuple[str, ...], BeforeValidator(values.texts_of)] = ()
    container_memory: Annotated[int, BeforeValidator(values.memory_of)] = 4 << 30
    container_timeout: Annotated[int, BeforeValidator(values.seconds_of)] = 3600
    allow: Annotated[dict[str, str], BeforeValidator(values.reasons_of)] = Field(default_factory=dict)
    bucket: Annotated[str | None, BeforeValidator(values.bucket_of)] = None
    prefix: Annotated[str, BeforeValidator(values.prefix_of)] = ""
    max_size: Annotated[int | None, BeforeValidator(values.size_of)] = None
    runtime: Annotated[str | None, BeforeValidator(values.runtime_of)] = None
    handler: Annotated[str | None, BeforeValidator(values.handler_of)] = None
    base_image: Annotated[str | None, BeforeValidator(values.base_image_of)] = None
    entrypoint: Annotated[tuple[str, ...], BeforeValidator(values.texts_of)] = ()
    layer_compression: Annotated[LayerCompression, BeforeValidator(values.compression_of)] = "gzip"
    dockerfile: Annotated[str | None, BeforeValidator(values.text_of)] = None
    docker_target: Annotated[str | None, BeforeValidator(values.stage_of)] = None
    docker_args: Annotated[dict[str, str], BeforeValidator(values.arguments_of)] = Field(default_factory=dict)
    docker_secrets: Annotated[dict[str, str], BeforeValidator(values.secrets_of)] = Field(
        default_factory=dict
    )
    repository: Annotated[str | None, BeforeValidator(values.repository_of)] = None
    create_repository: StrictBool = False


OPTION_NAMES: tuple[str, ...] = tuple(Options.model_fields)
LIST_OPTIONS = frozenset(
    {"extras", "groups", "include", "exclude", "package_exclude", "system_packages", "commands", "entrypoint"}
)
SWITCHES = frozenset({"scripts", "bytecode", "create_repository"})
TABLES = frozenset({"allow", "docker_args", "docker_secrets"})
PATH_OPTIONS = frozenset({"source", "dependencies", "dockerfile"})
RESERVED_TABLES = frozenset({"deploy"})
"""Tables that belong to another command, among the general keys and in a function's table: accepted here, and
read in `settings`."""
KEPT_FILES = 32
"""How many files are kept parsed, for commands that ask for them again for each function."""


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One configuration file that says something: general options, and those of single functions.

    `deploy` and `function_deploy` (by function) are the tables of planton-deploy as they are written, and
    `text` is the whole file, in which the places of their keys are found when something is wrong.
    """

    path: Path
    general: Options
    functions: Mapping[str, Options] = field(default_factory=dict)
    deploy: Mapping[str, Any] = field(default_factory=dict)
    function_deploy: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    text: str = field(default="", repr=False)


def read_config(path: Path) -> ConfigFile | None:
    """Read a `planton.toml`, or the table `[tool.planton]` of a `pyproject.toml`.

    Returns None when the file does not exist, or has no such table. Raises ConfigInvalid, with every mistake
    in `findings`, when it cannot be read or holds something unknown or ill-typed.
    """
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        raise ConfigInvalid(f"{path.name} cannot be read: {error.strerror}", file=path) from error
    return _file_of(path, raw)


@lru_cache(maxsize=KEPT_FILES)
def _file_of(path: Path, raw: bytes) -> ConfigFile | None:
    text = _decoded(raw, path)
    document = _parsed(text, path)
    if path.name == "pyproject.toml":
        tool = document.get("tool")
        found = tool.get("planton") if isinstance(tool, dict) else None
        if found is None:
            return None
        return _Reader(path, text, "tool.planton").file(found)
    return _Reader(path, text, "").file(document)


def _decoded(raw: bytes, path: Path) -> str:
    if len(raw) > MAX_BYTES:
        raise ConfigInvalid(f"{path.name} is larger than {MAX_BYTES} bytes", file=path)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigInvalid(
            f"{path.name} is not UTF-8 text", hint="save it as UTF-8, as TOML requires", file=path, line=line
        ) from error


def _parsed(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", str(error))
        message = str(error)[: place.start()] if place else str(error)
        line, column = text.count("\n") + 1, None
        if place and place[1]:
            line, column = int(place[1]), int(place[2])
        raise ConfigInvalid(
            f"{path.name} is not valid TOML: {message[:1].lower()}{message[1:]}",
            hint="strings need quotes, and a table begins with [its.name]",
            file=path,
            line=line,
            column=column,
        ) from error
    except RecursionError as error:
        raise ConfigInvalid(f"{path.name} is nested too deeply", file=path) from error
    except ValueError as error:  # Python reads no number of more than 4,300 digits.
        raise ConfigInvalid(f"{path.name} holds a number that is too long", file=path) from error


class _Reader:
    """Turns the tables of one file into options, collecting what is wrong."""

    def __init__(self, path: Path, text: str, root: str) -> None:
        self._path = path
        self._lines = text.split("\n")
        self._root = root
        self._findings: list[Finding] = []

    def file(self, table: object) -> ConfigFile:
        if not isinstance(table, dict):
            raise ConfigInvalid(f"{self._root} in {self._path.name} must be a table", file=self._path)
        functions = {
            name: self._table(entries, f"function.{name}")
            for name, entries in self._table(table.get("function", {}), "function").items()
        }
        deploy = self._table(table.get("deploy", {}), "deploy")
        options = {key: value for key, value in table.items() if key not in RESERVED_TABLES | {"function"}}
        result = ConfigFile(
            self._path,
            self._options(options, self._root),
            {name: self._function(name, entries) for name, entries in functions.items()},
            deploy,
            {
                name: self._table(entries["deploy"], f"function.{name}.deploy")
                for name, entries in functions.items()
                if "deploy" in entries
            },
            "\n".join(self._lines),
        )
        if self._findings:
            raise invalid(self._findings)
        return result

    def _function(self, name: str, entries: Mapping[str, Any]) -> Options:
        options = {key: value for key, value in entries.items() if key not in RESERVED_TABLES}
        return self._options(options, f"{self._root}.function.{name}" if self._root else f"function.{name}")

    def _table(self, value: object, name: str) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        self._add(f"{name} must be a table", name)
        return {}

    def _options(self, table: Mapping[str, Any], section: str) -> Options:
        known = ("function", "deploy") if section == self._root else ("deploy",)
        options, faults = parse_options(table, known)
        for fault in faults:
            self._add(f"{fault.key} {fault.fault} in {self._path.name}", fault.key, section, hint=fault.hint)
        return options

    def _add(self, message: str, key: str, section: str = "", *, hint: str | None = None) -> None:
        line, column = self._place(key, section)
        self._findings.append(Finding(ConfigInvalid.code, message, self._path, line, column, hint))

    def _place(self, key: str, section: str) -> tuple[int | None, int | None]:
        """Find where a key stands. tomllib keeps no positions, so the text is searched; good for messages."""
        at = ""
        pattern = re.compile(rf"""\s*(["']?){re.escape(key)}\1\s*[=.]""")
        for number, line in enumerate(self._lines, start=1):
            if header := re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line):
                at = re.sub(r"""["'\s]""", "", header[1])
                if at.rpartition(".")[2] == key or at == key:
                    return number, line.index("[") + 1
            elif at == section and (found := pattern.match(line)):
                return number, found.start(1) + 1
        return None, None


@dataclass(frozen=True, slots=True)
class OptionFault:
    """What is wrong with one key of a table, as words that follow the key."""

    key: str
    fault: str
    hint: str | None = None


def parse_options(
    table: Mapping[str, Any], also_known: Iterable[str] = ()
) -> tuple[Options, list[OptionFault]]:
    """Check a table of options, with keys in either spelling.

    Returns what is right as `Options`, and what is wrong. `also_known` are keys that are suggested too.
    """
    faults: list[OptionFault] = []
    given: dict[str, Any] = {}
    written: dict[str, str] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name not in OPTION_NAMES:
            faults.append(_unknown(key, also_known))
        elif name in written:
            faults.append(OptionFault(key, f"is the same option as {written[name]}"))
        else:
            given[name], written[name] = value, key
    try:
        return Options.model_validate(given), faults
    except ValidationError as error:
        for detail in error.errors():
            name = str(detail["loc"][0])
            given.pop(name, None)
            faults.append(_ill_typed(written[name], detail))
    return Options.model_validate(given), faults


def invalid(findings: list[Finding]) -> ConfigInvalid:
    """Return the error for one or more findings."""
    if len(findings) == 1:
        return ConfigInvalid(findings[0].message, hint=findings[0].hint, findings=findings)
    return ConfigInvalid(f"{len(findings)} options are wrong", findings=findings)


def _unknown(key: str, also_known: Iterable[str]) -> OptionFault:
    names = [name.replace("_", "-") for name in OPTION_NAMES] + list(also_known)
    close = difflib.get_close_matches(key.replace("_", "-").lower(), names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known options: {', '.join(names)}"
    return OptionFault(key, "is not a known option", hint)


def _ill_typed(key: str, detail: ErrorDetails) -> OptionFault:
    """Say in plain words what pydantic found; the validators above bring their own words."""
    cause = detail.get("ctx", {}).get("error")
    fault = str(cause) if isinstance(cause, ValueError) else "must be true or false"
    return OptionFault(key, fault, values.SIZE_HINT if key in ("max-size", "max_size") else None)
