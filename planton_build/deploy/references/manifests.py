"""The source `manifests`: the `status.outputs` of other manifests, of whatever kind."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from planton_build.deploy.references.answers import Absent, Found, Refused, Wanted
from planton_build.deploy.references.kinds import folded_kind
from planton_build.deploy.references.options import Options
from planton_build.deploy.references.path import Step, folded, listed, nested
from planton_build.deploy.references.reading import Kept, bytes_of, plain
from planton_build.deploy.references.select import select
from planton_build.errors import ManifestUnreadable
from planton_build.manifest.nodes import MAX_BYTES, compose, decode, pairs
from planton_build.project.discovery import SKIPPED
from planton_build.project.repository import ignore_rules_above, repository_root
from planton_build.project.tree import entries_of

MAX_FILES = 20_000
"""Most YAML files that one search looks into."""
_SUFFIXES = (".yaml", ".yml")
_KIND = re.compile(rb"\bkind\b")
_RESOURCE = re.compile(rb"outputs|a[-_]?w[-_]?s", re.IGNORECASE)
"""What a file must hold to be parsed: something of AWS, or outputs. Most YAML of a repository has neither."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One document with a kind and a name."""

    file: str
    line: int
    env: str
    root: yaml.MappingNode


@dataclass(slots=True)
class Index:
    """The documents below some folders, by kind and name; and the files that could not be read."""

    files: int = 0
    resources: dict[tuple[str, str], list[Resource]] = field(default_factory=dict)
    broken: list[tuple[str, str, bytes]] = field(default_factory=list)


class Manifests:
    """Finds values in `status.outputs` (and `spec`) of YAML documents.

    Without `paths` it looks below the repository of the manifest that refers, or, outside of one, below its
    folder and the `given` ones.
    """

    remote = False

    def __init__(self, options: Options, given: Sequence[Path] = ()) -> None:
        self._options = options
        self._paths = options.texts("paths")
        options.rest()
        self._given = tuple(path if path.is_dir() else path.parent for path in given)
        self._kept: Kept[Index] = Kept()

    def find(self, wanted: Wanted) -> Found:
        """Return the value that a document of the wanted kind, name and environment has."""
        index, where = self._index(wanted)
        candidates = index.resources.get((folded_kind(wanted.kind), wanted.name), [])
        fitting = [one for one in candidates if one.env == wanted.env]
        # A resource that belongs to no environment serves all that have none of their own.
        fitting = fitting or [one for one in candidates if not one.env]
        answers: list[tuple[Resource, tuple[str, ...]]] = []
        reasons: list[str] = []
        for one in fitting:
            try:
                answers.append((one, select(_document(one), wanted.path.steps)))
            except Absent as missing:
                reasons.append(f"in {one.file}:{one.line} {missing}")
            except Refused as refused:
                raise Refused(f"{one.file}:{one.line}: {refused}", refused.hint) from None
        self._check_broken(index, wanted)
        if answers:
            return _agreed(answers, wanted)
        raise Absent("; ".join(reasons) or _nowhere(index, where, candidates, wanted))

    def _index(self, wanted: Wanted) -> tuple[Index, str]:
        """Return what is known of the places that count, and their name for people."""
        if self._paths is not None:
            base = self._options.folder
            return self._kept.get("paths", lambda: self._read(base, self._named(base))), ", ".join(
                self._paths
            )
        folder = Path(os.path.realpath(wanted.folder))
        if (root := repository_root(folder)) is not None:
            return self._kept.get(root, lambda: self._read(root, _below(root))), f"the repository {root.name}"
        roots = sorted({folder, *(Path(os.path.realpath(one)) for one in self._given)})
        files = (file for one in roots for file in _below(one))
        return self._kept.get(tuple(roots), lambda: self._read(folder, files)), f"the folder {folder.name}"

    def _named(self, base: Path) -> Iterator[Path]:
        """Yield the files that `paths` names: files, folders, or patterns of them."""
        for pattern in self._paths or ():
            if glob.has_magic(pattern):
                # Not Path.glob: it takes no absolute patterns.
                found = sorted(glob.glob(pattern, root_dir=base, recursive=True))  # noqa: PTH207
            else:
                found = [pattern]
            for name in found:
                path = base / name
                if path.is_dir():
                    yield from _below(path)
                elif path.is_file():
                    yield path
                elif not glob.has_magic(pattern):
                    raise self._options.failure(f"the path {pattern} does not exist")

    def _read(self, base: Path, files: Iterable[Path]) -> Index:
        index = Index()
        seen: set[str] = set()
        for file in files:
            real = os.path.realpath(file)
            if real in seen or not file.name.lower().endswith(_SUFFIXES):
                continue
            seen.add(real)
            index.files += 1
            if index.files > MAX_FILES:
                hint = 'name the folders that matter: paths = ["infra"]'
                raise Refused(f"there are more than {MAX_FILES} YAML files", hint)
            _read_file(index, file, _shown(file, base))
        return index

    def _check_broken(self, index: Index, wanted: Wanted) -> None:
        """Refuse to answer when a file that nobody can read may hold another answer."""
        name, kind = wanted.name.encode(), folded_kind(wanted.kind).encode()
        for file, reason, raw in index.broken:
            if name in raw and kind in re.sub(rb"[-_]", b"", raw).lower():
                hint = "correct it, or name the files that matter with `paths` of a source `manifests`"
                raise Refused(f"{file} names {wanted.resource}, but cannot be read: {reason}", hint)


def _below(top: Path) -> Iterator[Path]:
    """Yield the YAML files below a folder: what discovery would look into."""
    rules, base = ignore_rules_above(Path(os.path.realpath(top)))
    pending = [(top, base, rules)]
    while pending:
        folder, base, rules = pending.pop()
        entries = entries_of(folder, base)
        names = {entry.name for entry in entries}
        if "pyvenv.cfg" in names and folder != top:
            continue
        if ".gitignore" in names:
            rules = rules.entering(base, folder / ".gitignore")
        for entry in entries:
            if rules.decide(entry.relative, folder=entry.is_folder):
                continue
            if entry.is_folder:
                if not entry.name.startswith(".") and entry.name not in SKIPPED:
                    pending.append((entry.path, entry.relative + "/", rules))
            elif entry.is_regular and entry.name.lower().endswith(_SUFFIXES):
                yield entry.path


def _read_file(index: Index, file: Path, shown: str) -> None:
    try:
        raw = bytes_of(file, MAX_BYTES)
    except FileNotFoundError:  # removed since the folder was read
        return
    except ValueError as error:
        index.broken.append((shown, f"it {error}", b""))
        return
    if not (_KIND.search(raw) and _RESOURCE.search(raw)):
        return
    try:
        documents = compose(decode(raw, file).text, file)
    except ManifestUnreadable as error:
        at = error.findings[0]
        line = f" (line {at.line})" if at.line else ""
        index.broken.append((shown, error.message + line, raw))
        return
    for document in documents:
        root = document.root
        kind, metadata = _child(root, "kind"), _child(root, "metadata")
        name, env = _child(metadata, "name"), _child(metadata, "env")
        if isinstance(root, yaml.MappingNode) and _text(kind) and _text(name):
            resource = Resource(shown, root.start_mark.line + 1, _text(env), root)
            index.resources.setdefault((folded_kind(_text(kind)), _text(name)), []).append(resource)


def _child(node: yaml.Node | None, name: str) -> yaml.Node | None:
    return next((value for key, value in pairs(node) if key.value == name), None) if node else None


def _text(node: yaml.Node | None) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""


def _document(one: Resource) -> Any:
    """Return a document as plain values, its outputs unfolded."""
    document = plain(one.root)
    status = document.get("status")
    if isinstance(status, dict) and isinstance(status.get("outputs"), dict):
        try:
            status["outputs"] = nested(status["outputs"])
        except ValueError as error:
            raise Refused(f"status.outputs {error}") from None
    return document


def _agreed(answers: Sequence[tuple[Resource, tuple[str, ...]]], wanted: Wanted) -> Found:
    (first, values), *others = answers
    line = _line(first, wanted.path.steps)
    for other, different in others:
        if different != values:
            places = f"{first.file}:{line} and {other.file}:{_line(other, wanted.path.steps)}"
            hint = "remove one of them, set metadata.env in both, or limit the source `manifests` by `paths`"
            raise Refused(f"{wanted.resource} has different values in {places}", hint)
    return Found(values, f"{first.file}:{line} {wanted.path.text}")


def _line(one: Resource, steps: Sequence[Step]) -> int:
    """Return the line of the value, or of the list that holds the values."""
    node: yaml.Node = one.root
    line = one.line
    for step in steps:
        below: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            spelled = (
                (key, value) for key, value in pairs(node) if folded(str(key.value)) == folded(str(step))
            )
            if (pair := next(spelled, None)) is not None:
                line, below = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            below = node.value[step]
            line = below.start_mark.line + 1
        if below is None:
            break
        node = below
    return line


def _nowhere(index: Index, where: str, candidates: Sequence[Resource], wanted: Wanted) -> str:
    if candidates:
        one = candidates[0]
        envs = listed({other.env for other in candidates})
        return f"{one.file}:{one.line} has it, but only for the environment {envs}"
    if not index.files:
        return f"no YAML file in {where}"
    names = [name for kind, name in index.resources if kind == folded_kind(wanted.kind)]
    known = f" (of this kind: {listed(names)})" if names else ""
    broken = f"; {len(index.broken)} could not be read" if index.broken else ""
    return f"no document of it in {index.files} YAML files of {where}{known}{broken}"


def _shown(file: Path, base: Path) -> str:
    try:
        return str(Path(os.path.realpath(file)).relative_to(os.path.realpath(base)))
    except ValueError:
        return str(file)
