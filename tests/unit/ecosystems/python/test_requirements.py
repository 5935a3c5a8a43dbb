"""Requirements files as pip reads them, and what of them cannot be locked."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pip._internal.req.req_file import preprocess

from planton_build.ecosystems.python.requirement_syntax import Place, hashes, logical_lines, options
from planton_build.ecosystems.python.requirements import (
    MAX_FILES,
    IndexOptions,
    parse_requirements,
    read_requirements,
)
from planton_build.ecosystems.python.settings import IndexSettings
from planton_build.errors import DependencyInputInvalid, PlantonError

A, B = "a" * 64, "b" * 64
HERE = Path("/project/requirements.txt")


def write(folder: Path, **files: str) -> Path:
    """Write files; `base` becomes base.txt."""
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text)
    return folder / "requirements.txt"


def test_a_requirement_keeps_its_extras_specifiers_and_marker() -> None:
    text = 'httpx[http2] >=0.27,<1 ; python_version >= "3.13"  # why\n'
    (named,) = parse_requirements(text, HERE).named
    assert named.text == 'httpx[http2] >=0.27,<1 ; python_version >= "3.13"'
    assert str(named.requirement().specifier) == "<1,>=0.27"
    assert (named.file, named.line) == (HERE, 1)


def test_hashes_over_continued_lines_belong_to_their_requirement() -> None:
    text = f"one==1 \\\n    --hash=sha256:{A} \\\n    --hash=sha256:{B}\n\ntwo==2 --hash sha256:{B.upper()}\n"
    one, two = parse_requirements(text, HERE).named
    assert (one.hashes, one.line) == ({A, B}, 1)
    assert (two.hashes, two.line) == ({B}, 5)


def test_hashes_of_other_algorithms_are_passed_over() -> None:
    text = f"one==1 --hash=sha512:{A}{A} --hash=sha256:{B}"
    assert parse_requirements(text, HERE).named[0].hashes == {B}


@pytest.mark.parametrize(
    "options",
    [
        f"--hash=sha512:{A}{A}",
        "--hash=sha256:abc",
        "--hash=sha256",
        "--hash",
        f"--hash=sha256:{A}/../x",
        "--global-option=x",
        f"--hash='sha256:{A}",
    ],
)
def test_a_requirement_with_a_bad_option_is_refused_with_its_line(options: str) -> None:
    with pytest.raises(DependencyInputInvalid) as caught:
        parse_requirements(f"zero\none==1 {options}", HERE)
    assert caught.value.findings[0].line == 2


@pytest.mark.parametrize(
    ("text", "is_pin"),
    [
        ("one==1", True),
        ("one[a,b] == 1.0 ; os_name == 'posix'", True),
        ("one===1", True),
        ("one==1.*", False),
        ("one>=1", False),
        ("one==1,!=1.1", False),
        ("one", False),
    ],
)
def test_a_pin_allows_exactly_one_version(text: str, is_pin: bool) -> None:
    assert parse_requirements(text, HERE).named[0].is_pin is is_pin


@pytest.mark.parametrize(
    "text",
    [
        "one @ https://index.example/one-1.tar.gz",
        "one[extra]@git+ssh://git@index.example/one",
        "git+https://user:secret@index.example/one.git#egg=one",
        "https://index.example/one-1-py3-none-any.whl",
        "file:///srv/one",
        "one @ file:./one",
        "-e git+https://index.example/one.git#egg=one",
        "--editable=hg+https://index.example/one",
    ],
)
def test_a_url_requirement_is_refused_with_what_to_do(text: str) -> None:
    with pytest.raises(
        DependencyInputInvalid, match=r"requirements\.txt:3: .*URL or a version control"
    ) as caught:
        parse_requirements(f"\n\n{text}\n", HERE)
    assert caught.value.hint is not None
    assert "./path" in caught.value.hint
    assert "secret" not in str(caught.value)


def test_includes_and_constraints_are_followed_relative_to_their_own_file(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "base.txt").write_text("two\n-c bounds.txt\n")
    (tmp_path / "shared" / "bounds.txt").write_text("two<3\n-r more.txt")
    (tmp_path / "shared" / "more.txt").write_text("three<4\n")
    path = write(
        tmp_path, requirements="one\n-r shared/base.txt\n--requirement=shared/base.txt\n-rshared/base.txt"
    )
    read = read_requirements(path)
    assert [one.text for one in read.named] == ["one", "two"]
    assert [one.text for one in read.constraints] == ["two<3", "three<4"]
    assert [file.name for file, _ in read.files] == ["requirements.txt", "base.txt", "bounds.txt", "more.txt"]


def test_a_file_may_serve_as_requirement_and_as_constraint(tmp_path: Path) -> None:
    read = read_requirements(write(tmp_path, requirements="-r base.txt\n-c base.txt", base="one"))
    assert (len(read.named), len(read.constraints)) == (1, 1)


def test_a_circular_include_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, requirements="-r base.txt", base="-c requirements.txt")
    with pytest.raises(DependencyInputInvalid, match=r"base\.txt:1: .*includes itself"):
        read_requirements(path)


def test_too_many_includes_are_refused(tmp_path: Path) -> None:
    files = {f"f{number}": f"-r f{number + 1}.txt" for number in range(MAX_FILES + 1)}
    with pytest.raises(DependencyInputInvalid, match="more than 100"):
        read_requirements(write(tmp_path, requirements="-r f0.txt", **files))


@pytest.mark.parametrize(
    "value",
    [
        "/etc/passwd",
        "~/base.txt",
        "https://index.example/base.txt",
        "file:base.txt",
        "C:\\base.txt",
        "gone.txt",
    ],
)
def test_an_include_that_is_not_a_file_of_the_repository_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(DependencyInputInvalid):
        read_requirements(write(tmp_path, requirements=f"-r '{value}'"))


def test_local_projects_are_found_in_all_their_forms(tmp_path: Path) -> None:
    for name in ("one", "two", "my libs/three", "four[x]"):
        (tmp_path / name).mkdir(parents=True)
    text = "./one\n-e two[B,a_c] ; os_name == 'posix'\n-e './my libs/three'\n.[x]\n"
    read = read_requirements(write(tmp_path, requirements=text))
    assert [local.folder for local in read.local] == [
        tmp_path / "one",
        tmp_path / "two",
        tmp_path / "my libs" / "three",
        tmp_path,
    ]
    assert [local.extras for local in read.local] == [(), ("a-c", "b"), (), ("x",)]
    assert read.local[1].marker == "os_name == 'posix'"


@pytest.mark.parametrize(
    "text", ["./gone", "/srv/one", "-e ~/one", "./one-1.0-py3-none-any.whl", "vendor/one.tar.gz", "-c b.txt"]
)
def test_a_path_that_is_not_a_folder_of_the_repository_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(DependencyInputInvalid):
        read_requirements(write(tmp_path, requirements=text, b="./shared"))


def test_index_options_are_collected_and_do_not_show(tmp_path: Path) -> None:
    text = (
        "-i https://user:${TOKEN}@index.example/simple\n--extra-index-url=https://extra.example/simple\n"
        "--find-links ./wheels\n--trusted-host index.example\n--no-binary a_b,:none:\n--pre\n"
        "--prefer-binary\n"
    )
    read = read_requirements(write(tmp_path, requirements=text), variables={"TOKEN": "sesame"})
    assert read.index_options == IndexOptions(
        "https://user:sesame@index.example/simple",
        ("https://extra.example/simple",),
        (str(tmp_path / "wheels"),),
        False,
        ("index.example",),
    )
    assert (read.no_binary, read.pre) == (("a-b",), True)
    assert "sesame" not in repr(read)


def test_variables_that_are_not_given_stay_as_they_are_written() -> None:
    read = parse_requirements("-i https://${A}:${b}@index.example/", HERE, variables={"B": "x"})
    assert read.index_options.index_url == "https://${A}:${b}@index.example/"


def test_index_options_merge_as_pip_merges_them() -> None:
    settings = IndexSettings("https://main.example", ("https://extra.example",), ("/wheels",))
    assert IndexOptions(extra_index_urls=("https://more.example",)).applied_to(settings).index_urls == (
        "https://main.example",
        "https://extra.example",
        "https://more.example",
    )
    replaced = IndexOptions("https://own.example", find_links=("/own",))
    merged = replaced.applied_to(settings)
    assert merged.index_urls == ("https://own.example",)
    assert merged.find_links == ("/wheels", "/own")
    assert replaced.applied_to(merged) == merged
    assert IndexOptions(no_index=True).applied_to(settings).index_urls == ()


@pytest.mark.parametrize(
    "text", ["--unknown", "--index-url", "-r", "--pre=yes", "-e", '--find-links "open', "-x"]
)
def test_an_option_that_pip_would_not_take_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(DependencyInputInvalid, match=r"requirements\.txt:2: "):
        parse_requirements(f"one\n{text}", HERE)


def test_text_that_is_no_requirement_is_refused_when_it_is_needed() -> None:
    (named,) = parse_requirements("one two", HERE).named
    with pytest.raises(DependencyInputInvalid, match=r"requirements\.txt:1: one two is not a requirement"):
        named.requirement()


def test_a_file_that_is_not_utf_8_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_bytes(b"one\ntwo # caf\xe9\n")
    with pytest.raises(DependencyInputInvalid, match=r"requirements\.txt:2: .*UTF-8"):
        read_requirements(path)


def test_line_ends_and_a_byte_order_mark_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_bytes(b"\xef\xbb\xbfone \\\r\n  >=1\r\ntwo\r\n")
    assert [one.text for one in read_requirements(path).named] == ["one   >=1", "two"]


lines = st.lists(
    st.sampled_from(
        [
            "one",
            "two==2 \\",
            "#",
            " # c",
            "\\",
            "--hash=sha256:x",
            "-r x",
            "[",
            "'",
            "\t",
            "é",
            ";",
            "@",
            "./",
            "\x0c",
            "",
            "\\#",
        ]
    ),
    max_size=12,
)


@settings(deadline=None)
@given(lines.map("\n".join) | st.text(max_size=80))
def test_lines_are_joined_and_stripped_as_pip_does_it(text: str) -> None:
    # pip numbers a continued line by its first line too.
    ours = [(number, line) for number, line in logical_lines(text)]
    assert ours == [(number, line.strip()) for number, line in preprocess(text) if line.strip()]


@settings(deadline=None)
@given(lines.map("\n".join) | st.text(max_size=200))
def test_no_text_makes_the_parser_crash(text: str) -> None:
    try:
        read = parse_requirements(text, HERE)
        for one in (*read.named, *read.constraints):
            one.requirement()
    except PlantonError:
        pass


@settings(deadline=None)
@given(st.text(max_size=60))
def test_no_option_line_makes_the_parser_crash(text: str) -> None:
    for parse in (
        lambda: list(options(f"-{text}", Place(HERE, 1))),
        lambda: hashes(f"--hash{text}", Place(HERE, 1)),
    ):
        try:
            parse()
        except DependencyInputInvalid as error:
            assert error.findings[0].line == 1
