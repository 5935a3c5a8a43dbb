"""`.dockerignore`: the same files as by docker's own matcher, and by what its reference says."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from planton_build.errors import DockerfileFailed
from planton_build.sandbox.dockerfile.context import read_context
from planton_build.sandbox.dockerfile.ignore import parse_ignore_file

NAMES = ("a", "b.py", "ab", "b")
COMPONENT = st.sampled_from(["a", "b.py", "ab", "b", "*", "?", "*b", "a*", "*.py", "[ab]", "**", ".", ".."])
# [^a] is not among them: docker-py takes it as Python's fnmatch does, not as Go.
GLOB = st.lists(COMPONENT, min_size=1, max_size=3).map("/".join)
LITERAL = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(lambda parts: "!" + "/".join(parts))


@pytest.fixture(scope="module")
def tree() -> Iterator[Path]:
    """A folder of three levels."""
    root = Path(tempfile.mkdtemp(prefix="ignored-"))
    for one in NAMES:
        for two in NAMES:
            (root / f"d{one}" / two).mkdir(parents=True)
            for three in NAMES:
                (root / f"d{one}" / two / three).touch()
    for one in ("a", "b"):
        (root / one).mkdir()
        for two in NAMES:
            (root / one / two).touch()
    (root / "ab").touch()
    (root / "b.py").touch()
    yield root
    shutil.rmtree(root)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(globs=st.lists(GLOB, max_size=3), literals=st.lists(LITERAL, max_size=2))
@example(globs=["*"], literals=["!da/a/b"])
@example(globs=["**/b"], literals=[])
@example(globs=["*/*/a"], literals=["!a"])
def test_the_same_files_are_left_out_as_by_the_matcher_of_docker_py(
    tree: Path, globs: list[str], literals: list[str]
) -> None:
    from docker.utils.build import PatternMatcher

    # With `!`, docker-py does not see that a folder above is left out by `**`; moby does since 20.10.
    patterns = [*(one for one in globs if not literals or "**" not in one), *literals]
    (tree / ".dockerignore").write_text("\n".join(patterns))
    kept = {
        entry.name
        for entry in read_context(tree, tree / "Dockerfile").entries
        if entry.digest is not None and entry.name != ".dockerignore"
    }
    theirs = {name for name in PatternMatcher(list(patterns)).walk(str(tree)) if (tree / name).is_file()}
    assert kept == theirs - {".dockerignore"}


@pytest.mark.parametrize(
    ("patterns", "path", "out"),
    [
        ("*.md\n!README.md", "README.md", False),
        ("*.md\n!README*.md\nREADME-secret.md", "README-secret.md", True),
        ("*.md\nREADME-secret.md\n!README*.md", "README-secret.md", False),
        ("**/*.go", "a/b/c.go", True),
        ("*/temp*", "x/temporary.txt", True),
        ("*/temp*", "x/y/temporary.txt", False),
        ("/secret", "secret", True),
        ("secret/", "secret/key", True),
        ("# a comment\n  secret  ", "secret", True),
        (" # no comment", "a", False),
        ("a/../b", "b", True),
        (".", "a", False),
        ("a\\*", "a*", True),
        ("a\\*", "ab", False),
        ("a.c", "abc", False),
        ("\ufeffx", "x", False),
        ("*\n!src", "src/app.py", False),
        ("**", "a/b", True),
        ("a+(b)", "a+(b)", True),
        ("[^a]", "b", True),
        ("[^a]", "a", False),
    ],
)
def test_a_pattern_means_what_the_reference_says(patterns: str, path: str, out: bool) -> None:
    assert parse_ignore_file(patterns).leaves_out(path) is out


@pytest.mark.parametrize("pattern", ["[", "a[b", "[z-a]", "!"])
def test_a_pattern_that_means_nothing_is_named_with_its_line(pattern: str) -> None:
    with pytest.raises(DockerfileFailed) as failed:
        parse_ignore_file(f"fine\n{pattern}\n")
    assert failed.value.findings[0].line == 2


def test_the_file_beside_the_dockerfile_is_stronger(tmp_path: Path) -> None:
    for name in ("Dockerfile", "kept", "left"):
        (tmp_path / name).touch()
    (tmp_path / ".dockerignore").write_text("kept\n")
    (tmp_path / "Dockerfile.dockerignore").write_text("left\n*ockerfile*\n.dockerignore\n")
    assert [entry.name for entry in read_context(tmp_path, tmp_path / "Dockerfile").entries] == ["kept"]
