"""What the audit says: findings, exceptions that turn them into notes, and the error that ends a build."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

from planton_build.errors import (
    ConfigInvalid,
    DependencyMissing,
    Finding,
    NativeCodeUnloadable,
    PlantonError,
)

Level: TypeAlias = Literal["failure", "note"]

REQUIREMENT_RULES = frozenset({"requirement", "requirement-version"})
"""The rules about packages and not about native code."""


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """One thing about an artifact.

    `rule` is one of `architecture`, `python-abi`, `other-platform`, `unreadable`, `glibc`, `symbol-version`,
    `library`, `requirement`, `requirement-version`, `unused-exception`. `subject` is what an exception names:
    a file's path, a library or a required package. `package` is the normalised name of the package, or "" for
    the function's own files. `files` are all files that have the same fault, the first of them in `message`;
    within one package, findings of the same `group` are told as one.
    """

    rule: str
    subject: str
    package: str
    message: str
    hint: str
    level: Level = "failure"
    files: tuple[str, ...] = ()
    group: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class AuditReport:
    """All findings: what fails, and what is only worth a word.

    `machines` counts the ELF files by machine, without those that say in their path which machine they are
    for.
    """

    findings: tuple[AuditFinding, ...]
    notes: tuple[AuditFinding, ...]
    machines: Mapping[str, int] = field(default_factory=dict)


def check_exceptions(allow: Mapping[str, str]) -> None:
    """Raise ConfigInvalid for an exception without a reason or a name."""
    for name, reason in allow.items():
        if not name.strip() or not reason.strip():
            raise ConfigInvalid(
                f"the exception {name!r} of the audit has no {'reason' if name.strip() else 'name'}",
                hint="name the file, library or package, and why it may stay: 'libfoo.so=never loaded'",
            )


def report_of(
    found: Iterable[AuditFinding], allow: Mapping[str, str], machines: Mapping[str, int] | None = None
) -> AuditReport:
    """Apply exceptions, join what is the same fault of one package, and sort.

    `allow` maps a subject or a path, or a pattern as in a shell, to the reason why it may stay.

    Raises:
        ConfigInvalid: an exception has no reason.
    """
    check_exceptions(allow)
    used: set[str] = set()
    judged = [_excused(finding, allow, used) for finding in found]
    judged += [_unused(name, reason) for name, reason in allow.items() if name not in used]
    joined = sorted(_joined(judged), key=lambda one: (one.package, one.rule, one.subject))
    return AuditReport(
        findings=tuple(one for one in joined if one.level == "failure"),
        notes=tuple(one for one in joined if one.level == "note"),
        machines=dict(machines or {}),
    )


def _excused(finding: AuditFinding, allow: Mapping[str, str], used: set[str]) -> AuditFinding:
    names = (finding.subject, *finding.files)
    matching = [
        pattern for pattern in allow if any(n == pattern or fnmatch.fnmatchcase(n, pattern) for n in names)
    ]
    used.update(matching)
    if not matching or finding.level == "note":
        return finding
    reason = allow[matching[0]]
    return replace(finding, level="note", message=f"{finding.message}; allowed: {reason}", hint="")


def _unused(name: str, reason: str) -> AuditFinding:
    return AuditFinding(
        "unused-exception",
        name,
        "",
        f"the exception {name!r} ({reason}) excuses nothing",
        "remove it: it would hide a fault that comes back",
        "note",
    )


def _joined(findings: Sequence[AuditFinding]) -> list[AuditFinding]:
    """Make one finding of those that have the same `group` in one package: one word for sixty files."""
    groups: dict[tuple[str, str, str, str], list[AuditFinding]] = {}
    for finding in findings:
        key = (finding.level, finding.rule, finding.package, finding.group or finding.subject)
        groups.setdefault(key, []).append(finding)
    return [_one_of(group) for group in groups.values()]


def _one_of(group: Sequence[AuditFinding]) -> AuditFinding:
    first = group[0]
    files = tuple(dict.fromkeys(file for finding in group for file in finding.files))
    if len(files) <= 1:
        return first
    more = len(files) - 1
    message = f"{first.message} (so {'do' if more > 1 else 'does'} {more} more of its files)"
    return replace(first, message=message, files=files)


def raise_for(report: AuditReport, file: Path) -> None:
    """Raise the error that has all failing findings, or nothing. `file` is the manifest or the ZIP.

    Raises:
        NativeCodeUnloadable: a native file would not load; also when a package is missing besides.
        DependencyMissing: a package lacks another one, and all native files are well.
    """
    if not report.findings:
        return
    native = any(finding.rule not in REQUIREMENT_RULES for finding in report.findings)
    error: type[PlantonError] = NativeCodeUnloadable if native else DependencyMissing
    count = len(report.findings)
    first = report.findings[0]
    raise error(
        first.message if count == 1 else f"{count} faults in the artifact; first, {first.message}",
        hint=first.hint or None,
        findings=[
            Finding(_code(finding), finding.message, file, hint=finding.hint or None, rule=finding.rule)
            for finding in report.findings
        ],
    )


def _code(finding: AuditFinding) -> str:
    return DependencyMissing.code if finding.rule in REQUIREMENT_RULES else NativeCodeUnloadable.code
