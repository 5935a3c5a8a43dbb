from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from planton_build.audit.archive import members_of
from planton_build.audit.content import audit
from planton_build.audit.findings import AuditReport
from planton_build.cache import Store
from planton_build.errors import ArchiveInvalid, ConfigInvalid
from planton_build.runtimes.catalog import target_for
from planton_build.runtimes.target import Target

Craft = Callable[..., bytes]

TARGET = target_for("python3.13", "arm64")
METADATA = "numpy-2.0.dist-info/METADATA"


@pytest.fixture
def archive(tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    def made(files: dict[str, bytes]) -> Path:
        path = tmp_path / "some.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
            for name, content in files.items():
                opened.writestr(name, content)
        return path

    return made


def audit_zip(
    path: Path, target: Target | None, *, store: Store, allow: Mapping[str, str] | None = None
) -> AuditReport:
    """Audit a ZIP as `planton-build check` does."""
    return audit(*members_of(path), target, store=store, allow=allow or {})


def test_a_zip_of_another_tool_is_audited_as_an_artifact(
    archive: Callable[[dict[str, bytes]], Path], store: Store, elf: Craft
) -> None:
    path = archive(
        {
            "app.py": b"import numpy\n",
            "numpy/_m.cpython-313-aarch64-linux-gnu.so": elf("aarch64", needed=["libblas.so.3", "libc.so.6"]),
            "numpy.libs/libblas.so.3": elf("aarch64", versions=[("libc.so.6", "GLIBC_2.38")]),
            METADATA: b"Name: numpy\nVersion: 2.0\nRequires-Dist: missing\n",
        }
    )
    report = audit_zip(path, TARGET, store=store)
    assert [(one.rule, one.subject, one.package) for one in report.findings] == [
        ("glibc", "numpy.libs/libblas.so.3", "numpy"),
        ("requirement", "missing", "numpy"),
    ]
    assert report.machines == {"aarch64": 2}
    allowed = audit_zip(path, TARGET, store=store, allow={"numpy.libs/*": "tested", "missing": "optional"})
    assert allowed.findings == ()
    assert len(allowed.notes) == 2


def test_without_a_target_all_native_code_has_to_be_of_one_machine(
    archive: Callable[[dict[str, bytes]], Path], store: Store, elf: Craft
) -> None:
    files = {"a.so": elf("aarch64"), "b/b.so": elf("aarch64"), "p/linux-amd64/tool.so": elf("x86_64")}
    report = audit_zip(archive(files), None, store=store)
    assert report.findings == ()
    assert report.machines == {"aarch64": 2}
    mixed = audit_zip(archive({**files, "c.so": elf("x86_64")}), None, store=store)
    (found,) = mixed.findings
    assert found.rule == "architecture"
    assert "2 for aarch64 (a.so, b/b.so), 1 for x86_64 (c.so)" in found.message


def test_requirements_are_those_of_python_runtimes_only(
    archive: Callable[[dict[str, bytes]], Path], store: Store
) -> None:
    path = archive({METADATA: b"Name: numpy\nVersion: 2.0\nRequires-Dist: missing\n"})
    assert audit_zip(path, target_for("provided.al2023", "arm64"), store=store).findings == ()


def test_what_is_no_zip_is_refused(tmp_path: Path, store: Store) -> None:
    with pytest.raises(ArchiveInvalid):
        audit_zip(tmp_path / "absent.zip", TARGET, store=store)


def test_exceptions_are_looked_at_before_anything_is_read(store: Store) -> None:
    with pytest.raises(ConfigInvalid):
        audit([], {}, TARGET, store=store, allow={"x": ""})
