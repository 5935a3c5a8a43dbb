from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from planton_build.project.patterns import Patterns, lines_of, way_to


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    (folder / ".git" / "info" / "exclude").write_bytes(b"")
    return folder


def asked_of_git(repository: Path, lines: list[str], path: str, *, folder: bool) -> bool | None:
    """Ask git which pattern decides; the entry is made for real, since git looks at the disk for folders."""
    import shutil

    for child in repository.iterdir():
        if child.name != ".git":
            shutil.rmtree(child) if child.is_dir() else child.unlink()
    (repository / ".gitignore").write_bytes("\n".join(lines).encode() + b"\n")
    entry = repository / path
    entry.parent.mkdir(parents=True, exist_ok=True)
    entry.mkdir() if folder else entry.touch()
    done = subprocess.run(
        ["git", "-c", "core.excludesFile=/dev/null", "check-ignore", "-v", "-z", "--no-index", "--stdin"],
        cwd=repository,
        input=path.encode() + b"\0",
        capture_output=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    if not done.stdout:
        return None
    return not done.stdout.split(b"\0")[2].startswith(b"!")


NAMES = st.sampled_from(["a", "b", "ab", "a.b", "é", "-", "a b", "[", "b]", "A", "abab"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
PIECES = st.sampled_from(
    """a b é * ** *** ? / / **/ /** [ab] [!a] [^b] [a-b] []b] [a [[:alpha:]] [[:bad:]] [[:] [-a] [a-] [b-a]
    \\a \\* \\ # ! . _ \\_""".split()  # noqa: SIM905
).map(lambda piece: piece.replace("_", " "))
LINES = st.lists(
    st.builds(
        lambda sign, pieces: sign + "".join(pieces),
        st.sampled_from(["", "", "!"]),
        st.lists(PIECES, max_size=6),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES, path=PATHS, folder=st.booleans())
@example(lines=["*", "!*/", "!*.b"], path="a/a.b", folder=False)
@example(lines=["*", "!*/", "!*.b"], path="a/b", folder=False)
@example(lines=["a/**", "!a/b"], path="a/b", folder=False)
@example(lines=["a/**"], path="a", folder=True)
@example(lines=["a**/b"], path="a/ab/b", folder=False)
@example(lines=["a/b**"], path="a/b/a", folder=False)
@example(lines=["/"], path="a", folder=True)
@example(lines=["?"], path="é", folder=False)
@example(lines=["a\\ "], path="a", folder=False)
def test_decisions_are_gits_own(repository: Path, lines: list[str], path: str, folder: bool) -> None:
    assert Patterns(lines).decide_within(path, folder=folder) == asked_of_git(
        repository, lines, path, folder=folder
    )


@pytest.mark.parametrize(
    ("lines", "path", "folder", "expected"),
    [
        (["*.py"], "a/b.py", False, True),
        (["/*.py"], "a/b.py", False, None),
        (["build/"], "build", False, None),
        (["build/"], "a/build", True, True),
        (["a/b/"], "x/a/b", True, None),
        (["*", "!*/", "!*.py"], "a", True, False),
        (["*", "!*/", "!*.py"], "a/b.txt", False, True),
        (["*", "!*/", "!*.py"], "a/b.py", False, False),
        (["#a", "", "\\#a"], "#a", False, True),
        (["a "], "a", False, True),
        (["a\\ "], "a ", False, True),
        (["a\t"], "a", False, None),
        (["**/a"], "a", False, True),
        (["a/**/b"], "a/b", False, True),
        (["a/**/b"], "a/x/y/b", False, True),
        (["[[:upper:]]"], "A", False, True),
        (["[[:upper:]]"], "a", False, None),
        (["[!a]"], "b", False, True),
        (["/a[!x]b"], "a/b", False, None),
        (["/a?b"], "a/b", False, None),
    ],
)
def test_one_entry(lines, path, folder, expected):
    assert Patterns(lines).decide(path, folder=folder) is expected


def test_an_entry_is_not_matched_by_its_folder_but_within_it_is():
    patterns = Patterns(["build/"])
    assert patterns.decide("build/x.py", folder=False) is None
    assert patterns.decide_within("build/x.py") is True


def test_many_stars_take_no_time():
    patterns = Patterns(["*a" * 25 + "*b", "*a*b/**/*a" + "*a" * 25 + "*b"])
    # With backtracking this would outlive the universe; the assertion is that it ends.
    assert patterns.decide("x/" + "a" * 250, folder=False) is None
    assert patterns.decide("a" * 250 + "b", folder=False) is True


def test_no_patterns_are_false():
    assert not Patterns(["# only", "", "  ", "/", "!", "a\\"])
    assert Patterns(["a"])


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a\r\nb\n", ["a", "b", ""]),
        ("\ufeffa", ["a"]),
        ("a\rb", ["a\rb"]),
        ("a\x0cb\u2028c", ["a\x0cb\u2028c"]),
    ],
)
def test_lines(text, lines):
    assert lines_of(text) == lines


@pytest.mark.parametrize(
    ("pattern", "way"),
    [
        ("*.txt", []),
        ("/x", []),
        ("x/", []),
        ("**/x", []),
        ("a/b*/c.txt", ["/a/", "/a/b*/"]),
        ("/a/x/", ["/a/"]),
        ("a/**", ["/a/"]),
        ("a/**/c", ["/a/", "/a/**/"]),
    ],
)
def test_way(pattern, way):
    assert way_to(pattern) == way
