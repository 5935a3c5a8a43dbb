from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planton_build.errors import ConfigInvalid, SourceInvalid
from planton_build.manifest.load import read_manifests
from planton_build.project.layers import ConfigFiles, options_for


@pytest.fixture
def options(plant, manifest):
    def make(tree, *, flags=None, environment=None, at="repo/fn/lambda.yaml", **spec):
        root = plant({"repo/.git/HEAD": "", at: manifest(**spec), **tree})
        (found,) = read_manifests(root / at)
        return options_for(found, flags=flags or {}, environment=environment or {})

    return make


def test_without_any_configuration(options, tmp_path):
    made = options({})
    assert made.source == tmp_path / "repo/fn"
    assert (made.bucket, made.prefix, made.max_size, made.scripts, made.dependencies) == (
        None,
        "",
        None,
        False,
        None,
    )
    assert (made.include, made.exclude, made.extras, made.config_files) == ((), (), (), ())


PLACES = {
    "flag": None,
    "variable": None,
    "near function": ("repo/fn/planton.toml", "[function.orders]"),
    "near": ("repo/fn/planton.toml", ""),
    "far function": ("repo/planton.toml", "[function.orders]"),
    "far": ("repo/planton.toml", ""),
    "near project function": ("repo/fn/pyproject.toml", "[tool.planton.function.orders]"),
    "near project": ("repo/fn/pyproject.toml", "[tool.planton]"),
    "far project function": ("repo/pyproject.toml", "[tool.planton.function.orders]"),
    "far project": ("repo/pyproject.toml", "[tool.planton]"),
    "manifest": None,
}
"""Every place a bucket can come from, strongest first."""


@pytest.mark.parametrize("strongest", range(len(PLACES)))
def test_the_strongest_place_wins(options, strongest):
    present = list(PLACES)[strongest:]
    tree: dict[str, str] = {}
    for place in sorted(present, key=lambda name: "function" in name):
        if PLACES[place] is not None:
            file, table = PLACES[place]
            tree[file] = tree.get(file, "") + f'{table}\nbucket = "{place.replace(" ", "-")}"\n'
    made = options(
        tree,
        flags={"bucket": "flag"} if "flag" in present else {"bucket": None},
        environment={"PLANTON_BUCKET": "variable" if "variable" in present else ""},
        s3={"bucket": "manifest", "key": "k"},
    )
    assert made.bucket == present[0].replace(" ", "-")


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_options_are_merged_key_by_key(tmp_path_factory, manifest, data):
    names = ("bucket", "prefix", "max_size", "exclude")
    values = {"bucket": ["aaa", "bbb"], "prefix": ["p", "q"], "max_size": [1, 2], "exclude": [["x"], ["y"]]}
    files = ["fn/planton.toml", "planton.toml", "fn/pyproject.toml", "pyproject.toml"]
    chosen = {
        file: data.draw(st.fixed_dictionaries({}, optional={n: st.sampled_from(values[n]) for n in names}))
        for file in files
    }
    root = tmp_path_factory.mktemp("tree")
    (root / ".git").mkdir()
    (root / "fn").mkdir()
    (root / "fn/lambda.yaml").write_text(manifest())
    for file, table in chosen.items():
        head = "[tool.planton]\n" if file.endswith("pyproject.toml") else ""
        (root / file).write_text(head + "".join(f"{key} = {value!r}\n" for key, value in table.items()))
    (found,) = read_manifests(root / "fn/lambda.yaml")
    made = options_for(found, flags={}, environment={})
    for name in names:
        expected = next((chosen[file][name] for file in files if name in chosen[file]), None)
        default = {"prefix": "", "exclude": ()}.get(name)
        wanted = tuple(expected) if isinstance(expected, list) else default if expected is None else expected
        assert getattr(made, name) == wanted


def test_paths_are_relative_to_the_file_they_stand_in(options, tmp_path):
    tree = {"repo/planton.toml": 'source = "lib"\n', "repo/fn/planton.toml": 'dependencies = "../req.in"\n',
            "repo/lib/x.py": "", "repo/req.in": ""}  # fmt: skip
    made = options(tree)
    assert made.source == tmp_path / "repo/lib"
    assert made.dependencies == tmp_path / "repo/req.in"
    assert made.config_files == (tmp_path / "repo/fn/planton.toml", tmp_path / "repo/planton.toml")


def test_paths_in_flags_are_relative_to_the_working_folder(options, tmp_path, monkeypatch):
    (tmp_path / "here/src").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert options({}, flags={"source": Path("src")}).source == tmp_path / "here/src"


def test_files_above_the_repository_do_not_count(options):
    assert options({"planton.toml": 'bucket = "outside"\n'}).bucket is None
    assert options({"repo/planton.toml": 'bucket = "inside"\n'}).bucket == "inside"


def test_a_table_of_another_function_does_not_count(options):
    assert options({"repo/planton.toml": '[function.billing]\nbucket = "other"\n'}).bucket is None


def test_manifest_bucket_is_the_default(options):
    assert options({}, s3={"bucket": "mine", "key": "k"}).bucket == "mine"


@pytest.mark.parametrize(
    ("environment", "name", "value"),
    [
        ({"PLANTON_MAX_SIZE": "1 MB"}, "max_size", 1_000_000),
        ({"PLANTON_EXTRAS": "a, b,"}, "extras", ("a", "b")),
        ({"PLANTON_SCRIPTS": "True"}, "scripts", True),
        ({"PLANTON_SCRIPTS": "0"}, "scripts", False),
        ({"PLANTON_PREFIX": "a/"}, "prefix", "a"),
        ({"PLANTON_REQUIRE_ENGINES": "1", "BUCKET": "x"}, "bucket", None),
    ],
)
def test_variables(options, environment, name, value):
    assert getattr(options({}, environment=environment), name) == value


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"environment": {"PLANTON_BUCKET": "no/bucket"}},
            "the variable PLANTON_BUCKET 'no/bucket' is not the name",
        ),
        ({"environment": {"PLANTON_SCRIPTS": "perhaps"}}, "true or false"),
        ({"flags": {"max_size": "huge"}}, "--max-size is not a size"),
        ({"flags": {"bukcet": "abc"}}, "--bukcet is not a known option"),
    ],
)
def test_wrong_variables_and_flags_are_named(options, given, words):
    with pytest.raises(ConfigInvalid, match=words):
        options({}, **given)


def test_a_source_folder_that_does_not_exist_names_the_file_that_set_it(options, tmp_path):
    with pytest.raises(SourceInvalid, match="gone") as caught:
        options({"repo/planton.toml": 'source = "gone"\n'})
    assert caught.value.findings[0].file == tmp_path / "repo/planton.toml"


def test_a_dependency_input_that_does_not_exist_names_the_file_that_set_it(options, tmp_path):
    with pytest.raises(ConfigInvalid, match=r"gone\.in") as caught:
        options({"repo/fn/planton.toml": 'dependencies = "gone.in"\n'})
    assert caught.value.findings[0].file == tmp_path / "repo/fn/planton.toml"


def test_files_are_read_once_a_run(plant, manifest):
    root = plant({"lambda.yaml": manifest(), "planton.toml": 'bucket = "one"\n', ".git/HEAD": ""})
    (found,) = read_manifests(root / "lambda.yaml")
    files = ConfigFiles()
    assert options_for(found, flags={}, environment={}, files=files).bucket == "one"
    (root / "planton.toml").write_text('bucket = "two"\n')
    assert options_for(found, flags={}, environment={}, files=files).bucket == "one"
    assert options_for(found, flags={}, environment={}).bucket == "two"
