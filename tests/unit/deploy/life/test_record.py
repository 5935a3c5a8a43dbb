from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planton_build.deploy.life.record import (
    MAX_DESCRIPTION,
    BuildRecord,
    build_record_for,
    parse,
    render,
)
from planton_build.manifest.load import read_manifests

WHEN = datetime(2026, 11, 25, 16, 40, 12, tzinfo=UTC)
COMMIT = "7a56fba76814af888cc923545c38cf37a2bda4fa"
hexes = "0123456789abcdef"
times = st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)).map(
    lambda time: time.replace(microsecond=0)
)
records = st.builds(
    BuildRecord,
    commit=st.one_of(st.just(""), st.text(hexes, min_size=7, max_size=40)),
    dirty=st.booleans(),
    lock=st.one_of(st.just(""), st.text(hexes, min_size=12, max_size=12)),
    time=st.one_of(st.none(), times),
    who=st.text(max_size=10).map(lambda text: " ".join(text.split())).filter(str.isprintable),
    note=st.text(max_size=10).map(lambda text: " ".join(text.split())).filter(str.isprintable),
)


def test_a_record_is_one_line_that_people_can_read() -> None:
    record = BuildRecord(COMMIT, True, "ab12cd34ef56", WHEN, "ci@acme", "nightly build")
    assert render(record) == (
        f"planton: git={COMMIT}+dirty lock=ab12cd34ef56 at=2026-11-25T16:40:12Z by=ci@acme note=nightly build"
    )


@settings(max_examples=200)
@given(records)
def test_what_is_rendered_is_read_back(record: BuildRecord) -> None:
    text = render(record)
    assert len(text.encode("utf-16-le")) // 2 <= MAX_DESCRIPTION
    if record == BuildRecord():
        assert parse(text) is None
    else:
        assert parse(text) == record


@settings(max_examples=200)
@given(
    st.builds(
        BuildRecord, commit=st.text(), lock=st.text(), who=st.text(max_size=300), note=st.text(max_size=600)
    )
)
def test_whatever_is_rendered_fits_and_stays(record: BuildRecord) -> None:
    text = render(record)
    assert len(text.encode("utf-16-le", "surrogatepass")) // 2 <= MAX_DESCRIPTION
    assert "\n" not in text
    read = parse(text)
    assert read is None or render(read) == text


@settings(max_examples=200)
@given(st.one_of(st.text(), st.text().map(lambda text: f"planton: {text}")))
def test_any_description_is_read_without_failing(text: str) -> None:
    parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "renders prices",
        "planton:",
        "planton: git=xyz",
        "planton: git=7a56fba extra",
        "planton: at=2026-13-45T16:40:12Z",
    ],
)
def test_other_descriptions_are_no_records(text: str) -> None:
    assert parse(text) is None


def test_a_note_is_cut_before_it_is_refused() -> None:
    record = BuildRecord(COMMIT, lock="ab12cd34ef56", time=WHEN, who="ci", note="é🙂" * 200)
    text = render(record)
    assert len(text.encode("utf-16-le")) // 2 <= MAX_DESCRIPTION
    assert record.note.startswith(parse(text).note)  # type: ignore[union-attr]


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    for name, value in {"NAME": "a", "EMAIL": "a@b.c"}.items():
        monkeypatch.setenv(f"GIT_AUTHOR_{name}", value)
        monkeypatch.setenv(f"GIT_COMMITTER_{name}", value)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    def run(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "lambda.yaml").write_text(
        "apiVersion: aws.planton.dev/v1\nkind: AwsLambda\nmetadata: {name: render}\nspec:\n"
        "  region: eu-west-1\n  functionName: render\n"
        "  roleArn: {value: 'arn:aws:iam::123456789012:role/r'}\n"
        "  codeSourceType: CODE_SOURCE_TYPE_S3\n  runtime: python3.13\n  handler: app.handler\n"
    )
    (tmp_path / "app.py").write_text("handler = print\n")
    (tmp_path / "requirements.txt").write_text("attrs==25.3.0\n")
    return tmp_path


def record_of(folder: Path) -> BuildRecord:
    return build_record_for(read_manifests(folder / "lambda.yaml")[0], time=WHEN, who="ci")


def test_without_a_repository_there_is_no_commit(folder: Path) -> None:
    record = record_of(folder)
    assert (record.commit, record.dirty, record.time, record.who) == ("", False, WHEN, "ci")


def test_the_commit_is_that_of_the_manifests_folder(folder: Path, git: Callable[..., str]) -> None:
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    record = record_of(folder)
    assert (record.commit, record.dirty) == (git("rev-parse", "HEAD"), False)


def test_what_the_build_writes_into_the_manifest_is_not_dirt(folder: Path, git: Callable[..., str]) -> None:
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    with (folder / "lambda.yaml").open("a") as file:
        file.write("  s3: {bucket: artifacts, key: a.zip}\n")
    assert not record_of(folder).dirty
    (folder / "app.py").write_text("handler = repr\n")
    assert record_of(folder).dirty


def test_a_file_that_git_does_not_know_is_dirt(folder: Path, git: Callable[..., str]) -> None:
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    (folder / "more.py").touch()
    assert record_of(folder).dirty


def test_variables_do_not_choose_another_repository(
    folder: Path, git: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    commit = git("rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(folder / "nowhere"))
    assert record_of(folder).commit == commit


def test_a_repository_without_a_commit_has_none(folder: Path, git: Callable[..., str]) -> None:
    git("init", "-q")
    assert record_of(folder).commit == ""


def test_no_program_of_the_repository_runs(folder: Path, git: Callable[..., str], tmp_path: Path) -> None:
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    trap = tmp_path / "home" / "ran"
    trap.parent.mkdir(exist_ok=True)
    git("config", "core.fsmonitor", f"touch {trap}; false")
    assert record_of(folder).commit
    assert not trap.exists()


def test_the_lock_is_the_files_digest(folder: Path) -> None:
    first = record_of(folder).lock
    assert len(first) == 12
    (folder / "requirements.python3.13-x86_64.lock").write_text("# other\n")
    second = record_of(folder).lock
    assert second not in (first, "")
    (folder / "requirements.txt").unlink()
    assert record_of(folder).lock == ""
