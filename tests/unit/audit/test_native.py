"""Judgements on native code, made on files that gcc compiles here and on crafted ones for other machines."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import pytest

from planton_build.archive.compress import member_from_symlink
from planton_build.archive.member import Member
from planton_build.audit.binaries import native_files
from planton_build.audit.content import audit, libraries_in
from planton_build.audit.findings import AuditReport
from planton_build.cache import Store
from planton_build.runtimes.catalog import target_for

Compile = Callable[..., bytes]
Craft = Callable[..., bytes]
Make = Callable[..., Member]

AL2 = target_for("python3.11", "x86_64")
AL2023 = target_for("python3.13", "x86_64")
ARM = target_for("python3.11", "arm64")
MODULE = "p/_x.cpython-311-x86_64-linux-gnu.so"
THREADS = """\
#define _GNU_SOURCE
#include <pthread.h>
static void *run(void *x) { return x; }
int start(void) { pthread_t thread; return pthread_create(&thread, 0, run, 0); }
"""


@pytest.fixture
def judge(store: Store) -> Callable[..., AuditReport]:
    def judged(
        *members: Member,
        target: object = AL2,
        allow: Mapping[str, str] | None = None,
        layers: Collection[str] | None = (),
    ) -> AuditReport:
        return audit(members, {}, target, store=store, allow=allow or {}, layer_libraries=layers)  # type: ignore[arg-type]

    return judged


Judge = Callable[..., AuditReport]


def told(report: AuditReport) -> list[tuple[str, str, str]]:
    return [(one.level, one.rule, one.subject) for one in (*report.findings, *report.notes)]


def test_a_module_built_on_a_newer_system_is_reported_with_the_version(
    judge: Judge, make: Make, compile_c: Compile
) -> None:
    module = make(MODULE, compile_c(THREADS), origin="p")  # pthread_create moved to libc.so.6 in glibc 2.34
    (found,) = judge(module).findings
    assert (found.rule, found.subject, found.package) == ("glibc", MODULE, "p")
    assert found.message == (
        f"{MODULE} (of p) needs GLIBC_2.34 (of libc.so.6), and python3.11 has 2.26: "
        "it was built on a newer system"
    )
    assert "manylinux_2_26" in found.hint
    assert "Amazon Linux 2023" in found.hint
    newer = make(MODULE.replace("311", "313"), compile_c(THREADS), origin="p")
    assert judge(newer, target=AL2023) == AuditReport((), (), {"x86_64": 1})


def test_a_symbol_newer_than_amazon_linux_2023_is_reported(
    judge: Judge, make: Make, compile_c: Compile
) -> None:
    source = (
        '#include <stdlib.h>\n#include <string.h>\n__asm__(".symver arc4random,arc4random@GLIBC_2.36");\n'
    )
    source += "unsigned f(void) { return arc4random(); }"  # new in glibc 2.36
    module = make("p/x.abi3.so", compile_c(source), origin="p")
    (found,) = judge(module, target=AL2023).findings
    assert "GLIBC_2.36" in found.message
    assert "python3.13 has 2.34" in found.message


def test_a_program_among_the_functions_own_files_is_judged_too(
    judge: Judge, make: Make, compile_c: Compile
) -> None:
    program = make("tools/run", compile_c("int main(void) { return 0; }", program=True))
    (found,) = judge(program).findings
    assert found.rule == "glibc"  # __libc_start_main is new in 2.34
    assert found.message.startswith("tools/run needs GLIBC_2.34")
    assert found.hint.startswith("build the file in the build container of python3.11-x86_64")


def test_a_static_program_of_the_machine_is_fine(judge: Judge, make: Make, compile_c: Compile) -> None:
    static = make("bootstrap", compile_c("int main(void) { return 0; }", "-static", program=True))
    assert told(judge(static)) == []
    (found,) = judge(static, target=ARM).findings
    assert found.rule == "architecture"
    assert "is for x86_64, and python3.11-arm64 is aarch64" in found.message


def test_a_library_that_is_nowhere_is_reported_with_its_user(
    judge: Judge, make: Make, compile_c: Compile
) -> None:
    private = compile_c("int foo(void) { return 1; }", "-Wl,-soname,libfoo.so.2")
    user = compile_c("int foo(void);\nint f(void) { return foo(); }", libraries=[("libfoo.so", private)])
    module = make(MODULE, user, origin="p")
    (found,) = judge(module).findings
    assert (found.rule, found.subject, found.files) == ("library", "libfoo.so.2", (MODULE,))
    assert "neither the artifact nor python3.11 has" in found.message
    assert told(judge(module, layers=["libfoo.so.2"])) == []
    assert told(judge(module, layers=None)) == [("note", "library", "libfoo.so.2")]


@pytest.mark.parametrize(
    ("place", "flags"),
    [
        ("libfoo.so.2", ()),
        ("lib/libfoo.so.2", ()),
        ("q/libfoo.so.2", ("-Wl,-rpath,$ORIGIN",)),
        ("q/deep/libfoo.so.2", ("-Wl,-rpath,/nowhere:${ORIGIN}/deep",)),
        ("libs/libfoo.so.2", ("-Wl,-rpath,$ORIGIN/../libs", "-Wl,--disable-new-dtags")),
        ("other/libfoo.so.2", ("-Wl,-rpath,/var/task/other",)),
    ],
)
def test_a_library_is_found_where_the_loader_looks(
    place: str, flags: Sequence[str], judge: Judge, make: Make, compile_c: Compile
) -> None:
    private = compile_c("int foo(void) { return 1; }", "-Wl,-soname,libfoo.so.2")
    user = compile_c(
        "int foo(void);\nint f(void) { return foo(); }", *flags, libraries=[("libfoo.so", private)]
    )
    assert told(judge(make("q/tool.so", user), make(place, private))) == []
    elsewhere = judge(make("q/tool.so", user), make("hidden/libfoo.so.2", private))
    assert told(elsewhere) == [("note", "library", "libfoo.so.2")]


def test_a_package_finds_its_own_libraries_wherever_they_are(judge: Judge, make: Make, elf: Craft) -> None:
    module = make(MODULE, elf(needed=["libown-1a2b.so.5", "libnamed.so.1"]), origin="p")
    libraries = [
        make("p.libs/libown-1a2b.so.5", elf(), origin="p"),
        make("p/data/other-name.so", elf(soname="libnamed.so.1"), origin="p"),
    ]
    assert told(judge(module, *libraries)) == []
    foreign = [make("p.libs/libown-1a2b.so.5", elf("aarch64"), origin="p"), libraries[1]]
    assert ("failure", "library", "libown-1a2b.so.5") in told(judge(module, *foreign))


def test_a_library_may_be_reached_by_a_link(judge: Judge, make: Make, elf: Craft, store: Store) -> None:
    link = member_from_symlink("libz9.so.1.2", archive_path="lib/libz9.so.1", origin="", store=store)
    assert told(judge(make("x.so", elf(needed=["libz9.so.1"])), make("lib/libz9.so.1.2", elf()), link)) == []


def test_a_library_seen_only_in_the_image_is_a_note(judge: Judge, make: Make, elf: Craft) -> None:
    report = judge(make("x.so", elf(needed=["libcurl.so.4"])))
    assert told(report) == [("note", "library", "libcurl.so.4")]
    assert "may be absent" in report.notes[0].message


def test_a_plugin_that_nothing_is_linked_with_is_a_note(judge: Judge, make: Make, elf: Craft) -> None:
    module = make(MODULE, elf(needed=["libused.so"]), origin="p")
    used = make("p/libused.so", elf(needed=["libmissing.so.1"]), origin="p")
    plugin = make("p/libplugin.so", elf(needed=["libcuda.so.1"]), origin="p")
    report = judge(module, used, plugin)
    assert told(report) == [
        ("failure", "library", "libmissing.so.1"),
        ("note", "library", "libcuda.so.1"),
    ]
    alone = judge(make("c/libplugin.so", elf(needed=["libcuda.so.1"]), origin="c"))
    assert told(alone) == [("failure", "library", "libcuda.so.1")]  # for ctypes, perhaps
    own = judge(make("x.abi3.so", elf()), make("lib/libmine.so", elf(needed=["libcuda.so.1"])))
    assert told(own) == [("failure", "library", "libcuda.so.1")]


def test_musl_and_displays_have_remedies_of_their_own(judge: Judge, make: Make, elf: Craft) -> None:
    musl = make("a.so", elf(needed=["libc.musl-x86_64.so.1"]), origin="a")
    screen = make("b.so", elf(needed=["libGL.so.1"]), origin="cv2")
    program = make("bin/c", elf(interpreter="/lib/ld-musl-x86_64.so.1"), origin="c")
    hints = {one.subject: one.hint for one in judge(musl, screen, program).findings}
    assert "Alpine Linux" in hints["libc.musl-x86_64.so.1"]
    assert "Alpine Linux" in hints["ld-musl-x86_64.so.1"]
    assert "opencv-python-headless" in hints["libGL.so.1"]


def test_the_compilers_library_may_be_too_old(judge: Judge, make: Make, elf: Craft) -> None:
    def of(version: str, **more: object) -> Member:
        versions = [("libstdc++.so.6", version)]
        return make("p/x.so", elf(needed=["libstdc++.so.6"], versions=versions, **more), origin="p")

    assert told(judge(of("GLIBCXX_3.4.24"))) == []
    assert told(judge(of("GLIBCXX_3.4.25"))) == [("failure", "symbol-version", "p/x.so")]
    assert told(judge(of("CXXABI_1.3.12"))) == [("failure", "symbol-version", "p/x.so")]
    assert told(judge(of("GLIBCXX_3.4.29"), target=AL2023)) == []
    assert told(judge(of("GLIBCXX_3.4.33"), target=AL2023)) == [("note", "symbol-version", "p/x.so")]
    assert told(judge(of("GLIBCXX_3.4.34"), target=AL2023)) == [("failure", "symbol-version", "p/x.so")]
    own = make("p/libs/libstdc++.so.6", elf(soname="libstdc++.so.6"), origin="p")
    assert told(judge(of("GLIBCXX_3.4.34", rpath="$ORIGIN/libs"), own)) == []
    assert told(judge(of("GLIBCXX_3.4.34", runpath="$ORIGIN/libs"), own)) == [
        ("note", "symbol-version", "p/x.so")  # LD_LIBRARY_PATH comes first, with the system's
    ]
    both = of("GLIBCXX_3.4.34", rpath="$ORIGIN/libs", runpath="$ORIGIN")  # then DT_RPATH is ignored
    assert told(judge(both, own)) == [("note", "symbol-version", "p/x.so")]


def test_code_of_another_machine_fails_where_it_is_used(judge: Judge, make: Make, elf: Craft) -> None:
    members = [
        make("p/_x.abi3.so", elf("aarch64"), origin="p"),
        make("p/bin/tool", elf("aarch64", interpreter="/lib/ld-linux-aarch64.so.1"), origin="p"),
        make("p/data/tool", elf("aarch64", interpreter="/lib/ld-linux-aarch64.so.1"), origin="q"),
        make("r/linux-arm64/librun.so", elf("aarch64"), origin="r"),
        make("own/tool", elf("i686")),
    ]
    report = judge(*members)
    assert told(report) == [
        ("failure", "architecture", "own/tool"),
        ("failure", "architecture", "p/_x.abi3.so"),
        ("note", "architecture", "p/data/tool"),
        ("note", "architecture", "r/linux-arm64/librun.so"),
    ]
    assert report.findings[1].files == ("p/_x.abi3.so", "p/bin/tool")
    assert "set spec.architecture to ARM64" in report.findings[1].hint
    assert report.machines == {"aarch64": 3, "i686": 1}


def test_a_module_for_another_python_fails_only_when_none_fits(judge: Judge, make: Make, elf: Craft) -> None:
    other = make("p/_x.cpython-310-x86_64-linux-gnu.so", elf(needed=["libmissing.so"]), origin="p")
    (found,) = judge(other).findings
    assert found.rule == "python-abi"
    assert "Python 3.11" in found.hint
    for sibling in (MODULE, "p/_x.abi3.so", "p/_x.py"):
        content = b"" if sibling.endswith(".py") else elf()
        report = judge(other, make(sibling, content, origin="p"))
        assert told(report) == [("note", "python-abi", other.path)]
    assert told(judge(other, target=target_for("provided.al2", "x86_64"))) == [
        ("failure", "library", "libmissing.so")
    ]


def test_a_module_of_another_machine_is_passed_over_when_one_fits(
    judge: Judge, make: Make, elf: Craft
) -> None:
    other = make("p/_x.cpython-311-aarch64-linux-gnu.so", elf("aarch64"), origin="p")
    assert [level for level, *_ in told(judge(other))] == ["failure"]
    assert [level for level, *_ in told(judge(other, make(MODULE, elf(), origin="p")))] == ["note"]
    unnamed = make("p/_x.abi3.so", elf("aarch64"), origin="p")  # import takes it before the Python file
    assert [level for level, *_ in told(judge(unnamed, make("p/_x.py", origin="p")))] == ["failure"]


def test_leftovers_of_other_platforms_are_a_note_for_each_package(judge: Judge, make: Make) -> None:
    mac = b"\xcf\xfa\xed\xfe" + bytes(60)
    report = judge(make("p/liba.dylib", mac, origin="p"), make("p/b.dylib", mac, origin="p"))
    assert told(report) == [("note", "other-platform", "p/liba.dylib")]
    assert "does 1 more of its files" in report.notes[0].message


def test_a_package_installed_on_a_mac_fails(judge: Judge, make: Make) -> None:
    mac = b"\xcf\xfa\xed\xfe" + bytes(60)
    (found,) = judge(make("numpy/_core.cpython-311-darwin.so", mac, origin="numpy")).findings
    assert found.rule == "other-platform"
    assert "for macOS" in found.message
    assert "python3.11-x86_64" in found.hint


def test_a_damaged_library_fails_and_damaged_data_is_a_note(judge: Judge, make: Make, elf: Craft) -> None:
    broken = elf()[:100]
    assert told(judge(make("p/x.so", broken, origin="p"))) == [("failure", "unreadable", "p/x.so")]
    assert told(judge(make("p/tests/sample", broken, origin="p"))) == [
        ("note", "unreadable", "p/tests/sample")
    ]


def test_one_word_is_said_for_all_files_of_a_package_and_the_worst_first(
    judge: Judge, make: Make, elf: Craft
) -> None:
    members = [
        make(f"p/_{minor}.abi3.so", elf(versions=[("libc.so.6", f"GLIBC_2.{minor}")]), origin="p")
        for minor in (28, 35, 17, 34)
    ]
    (found,) = judge(*members).findings
    assert "_35.abi3.so" in found.message
    assert "(so do 2 more of its files)" in found.message
    assert set(found.files) == {"p/_28.abi3.so", "p/_34.abi3.so", "p/_35.abi3.so"}


def test_what_a_layer_has_is_told_by_name_and_soname(make: Make, store: Store, elf: Craft) -> None:
    natives = native_files([make("lib/libfoo.so.1.2", elf(soname="libfoo.so.1"))], store)
    assert libraries_in(natives) == {"libfoo.so.1.2", "libfoo.so.1"}


def test_what_is_recorded_of_one_target_serves_another(judge: Judge, make: Make, elf: Craft) -> None:
    module = make("p/x.so", elf(versions=[("libc.so.6", "GLIBC_2.28")]), origin="p")
    assert told(judge(module, target=AL2023)) == []
    assert told(judge(module, target=AL2)) == [("failure", "glibc", "p/x.so")]
