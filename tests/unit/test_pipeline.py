from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from planton_build import pipeline
from planton_build.cache import Store
from planton_build.ecosystems.catalog import ecosystems
from planton_build.errors import (
    HandlerMissing,
    RuntimeUnsupported,
    SeveralErrors,
    SizeBudgetExceeded,
    SourceInvalid,
)
from planton_build.events import Event, StepFinished, StepStarted
from planton_build.imaging.imaging import Imaging
from planton_build.manifest.load import read_manifests
from planton_build.pipeline import Built, Workshop, build, build_all
from planton_build.project.function import BuildOptions, FunctionProject
from planton_build.runtimes.catalog import target_for

MANIFEST = """
apiVersion: aws.planton.dev/v1
kind: AwsLambda
metadata: {{name: {name}}}
spec:
  region: eu-west-1
  functionName: {name}
  roleArn: {{value: "arn:aws:iam::111122223333:role/r"}}
  runtime: {runtime}
  handler: {handler}
"""
Make = Callable[..., FunctionProject]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make a function in a folder, from files."""

    def project(
        folder: str = "orders",
        *,
        name: str = "orders",
        runtime: str = "python3.13",
        architecture: str = "arm64",
        handler: str = "app.handler",
        files: dict[str, str] | None = None,
        **options: Any,
    ) -> FunctionProject:
        source = tmp_path / folder
        for path, text in {"app.py": "def handler(e, c): ...\n", **(files or {})}.items():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_text(text)
        manifest = source / "lambda.yaml"
        manifest.write_text(MANIFEST.format(name=name, runtime=runtime, handler=handler))
        target = target_for(runtime, architecture)  # type: ignore[arg-type]
        return FunctionProject(read_manifests(manifest)[0], target, BuildOptions(source=source, **options))

    return project


@pytest.fixture
def heard() -> list[Event]:
    return []


@pytest.fixture
def workshop(tmp_path: Path, heard: list[Event]) -> Workshop:
    store = Store(tmp_path / "cache")
    made = ecosystems(store, mode="build", jobs=2, listener=heard.append, environment={})
    imaging = Imaging(store, mode="build", listener=heard.append, jobs=2)
    return Workshop(store, made, heard.append, lambda: imaging)


def names(built: Built) -> list[str]:
    with zipfile.ZipFile(built.artifact.path) as archive:
        return archive.namelist()


def test_a_second_build_is_answered_from_the_store(
    make: Make, workshop: Workshop, heard: list[Event]
) -> None:
    first = build(make(files={"lib/x.py": ""}), workshop)
    assert [type(event) for event in heard if getattr(event, "step", "") == "write"][:1] == [StepStarted]
    assert isinstance(heard[-1], StepFinished)
    heard.clear()
    again = build(make(files={"lib/x.py": ""}), workshop)
    assert (first.cached, again.cached) == (False, True)
    assert again.artifact == first.artifact
    assert names(first) == ["app.py", "lib/x.py"]
    assert not [event for event in heard if getattr(event, "step", "") == "write"]


@pytest.mark.parametrize(
    "change",
    [
        {"files": {"app.py": "def handler(e, c): return 1\n"}},
        {"files": {"new.py": ""}},
        {"runtime": "python3.12"},
        {"architecture": "x86_64"},
        {"handler": "app.other"},
        {"scripts": True},
        {"package_exclude": ("*.txt",)},
        {"exclude": ("app2.py",)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_may_decide_the_bytes_is_looked_at_again(
    make: Make, workshop: Workshop, change: dict[str, Any]
) -> None:
    build(make(files={"app2.py": ""}), workshop)
    assert not build(make(**{**change, "files": {"app2.py": "", **change.get("files", {})}}), workshop).cached


@pytest.mark.parametrize(
    "change",
    [
        {"bucket": "acme"},
        {"prefix": "team"},
        {"max_size": 10**6},
        {"folder": "elsewhere"},
        {"name": "returns"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_does_not_decide_the_bytes_is_no_reason_to_build(
    make: Make, workshop: Workshop, change: dict[str, Any]
) -> None:
    first = build(make(), workshop)
    second = build(make(**change), workshop)
    assert second.cached
    assert second.artifact.sha256 == first.artifact.sha256


@pytest.mark.skipif(os.name == "nt", reason="modes of POSIX")
def test_executable_bits_and_links_count(make: Make, workshop: Workshop) -> None:
    project = make(files={"run": "#!/bin/sh\n", "data": "x"})
    digests = [build(project, workshop).artifact.sha256]
    (project.options.source / "run").chmod(0o755)
    digests.append(build(project, workshop).artifact.sha256)
    (project.options.source / "run").chmod(0o700)  # only the owner's bit counts, whatever the umask was
    assert build(project, workshop).artifact.sha256 == digests[-1]
    (project.options.source / "link").symlink_to("data")
    digests.append(build(project, workshop).artifact.sha256)
    (project.options.source / "link").unlink()
    (project.options.source / "link").symlink_to("run")
    digests.append(build(project, workshop).artifact.sha256)
    assert len(set(digests)) == 4


@pytest.mark.parametrize("damage", ["removed", "cut", "changed"])
def test_a_damaged_artifact_is_made_again(make: Make, workshop: Workshop, damage: str) -> None:
    first = build(make(), workshop)
    path = first.artifact.path
    content = path.read_bytes()
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(content[:-1] if damage == "cut" else b"x" + content[1:])
    again = build(make(), workshop)
    assert not again.cached
    assert again.artifact == first.artifact
    assert path.read_bytes() == content


def test_an_artifact_that_was_touched_is_hashed_once(
    make: Make, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = build(make(), workshop).artifact.path
    os.utime(path, (1, 1))
    assert build(make(), workshop).cached
    monkeypatch.setattr(Store, "intact", lambda *_: pytest.fail("hashed again"))
    assert build(make(), workshop).cached


def test_another_version_of_the_tool_builds_anew(
    make: Make, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(make(), workshop)
    monkeypatch.setattr(pipeline, "__version__", "0.0.0-other")
    assert not build(make(), workshop).cached


def test_a_budget_counts_also_for_what_is_in_the_store(make: Make, workshop: Workshop) -> None:
    build(make(), workshop)
    with pytest.raises(SizeBudgetExceeded) as caught:
        build(make(max_size=1), workshop)
    assert caught.value.findings[0].file == make().manifest.path


def test_an_artifact_over_the_budget_is_not_even_written(make: Make, workshop: Workshop) -> None:
    with pytest.raises(SizeBudgetExceeded):
        build(make(max_size=1), workshop)
    assert not (workshop.store.root / "artifacts").exists()


def test_a_missing_handler_is_an_error_each_time(make: Make, workshop: Workshop) -> None:
    for _ in range(2):
        with pytest.raises(HandlerMissing):
            build(make(handler="nowhere.handler"), workshop)


def test_a_runtime_of_another_family_is_refused_at_its_line(make: Make, workshop: Workshop) -> None:
    with pytest.raises(RuntimeUnsupported) as caught:
        build(make(runtime="nodejs22.x", handler="index.handler"), workshop)
    assert caught.value.findings[0].line == 9


def test_all_failures_are_told_and_the_rest_is_built(make: Make, workshop: Workshop) -> None:
    good = make("good", name="good")
    bad = make("bad", name="bad", handler="nowhere.handler")
    gone = make("gone", name="gone")
    gone = replace(gone, options=replace(gone.options, source=gone.options.source / "nowhere"))
    with pytest.raises(SeveralErrors) as caught:
        build_all([bad, good, gone], workshop)
    assert [type(error) for error in caught.value.errors] == [HandlerMissing, SourceInvalid]
    assert build(good, workshop).cached


def test_results_come_in_the_order_of_the_projects(make: Make, workshop: Workshop) -> None:
    projects = [make(f"f{n}", name=f"f{n}", files={"n.txt": str(n)}) for n in range(8)]
    results = build_all(projects, workshop)
    assert [built.project for built in results] == projects
    assert len({built.artifact.sha256 for built in results}) == 8


def edited_meanwhile(workshop: Workshop, path: Path) -> Workshop:
    """Let `path` be edited after the sources were hashed, when the packages are asked for."""
    real = workshop.ecosystems("python")
    assert real is not None

    class Dependencies:
        fingerprint, lock_path, carries_sources = [], None, False

        def packages(self) -> list[Any]:
            path.write_text("def handler(e, c): return 'edited'\n")
            return []

    class Editing:
        check_handler = real.check_handler

        def dependencies(self, project: FunctionProject) -> Any:
            return Dependencies()

    return replace(workshop, ecosystems=lambda _: Editing())


def test_a_source_edited_during_the_build_is_never_kept_as_the_build_of_the_old_one(
    make: Make, workshop: Workshop
) -> None:
    project = make()
    path = project.options.source / "app.py"
    before = path.read_text()
    with pytest.raises(SourceInvalid, match=r"app\.py was changed while it was being built"):
        build(project, edited_meanwhile(workshop, path))
    path.write_text(before)
    with zipfile.ZipFile(build(project, workshop).artifact.path) as archive:
        assert archive.read("app.py").decode() == before


def test_a_link_is_not_taken_for_a_file_whose_digest_is_its_target(make: Make, workshop: Workshop) -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    first = build(make(files={digest: "", "odd": "x"}), workshop)
    (first.project.options.source / "odd").unlink()
    (first.project.options.source / "odd").symlink_to(digest)
    assert not build(first.project, workshop).cached
