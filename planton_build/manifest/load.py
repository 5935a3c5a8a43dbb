"""Reading the `AwsLambda` documents of a file, with all their mistakes at once."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

import yaml
from pydantic import ValidationError

from planton_build.errors import Finding, ManifestInvalid, NotDeployable
from planton_build.manifest import rules
from planton_build.manifest.document import FieldPath, Manifest, Position, nearest
from planton_build.manifest.model import AwsLambda
from planton_build.manifest.nodes import Document, compose
from planton_build.manifest.reader import MAX_FINDINGS, NodeReader, field_name
from planton_build.manifest.rules import Level, Violation
from planton_build.manifest.source import MAX_BYTES, SourceText, read_source

__all__ = ["Level", "looks_like_manifest", "read_manifests", "require_deployable"]

_SUFFIXES = frozenset({".yaml", ".yml"})
_KIND = re.compile(
    rb"""(?ix) \b kind ["']? \s* : \s* (?: [&!][^\s]{0,99} \s+ ){0,2} ["']?
    [-_]* a [-_]* w [-_]* s [-_]* l [-_]* a [-_]* m [-_]* b [-_]* d [-_]* a [-_]* (?: ["'\s,}\#] | \Z )"""
)
"""Upstream's kind lookup ignores case, `-` and `_`. Anchors, tags and quotes may stand before the name."""


def looks_like_manifest(path: Path) -> bool:
    """Tell quickly, without parsing, whether a file may hold an `AwsLambda` document.

    For discovery: a file that is larger than a manifest may be is none. So is one whose suffix is neither
    `.yaml` nor `.yml`. One that must not be read may be a manifest, which would be passed over in silence.
    """
    if path.suffix.lower() not in _SUFFIXES:
        return False
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            return False
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES)
    except PermissionError:
        return True  # reading it says what is wrong
    except OSError:
        return False
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):  # a UTF-16 manifest: reading it says what is wrong
        raw = raw.replace(b"\0", b"")
    return _KIND.search(raw) is not None


def read_manifests(path: Path, *, level: Level = "buildable") -> list[Manifest]:
    """Read all `AwsLambda` documents of a file, in their order; other documents are skipped.

    At the level `buildable` the code source may be missing or incomplete, at `deployable` every rule holds.
    A file without such a document gives an empty list.

    Raises ManifestUnreadable if the file is not YAML that can be read safely, and ManifestInvalid, with all
    mistakes of the file as findings, if a document breaks the schema or a rule.
    """
    source = read_source(path)
    manifests: list[Manifest] = []
    findings: list[Finding] = []
    for document in compose(source.text, path):
        if _is_lambda(document.root):
            manifest, wrong = _read(document, source, level)
            findings += wrong
            if manifest is not None:
                manifests.append(manifest)
    if findings:
        findings.sort(key=lambda finding: (finding.line or 0, finding.column or 0))
        count = "1 mistake" if len(findings) == 1 else f"{len(findings)} mistakes"
        more = f"; the first {MAX_FINDINGS} are listed" if len(findings) > MAX_FINDINGS else ""
        message = f"{path}: {count} in the manifest{more}"
        raise ManifestInvalid(message, findings=findings[:MAX_FINDINGS])
    return manifests


def require_deployable(manifest: Manifest) -> None:
    """Raise NotDeployable, with findings, unless a manifest that was read as buildable can be deployed."""
    found = list(rules.violations(manifest.model, "deployable", manifest.positions))
    if found:
        name = manifest.model.spec.function_name
        raise NotDeployable(
            f"{manifest.path}: {name} has no complete code source",
            hint="Run planton-build, which builds the function and writes the code source.",
            findings=_findings(found, NotDeployable.code, manifest.path, manifest.positions),
        )


def _is_lambda(root: yaml.Node) -> bool:
    """Tell whether a document is of this kind, in upstream's wide reading; `rules` is exact about it."""
    if not isinstance(root, yaml.MappingNode):
        return False
    return any(
        key.value == "kind"
        and isinstance(value, yaml.ScalarNode)
        and re.sub("[-_]", "", value.value).lower() == "awslambda"
        for key, value in root.value
    )


def _read(document: Document, source: SourceText, level: Level) -> tuple[Manifest | None, list[Finding]]:
    """Read one document: a manifest, or what is wrong with it."""
    assert isinstance(document.root, yaml.MappingNode)  # noqa: S101  # `_is_lambda` has seen to it
    reader = NodeReader(source.file)
    plain = reader.read(document.root)
    try:
        model = AwsLambda.model_validate(plain)
    except ValidationError as error:
        return None, [*reader.findings, *_unforeseen(error, source.file, reader.positions)]
    broken = rules.violations(model, level, reader.positions)
    judged = _judged(broken, reader.broken)
    wrong = _findings(judged, ManifestInvalid.code, source.file, reader.positions)
    if reader.findings or wrong:
        return None, [*reader.findings, *wrong]
    notes = _findings(rules.warnings(model), "manifest_warning", source.file, reader.positions)
    return (
        Manifest(source.file, document.index, model, reader.positions, source.digest, tuple(notes)),
        [],
    )


def _judged(found: Iterable[Violation], broken: AbstractSet[FieldPath]) -> Iterator[Violation]:
    """Leave out the rules that have read, or are about, a field that could not be read."""
    parents = {path[:end] for path in broken for end in range(len(path) + 1)}
    for violation in found:
        paths = violation.uses or (violation.path,)
        inside = (path[:end] for path in paths for end in range(len(path)))
        if parents.isdisjoint(paths) and broken.isdisjoint(inside):
            yield violation


def _findings(
    found: Iterable[Violation], code: str, file: Path, positions: Mapping[FieldPath, Position]
) -> list[Finding]:
    """Turn violations into findings at the field, or at its nearest parent that is written down."""
    return [_finding(code, file, positions, violation.at or violation.path, violation) for violation in found]


def _finding(
    code: str, file: Path, positions: Mapping[FieldPath, Position], at: FieldPath, violation: Violation
) -> Finding:
    place = nearest(positions, at)
    line, column = (place.line, place.column) if place else (None, None)
    message = f"{field_name(violation.path)}: {violation.message}"
    return Finding(code, message, file, line, column, violation.hint, violation.rule)


def _unforeseen(error: ValidationError, file: Path, positions: Mapping[FieldPath, Position]) -> list[Finding]:
    """Turn what only pydantic noticed into findings. The reader should have said it before, and better."""
    found = [
        Violation(problem["loc"], "parse.type", problem["msg"], "Correct the value.")
        for problem in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    return _findings(found, ManifestInvalid.code, file, positions)
