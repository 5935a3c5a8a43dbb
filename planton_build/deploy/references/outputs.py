"""The source `outputs`: a YAML or JSON file with the outputs of resources, written by whatever made them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from planton_build.deploy.references.answers import Absent, Found, Refused, Wanted
from planton_build.deploy.references.kinds import folded_kind, kind_name
from planton_build.deploy.references.options import Options
from planton_build.deploy.references.path import nested
from planton_build.deploy.references.reading import Kept, bytes_of, json_of, plain
from planton_build.deploy.references.select import select
from planton_build.errors import ManifestUnreadable
from planton_build.manifest.nodes import compose, decode, short


def file_of(options: Options, kept: Kept[Any], name: str, *, may_lack: bool) -> Any:
    """Return the content of a file that a source names, read once.

    Raises Absent when it does not exist and `may_lack` (its name depends on the question); ConfigInvalid when
    it does not exist otherwise, or cannot be read.
    """
    path = options.folder / name

    def read() -> Any:
        try:
            raw = bytes_of(path)
            if path.suffix.lower() in (".yaml", ".yml"):
                return _yaml(raw, path)
            return json_of(raw)
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise options.failure(f"the file {name} {error}", file=path) from None

    content = kept.get(path, read)
    if content is None and may_lack:
        raise Absent(f"the file {name} does not exist")
    if content is None:
        raise options.failure(
            f"the file {name} does not exist", hint="paths are relative to this file's folder"
        )
    return content


class Outputs:
    """Finds values in `{Kind: {name: {output: value}}}`, also below the environment, or with flat keys."""

    remote = False

    def __init__(self, options: Options) -> None:
        self._options = options
        self._file = options.required("file", '"outputs.yaml"', path=True)
        options.rest()
        self._kept: Kept[Any] = Kept()

    def find(self, wanted: Wanted) -> Found:
        """Return the value that the file has for the wanted resource."""
        name = self._file.fill(wanted)
        content = file_of(self._options, self._kept, name, may_lack=bool(self._file.placeholders))
        if not isinstance(content, Mapping):
            raise self._options.failure(
                f"the file {name} must hold a mapping", file=self._options.folder / name
            )
        output = wanted.path.output
        if not output:
            raise Absent(f"{wanted.path.text} is no output, and only outputs are there")
        for env in dict.fromkeys((wanted.env, "")):
            tree, at = _resource(content, env, wanted)
            if tree is not None:
                return _found(tree, f"{name} {at}", wanted)
        raise Absent(f"{name} has no {wanted.resource}")


def _found(tree: Mapping[str, Any], at: str, wanted: Wanted) -> Found:
    try:
        values = select(nested(tree), wanted.path.steps[2:])
    except ValueError as error:
        raise Refused(f"{at} {error}") from None
    except Absent as missing:
        raise Absent(f"{at}: {missing}") from None
    except Refused as refused:
        raise Refused(f"{at}: {refused}", refused.hint) from None
    return Found(values, f"{at}/{wanted.path.output}")


def _resource(content: Mapping[str, Any], env: str, wanted: Wanted) -> tuple[Mapping[str, Any] | None, str]:
    """Return the outputs of a resource, and the way to them; nested and flat keys count together."""
    tables = [content] if not env else [table for table in [content.get(env)] if isinstance(table, Mapping)]
    outputs: dict[str, Any] = {}
    there = False
    for table in tables:
        for kind, names in table.items():
            if isinstance(names, Mapping) and _same_kind(str(kind), wanted):
                own = names.get(wanted.name)
                if isinstance(own, Mapping):
                    there = True
                    _join(outputs, own, str(kind))
    for key, value in _flat(content, env, wanted):
        there = True
        _join(outputs, {key: value}, key)
    at = "/".join(part for part in (env, wanted.kind, wanted.name) if part)
    return (outputs if there else None), at


def _flat(content: Mapping[str, Any], env: str, wanted: Wanted) -> Iterator[tuple[str, Any]]:
    """Yield what stands under `Kind/name/status.outputs.x`, or with the environment before it."""
    for key, value in content.items():
        parts = str(key).split("/")
        if env:
            if len(parts) != 4 or parts[0] != env:
                continue
            parts = parts[1:]
        if len(parts) == 3 and _same_kind(parts[0], wanted) and parts[1] == wanted.name:
            yield parts[2].removeprefix("status.outputs."), value


def _join(outputs: dict[str, Any], more: Mapping[str, Any], at: str) -> None:
    for key, value in more.items():
        if outputs.setdefault(str(key), value) != value:
            raise Refused(f"the file says {short(at)} {short(str(key))} twice, with different values")


def _same_kind(written: str, wanted: Wanted) -> bool:
    return folded_kind(kind_name(written)) == folded_kind(wanted.kind)


def _yaml(raw: bytes, path: Path) -> Any:
    try:
        documents = compose(decode(raw, path).text, path)
    except ManifestUnreadable as error:
        at = error.findings[0]
        line = f" in line {at.line}" if at.line else ""
        raise ValueError(f"cannot be read: {error.message}{line}") from None
    if len(documents) != 1:
        raise ValueError(f"has {len(documents)} YAML documents, where one belongs")
    return plain(documents[0].root) or {}
