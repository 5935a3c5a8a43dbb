"""Bytecode without a container: which files get it, where it belongs, and the script on this Python."""

from __future__ import annotations

import marshal
import shutil
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest

from planton_build.archive.compress import member_from_bytes, member_from_symlink
from planton_build.archive.member import Member
from planton_build.artifact import bytecode_of
from planton_build.cache import Store
from planton_build.ecosystems.python.building.bytecode import bytecode_members, bytecode_path
from planton_build.events import Event
from planton_build.runtimes.target import Target
from planton_build.sandbox.build_image import ImagePin
from planton_build.sandbox.job import Limits

TAG = str(sys.implementation.cache_tag)


@pytest.fixture
def member(store: Store) -> Callable[..., Member]:
    def make(path: str, content: bytes = b"") -> Member:
        return member_from_bytes(content, archive_path=path, executable=False, origin="kind", store=store)

    return make


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("app.py", "__pycache__/app.cpython-313.pyc"),
        ("kind/part/__init__.py", "kind/part/__pycache__/__init__.cpython-313.pyc"),
        ("a.b.py", "__pycache__/a.b.cpython-313.pyc"),
        (".py", "__pycache__/.cpython-313.pyc"),
    ],
)
def test_bytecode_belongs_beside_its_source(path: str, expected: str, intel: Target) -> None:
    assert bytecode_path(path, intel) == expected


def test_the_cost_counts_bytecode_only(member: Callable[..., Member]) -> None:
    members = [member("app.py", b"x" * 100), member("__pycache__/app.cpython-313.pyc", b"y" * 1000)]

    cost = bytecode_of(members)

    assert (cost.files, cost.unzipped_size) == (1, 1000)
    assert 0 < cost.size < 100


def test_groups_without_anything_to_compile_need_no_container(
    member: Callable[..., Member], store: Store, intel: Target
) -> None:
    def never() -> object:
        raise AssertionError("asked for a container")

    events: list[Event] = []
    long = f"{'n' * 250}.py"  # with the tag it would be too long for a file's name
    link = member_from_symlink("other.py", archive_path="link.py", origin="", store=store)
    groups = [[member("data.txt"), link, member(long)], []]

    made = bytecode_members(
        groups,
        intel,
        store,
        sandbox=never,  # type: ignore[arg-type]
        image=never,  # type: ignore[arg-type]
        pin=ImagePin("image", "sha256:0"),
        limits=Limits(),
        listener=events.append,
        function="orders",
    )

    assert made == [[], []]
    assert events == []


@pytest.fixture
def compile_files(tmp_path: Path) -> Callable[..., dict[str, bytes]]:
    """Run the script on this Python; return what it made by path."""
    script = resources.files("planton_build.ecosystems.python.building.inside").joinpath(
        "compile_bytecode.py"
    )

    def run(files: dict[str, bytes], *, tag: str = TAG, python: str = sys.executable) -> dict[str, bytes]:
        place = Path(tempfile.mkdtemp(dir=tmp_path))
        sources, out, listing = (place / name for name in ("sources", "out", "listing"))
        for folder in (sources, out):
            folder.mkdir()
        for number, content in enumerate(files.values()):
            (sources / f"{number}.py").write_bytes(content)
        listing.write_text("".join(f"{number} /var/task/{path}\n" for number, path in enumerate(files)))
        options = ["-I", "-S", "-B", "-W", "ignore", str(script), tag]
        done = subprocess.run(
            [python, *options, str(listing), str(sources), str(out)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        made = {path: out / f"{number}.pyc" for number, path in enumerate(files)}
        return {path: file.read_bytes() for path, file in made.items() if file.exists()}

    return run


def test_the_script_writes_unchecked_bytecode_with_the_functions_paths(
    compile_files: Callable[..., dict[str, bytes]],
) -> None:
    made = compile_files({"a b/app.py": b"def f(): return 1\n"})

    code = marshal.loads(made["a b/app.py"][16:])
    assert isinstance(code, types.CodeType)
    assert code.co_filename == "/var/task/a b/app.py"
    assert made["a b/app.py"][4:8] == b"\x01\0\0\0"


def test_the_script_passes_over_what_does_not_compile(
    compile_files: Callable[..., dict[str, bytes]],
) -> None:
    files = {
        "good.py": b"# coding: latin-1\nname = '\xe9'\n",
        "python2.py": b"print 'hello'\n",
        "encoding.py": b"name = '\xff'\n",
        "null.py": b"a\0b",
        "deep.py": b"-" * 200_000 + b"1\n",
        "number.py": b"1" * 5000 + b"\n",
        "empty.py": b"",
    }

    made = compile_files(files)

    assert {"good.py", "empty.py"} <= made.keys()
    assert not {"python2.py", "encoding.py", "null.py", "deep.py"} & made.keys()


def test_the_script_warns_of_nothing_in_other_peoples_code(
    compile_files: Callable[..., dict[str, bytes]],
) -> None:
    assert compile_files({"warned.py": b"x = '\\d'\nif x is 'd': pass\n"})


def test_the_script_ends_when_the_interpreter_is_another(
    compile_files: Callable[..., dict[str, bytes]],
) -> None:
    with pytest.raises(RuntimeError, match=f"makes {TAG} bytecode, not cpython-399"):
        compile_files({"app.py": b""}, tag="cpython-399")


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14"])
def test_what_is_compiled_before_a_file_leaves_no_trace_in_it(
    compile_files: Callable[..., dict[str, bytes]], version: str
) -> None:
    python, tag = shutil.which(f"python{version}"), f"cpython-{version.replace('.', '')}"
    asked = [python or "", "-c", "import sys; print(sys.implementation.cache_tag)"]
    if (
        python is None
        or subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() != tag
    ):
        pytest.skip(f"there is no Python {version} here")
    # Decoding it imports encodings.koi8_r, which has the name `decoding_table`.
    files = {"before.py": b"# coding: koi8-r\n", "app.py": b"def f(x): return x + 'decoding_table'\n"}

    crowd = compile_files(files, tag=tag, python=python)
    alone = compile_files({"app.py": files["app.py"]}, tag=tag, python=python)

    assert crowd["app.py"] == alone["app.py"]
