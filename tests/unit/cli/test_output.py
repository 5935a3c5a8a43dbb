from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from planton_build.artifact import Artifact
from planton_build.cli.output import copy_artifacts
from planton_build.errors import ConfigInvalid
from planton_build.manifest.document import Manifest
from planton_build.manifest.model import AwsLambda, AwsLambdaSpec
from planton_build.pipeline import Built
from planton_build.project.function import BuildOptions, FunctionProject
from planton_build.project.sources import source_files
from planton_build.registry.registries import Registries
from planton_build.runtimes.catalog import target_for

Make = Callable[..., Built]


@pytest.fixture
def made(tmp_path: Path) -> Make:
    """Make a function with the source folder `tmp_path/<name>` and an artifact that holds its name."""

    def make(name: str = "orders", **options: object) -> Built:
        source = tmp_path / name
        source.mkdir(exist_ok=True)
        (source / "app.py").touch()
        stored = tmp_path / f"{name}.artifact"
        stored.write_text(name)
        manifest = Manifest(
            source / "lambda.yaml", 0, AwsLambda(spec=AwsLambdaSpec(function_name=name)), {}, ""
        )
        project = FunctionProject(
            manifest,
            target_for("python3.13", "arm64"),
            BuildOptions(source=source, **options),  # type: ignore[arg-type]
        )
        artifact = Artifact(stored, "0" * 64, "0" * 64, 1, 1, 1, (), ())
        return Built(project, artifact, None, cached=False, seconds=0.0)

    return make


def sources(built: Built) -> list[str]:
    return [file.archive_path for file in source_files(built.project)]


def test_every_function_gets_its_copy(made: Make, tmp_path: Path) -> None:
    copy_artifacts([made("orders"), made("returns")], tmp_path / "out" / "zips", Registries())
    assert (tmp_path / "out" / "zips" / "orders.zip").read_text() == "orders"
    assert (tmp_path / "out" / "zips" / "returns.zip").read_text() == "returns"


def test_a_new_folder_among_the_sources_is_out_of_them(made: Make) -> None:
    built = made()
    folder = built.project.options.source / "dist"
    for _ in range(2):
        copy_artifacts([built], folder, Registries())
        assert (folder / "orders.zip").is_file()
        assert sources(built) == ["app.py"]


def test_a_folder_that_is_there_is_not_ignored_behind_the_users_back(made: Make) -> None:
    built = made()
    folder = built.project.options.source / "assets"
    folder.mkdir()
    (folder / "logo.txt").touch()
    with pytest.raises(ConfigInvalid, match=r"the next build would package .*assets/orders\.zip"):
        copy_artifacts([built], folder, Registries())
    assert sources(built) == ["app.py", "assets/logo.txt"]


def test_a_folder_that_is_excluded_is_taken(made: Make) -> None:
    built = made(exclude=("assets/",))
    folder = built.project.options.source / "assets"
    folder.mkdir()
    copy_artifacts([built], folder, Registries())
    assert [path.name for path in folder.iterdir()] == ["orders.zip"]


def test_a_copy_among_the_sources_of_another_function_is_refused_too(made: Make) -> None:
    one, other = made("orders"), made("returns")
    folder = other.project.options.source
    with pytest.raises(ConfigInvalid, match="the source folder of returns"):
        copy_artifacts([one, other], folder, Registries())
    assert list(folder.glob("*.zip")) == []


def test_two_functions_of_one_name_are_refused_before_anything_is_copied(made: Make, tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"two functions would be copied to .*orders\.zip"):
        copy_artifacts([made("orders"), made("orders")], tmp_path / "out", Registries())
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_named(made: Make, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigInvalid, match=r"--output .*file/out cannot be written: Not a directory"):
        copy_artifacts([made()], tmp_path / "file" / "out", Registries())
