from __future__ import annotations

import os
from pathlib import Path

import pytest

from planton_build.errors import (
    ConfigInvalid,
    ManifestInvalid,
    ManifestUnreadable,
    NoFunctionFound,
    RuntimeUnsupported,
    SeveralErrors,
    SourceInvalid,
)
from planton_build.project.discovery import OS_ONLY, find_manifests, load_projects
from planton_build.project.sources import source_files

PROJECTS = Path(__file__).parents[2] / "projects"


def load(*paths: Path, flags=None, environment=None):
    return load_projects(list(paths), flags or {}, environment or {})


@pytest.fixture
def found(plant):
    def find(tree, *, below: str = "") -> list[str]:
        root = plant(tree)
        return [path.relative_to(root).as_posix() for path in find_manifests([root / below])]

    return find


def test_every_manifest_below_a_folder_sorted(found, manifest):
    tree = {
        "b/lambda.yaml": manifest("b"),
        "a/deep/er/x.yml": manifest("a"),
        "lambda.yaml": manifest("top"),
        "B.YAML": manifest("upper"),
        "a/values.yaml": "kind: Deployment\n",
        "a/x.json": manifest("json"),
    }
    assert found(tree) == ["B.YAML", "a/deep/er/x.yml", "b/lambda.yaml", "lambda.yaml"]


@pytest.mark.parametrize(
    "folder",
    [".git", ".hg", ".venv", ".tox", ".aws-sam", ".github", "node_modules", "__pycache__", "site-packages"],
)
@pytest.mark.parametrize("above", ["", "x/"])
def test_folders_that_are_not_searched(found, manifest, folder, above):
    tree = {f"{above}{folder}/lambda.yaml": manifest("a"), "fn/lambda.yaml": manifest("b")}
    assert found(tree) == ["fn/lambda.yaml"]


def test_virtual_environments_are_not_searched(found, manifest):
    tree = {"env/pyvenv.cfg": "", "env/lib/lambda.yaml": manifest("a"), "build/lambda.yaml": manifest("b")}
    assert found(tree) == ["build/lambda.yaml"]


def test_what_git_ignores_is_not_searched(found, manifest):
    tree = {
        ".git/info/exclude": "private/\n",
        ".gitignore": "dist/\n*.gen.yaml\n",
        "sub/.gitignore": "/out\n!keep.gen.yaml\n",
        "dist/lambda.yaml": manifest("a"),
        "private/lambda.yaml": manifest("b"),
        "sub/out/lambda.yaml": manifest("c"),
        "sub/deep/out/lambda.yaml": manifest("d"),
        "sub/x.gen.yaml": manifest("e"),
        "sub/keep.gen.yaml": manifest("f"),
    }
    assert found(tree) == ["sub/deep/out/lambda.yaml", "sub/keep.gen.yaml"]
    assert found(tree, below="sub") == ["sub/deep/out/lambda.yaml", "sub/keep.gen.yaml"]


def test_what_is_named_is_taken_whatever_git_says(found, manifest):
    tree = {".git/HEAD": "", ".gitignore": "dist/\n", "dist/lambda.yaml": manifest("a")}
    assert found(tree, below="dist") == ["dist/lambda.yaml"]
    assert found(tree, below="dist/lambda.yaml") == ["dist/lambda.yaml"]


def test_links_are_not_followed_and_loops_end(found, manifest):
    tree = {
        "fn/lambda.yaml": manifest("a"),
        "fn/loop": "-> ..",
        "again": "-> fn",
        "same.yaml": "-> fn/lambda.yaml",
    }
    assert found(tree) == ["fn/lambda.yaml"]


def test_each_file_once_however_often_it_is_named(plant, manifest, monkeypatch):
    root = plant({"fn/lambda.yaml": manifest("a"), "link": "-> fn"})
    monkeypatch.chdir(root)
    paths = [
        root,
        root / "fn",
        root / "fn/lambda.yaml",
        Path("fn"),
        Path("link/lambda.yaml"),
        Path("fn/../fn"),
    ]
    assert len(find_manifests(paths)) == 1
    assert find_manifests([Path()]) == [Path("fn/lambda.yaml")]


def test_a_path_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(NoFunctionFound, match="gone does not exist"):
        find_manifests([tmp_path / "gone"])


@pytest.mark.parametrize("tree", [{}, {"a/values.yaml": "kind: Deployment\n"}])
def test_nothing_found_says_what_a_manifest_is(plant, tmp_path, tree):
    plant(tree)
    with pytest.raises(NoFunctionFound) as caught:
        load(tmp_path)
    assert str(tmp_path) in caught.value.message
    assert "AwsLambda" in caught.value.hint


def test_a_named_file_without_a_function_is_nothing_found(plant):
    root = plant({"values.yaml": "kind: Deployment\n"})
    with pytest.raises(NoFunctionFound, match=r"values\.yaml"):
        load(root / "values.yaml")


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX permissions")
def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        shut = Path(name) / "shut"
        shut.mkdir(mode=0o700)
        before = os.geteuid()
        if before == 0:
            os.seteuid(65534)
        else:
            shut.chmod(0)
        try:
            with pytest.raises(SourceInvalid, match="shut cannot be read: Permission denied"):
                find_manifests([Path(name)])
        finally:
            os.seteuid(before)
            shut.chmod(0o700)


def test_projects_have_target_and_options(plant, manifest):
    root = plant(
        {
            "a/lambda.yaml": manifest("a", runtime="python3.11", architecture="ARM64"),
            "b/lambda.yaml": manifest("b"),
            "planton.toml": 'bucket = "acme"\n[function.b]\nprefix = "bb"\n',
        }
    )
    one, two = load(root, flags={"max_size": "1 MB"})
    assert (one.name, one.target.name, one.options.bucket, one.options.prefix) == (
        "a",
        "python3.11-arm64",
        "acme",
        "",
    )
    assert (two.name, two.target.name, two.options.prefix) == ("b", "python3.13-x86_64", "bb")
    assert two.options.max_size == 1_000_000
    assert two.options.source == root / "b"


def test_several_functions_in_one_file(plant, manifest):
    root = plant({"all.yaml": manifest("a") + "---\n" + manifest("b")})
    assert [project.name for project in load(root)] == ["a", "b"]


def test_an_unknown_runtime_names_its_line(plant, manifest):
    root = plant({"lambda.yaml": manifest("a", runtime="python3.133")})
    with pytest.raises(RuntimeUnsupported, match=r"a: Lambda has no runtime 'python3\.133'") as caught:
        load(root)
    (finding,) = caught.value.findings
    assert (finding.file, finding.line) == (root / "lambda.yaml", 10)
    assert "python3.13" in finding.hint


def test_the_same_function_twice_names_both_files(plant, manifest):
    root = plant({"a/lambda.yaml": manifest("orders"), "b/lambda.yaml": manifest("orders")})
    with pytest.raises(ConfigInvalid, match="orders is described twice") as caught:
        load(root)
    assert [finding.file for finding in caught.value.findings] == [
        root / "a/lambda.yaml",
        root / "b/lambda.yaml",
    ]
    assert all(finding.line == 7 for finding in caught.value.findings)


def test_the_same_name_in_two_regions_is_two_functions(plant, manifest):
    root = plant({"a.yaml": manifest("orders"), "b.yaml": manifest("orders", region="us-east-1")})
    assert len(load(root)) == 2


def test_all_mistakes_of_all_files_come_together(plant, manifest):
    root = plant(
        {
            "a/lambda.yaml": manifest("a", runtime="cobol"),
            "b/lambda.yaml": "kind: AwsLambda\n  broken: [\n",
            "c/lambda.yaml": manifest("c"),
            "c/planton.toml": "bukcet = 1\n",
            "d/lambda.yaml": manifest("d", memory_mb=1),
            "e/lambda.yaml": manifest("e"),
        }
    )
    with pytest.raises(SeveralErrors) as caught:
        load(root)
    assert [type(error) for error in caught.value.errors] == [
        RuntimeUnsupported,
        ManifestUnreadable,
        ConfigInvalid,
        ManifestInvalid,
    ]
    assert len(caught.value.findings) >= 4


def test_one_wrong_configuration_is_one_mistake(plant, manifest):
    root = plant({"a.yaml": manifest("a"), "b.yaml": manifest("b"), "planton.toml": "bukcet = 1\n"})
    with pytest.raises(ConfigInvalid, match="bukcet"):
        load(root)


IMAGE = {
    "code_source_type": "CODE_SOURCE_TYPE_IMAGE",
    "image_uri": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/a:1",
    "runtime": None,
    "handler": None,
}


def test_container_images_are_left_alone_unless_named_or_alone(plant, manifest):
    root = plant({"zip.yaml": manifest("a"), "image/image.yaml": manifest("b", **IMAGE)})
    assert [project.name for project in load(root)] == ["a"]
    for paths in ([root / "image"], [root / "zip.yaml", root / "image/image.yaml"]):
        with pytest.raises(RuntimeUnsupported, match="b runs from a container image"):
            load(*paths)


def test_an_image_is_built_for_the_runtime_and_the_handler_of_manifest_or_options(plant, manifest):
    own = {**IMAGE, "runtime": "python3.13", "handler": "app.handler"}
    options = '[function.b]\nruntime = "python3.12"\nhandler = "other.main"\n'
    root = plant({"a.yaml": manifest("a", **own), "b.yaml": manifest("b", **IMAGE), "planton.toml": options})
    found = {project.name: project for project in load(root)}
    assert {name: (one.target.runtime, one.handler) for name, one in found.items()} == {
        "a": ("python3.13", "app.handler"),
        "b": ("python3.12", "other.main"),
    }
    assert all(project.is_image for project in found.values())
    assert found["a"].options.repository == "123456789012.dkr.ecr.eu-west-1.amazonaws.com/a"


def test_a_dockerfile_makes_an_image_without_a_runtime(plant, manifest):
    options = 'dockerfile = "Dockerfile"'
    root = plant({"a.yaml": manifest("a", **IMAGE), "Dockerfile": "FROM x", "planton.toml": options})
    (project,) = load(root)
    assert (project.target.runtime, project.options.dockerfile) == (OS_ONLY, root / "Dockerfile")


def test_an_image_with_a_runtime_needs_a_handler(plant, manifest):
    root = plant({"a.yaml": manifest("a", **{**IMAGE, "runtime": "python3.13"})})
    with pytest.raises(ConfigInvalid, match="has no handler"):
        load(root)


def test_paths_of_images_are_relative_to_the_file_they_stand_in(plant, manifest):
    own = {**IMAGE, "runtime": "python3.13", "handler": "app.handler"}
    options = 'base-image = "oci:../base"\ndocker-secrets = { netrc = "secrets/netrc" }\n'
    root = plant({"f/a.yaml": manifest("a", **own), "f/planton.toml": options})
    (project,) = load(root / "f")
    assert project.options.base_image == f"oci:{root / 'base'}"
    assert project.options.docker_secrets == {"netrc": root / "f/secrets/netrc"}


def test_a_dockerfile_that_is_not_there_is_a_mistake(plant, manifest):
    root = plant({"a.yaml": manifest("a", **IMAGE), "planton.toml": 'dockerfile = "Dockerfile"'})
    with pytest.raises(ConfigInvalid, match="Dockerfile of a does not exist"):
        load(root)


def test_the_defect_symlink_out():
    (project,) = load(PROJECTS / "symlink-out")
    with pytest.raises(
        SourceInvalid, match=r"'shared\.py' points to '\.\./unknown-option/app\.py'"
    ) as caught:
        source_files(project)
    assert caught.value.hint


@pytest.mark.parametrize("defect", ["unknown-option", "bad-toml"])
def test_the_defects_of_configuration(defect):
    with pytest.raises(ConfigInvalid) as caught:
        load(PROJECTS / defect)
    assert caught.value.findings[0].file == PROJECTS / defect / "planton.toml"
    assert caught.value.findings[0].line is not None


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX permissions")
def test_a_file_that_may_not_be_read_is_named_and_not_passed_over():
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        shut = Path(name) / "lambda.yaml"
        shut.write_text("kind: AwsLambda\n")
        shut.chmod(0o600 if os.geteuid() == 0 else 0)
        before = os.geteuid()
        if before == 0:
            os.seteuid(65534)
        try:
            with pytest.raises(ManifestUnreadable, match="cannot be read: Permission denied") as caught:
                load(Path(name))
            assert caught.value.findings[0].file == shut
        finally:
            os.seteuid(before)
