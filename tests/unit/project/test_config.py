from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planton_build.errors import ConfigInvalid
from planton_build.project.config import parse_options, parse_size, read_config

PROJECTS = Path(__file__).parents[2] / "projects"


@pytest.fixture
def written(tmp_path):
    def write(text: str | bytes, name: str = "planton.toml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_config(path)

    return write


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (262144000, 262_144_000),
        ("262144000", 262_144_000),
        ("200 MB", 200_000_000),
        ("200MB", 200_000_000),
        ("200MiB", 209_715_200),
        ("1.5 GiB", 1_610_612_736),
        ("12 kb", 12_000),
        ("0.1 KB", 100),
        ("7 B", 7),
    ],
)
def test_sizes(value, size):
    assert parse_size(value) == size


@pytest.mark.parametrize(
    "value",
    ["", "MB", "-1", "1 TB", "1,5 MB", "1e3", "0", 0, -5, True, 1.5, None, "1 MB MB", "٣ MB", "9" * 99],
)
def test_wrong_sizes(value):
    with pytest.raises(ConfigInvalid) as caught:
        parse_size(value)
    assert "200 MB" in caught.value.hint


@given(st.one_of(st.text(), st.integers(), st.floats(), st.none()))
def test_any_size_is_a_positive_number_or_an_error(value):
    try:
        assert parse_size(value) > 0
    except ConfigInvalid:
        pass


def test_all_options_in_either_spelling(written):
    for dash in "-_":
        config = written(
            f"""
            source = "src"
            dependencies = "requirements.in"
            extras = ["a"]
            groups = ["g"]
            include = ["x"]
            exclude = ["y"]
            package{dash}exclude = ["z"]
            scripts = true
            bytecode = true
            container = "never"
            build{dash}image = "registry.example/build-{{runtime}}:1-{{architecture}}"
            runtime{dash}image = "registry.example/run@sha256:{"0" * 64}"
            system{dash}packages = ["libpq-devel", "gcc-c++", "libpq-devel"]
            commands = ["make -C assets"]
            container{dash}memory = "1 GiB"
            container{dash}timeout = 60
            allow = {{ "libfoo.so.1" = " in our layer " }}
            bucket = "acme"
            prefix = "/a/b/"
            max{dash}size = "1 MB"
            runtime = "python3.13"
            handler = "app.handler"
            base{dash}image = "registry.example/base-{{runtime}}:1"
            entrypoint = ["/entry"]
            layer{dash}compression = "spliced"
            dockerfile = "Dockerfile"
            docker{dash}target = "final"
            docker{dash}args = {{ VERSION = "7" }}
            docker{dash}secrets = {{ netrc = ".netrc" }}
            repository = "acme/{{function}}/"
            create{dash}repository = true
            [function."my-fn"]
            max{dash}size = 5
            [deploy]
            anything = {{ goes = [1] }}
            [function."my-fn".deploy]
            anything = 1
            """
        )
        assert config.general.model_dump() == {
            "source": "src", "dependencies": "requirements.in", "extras": ("a",), "groups": ("g",),
            "include": ("x",), "exclude": ("y",), "package_exclude": ("z",), "scripts": True,
            "bytecode": True, "container": "never",
            "build_image": "registry.example/build-{runtime}:1-{architecture}",
            "runtime_image": "registry.example/run@sha256:" + "0" * 64,
            "system_packages": ("gcc-c++", "libpq-devel"), "commands": ("make -C assets",),
            "container_memory": 1 << 30, "container_timeout": 60, "allow": {"libfoo.so.1": "in our layer"},
            "bucket": "acme",
            "prefix": "a/b", "max_size": 1_000_000,
            "runtime": "python3.13", "handler": "app.handler",
            "base_image": "registry.example/base-{runtime}:1", "entrypoint": ("/entry",),
            "layer_compression": "spliced", "dockerfile": "Dockerfile", "docker_target": "final",
            "docker_args": {"VERSION": "7"}, "docker_secrets": {"netrc": ".netrc"},
            "repository": "acme/{function}", "create_repository": True,
        }  # fmt: skip
        assert config.functions["my-fn"].max_size == 5
        assert config.functions["my-fn"].model_fields_set == {"max_size"}
        assert config.deploy == {"anything": {"goes": [1]}}
        assert config.function_deploy == {"my-fn": {"anything": 1}}
        assert "[deploy]" in config.text


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('container = "sometimes"', "must be"),
        ('build-image = "no spaces please"', "is not the name of an image"),
        ('system-packages = ["libpq; rm -rf /"]', "is not the name of a system package"),
        ('system-packages = ["--nogpgcheck"]', "is not the name of a system package"),
        ('container-memory = "1 MB"', "must be at least 128 MiB"),
        ("container-timeout = 0", "must be a whole number of seconds"),
        ("container-timeout = true", "must be a whole number of seconds"),
        ('allow = { "libfoo.so" = " " }', "gives no reason"),
        ('allow = ["libfoo.so"]', "must be a table of reasons"),
        ("bytecode = 1", "must be true or false"),
    ],
)
def test_a_wrong_option_for_containers_is_refused(written, line, fault):
    with pytest.raises(ConfigInvalid) as caught:
        written(line)
    assert fault in caught.value.message
    assert caught.value.findings[0].line == 1


def test_pyproject_counts_only_with_its_table(written):
    assert written("[project]\nname = 'a'\n", "pyproject.toml") is None
    assert written("tool = 3\n", "pyproject.toml") is None
    config = written(
        "[tool.planton]\nscripts = true\n[tool.planton.function.a]\nbucket = 'abc'\n", "pyproject.toml"
    )
    assert config.general.scripts is True
    assert config.functions["a"].bucket == "abc"


def test_no_file_is_no_configuration(tmp_path):
    assert read_config(tmp_path / "planton.toml") is None
    (tmp_path / "planton.toml").mkdir()
    assert read_config(tmp_path / "planton.toml") is None


@pytest.mark.parametrize(
    ("text", "message", "hint", "place"),
    [
        ("bukcet = 'a'\n", "bukcet is not a known option in planton.toml", "'bucket'", (1, 1)),
        ("\n  max_sise = 1\n", "max_sise is not a known option", "'max-size'", (2, 3)),
        ("[functions.a]\nbucket='abc'\n", "functions is not a known option", "'function'", (None, None)),
        ("colour = 'red'\n", "colour is not a known option", "known options: source", (1, 1)),
        ("[function.a]\nbucket = 'abc'\nsorce = 'x'\n", "sorce is not a known option", "'source'", (3, 1)),
        ("[function.a]\nfunction = 'x'\n", "function is not a known option", "known options", (2, 1)),
        ("prefix = 'p'\n[function.a]\nprefix = 1\n", "prefix must be a string", None, (3, 1)),
        ("scripts = 'yes'\n", "scripts must be true or false", None, (1, 1)),
        ("scripts = 1\n", "scripts must be true or false", None, (1, 1)),
        ("extras = 'a'\n", "extras must be a list of strings", None, (1, 1)),
        ("extras = [1]\n", "extras must be a list of strings", None, (1, 1)),
        ("extras = ['']\n", "extras must not hold an empty string", None, (1, 1)),
        ("source = 3\n", "source must be a string", None, (1, 1)),
        ("source = ''\n", "source must not be empty", None, (1, 1)),
        ("max-size = '1 XB'\n", "max-size is not a size", "200 MB", (1, 1)),
        ("max_size = 0\n", "max_size must be larger than zero", "200 MB", (1, 1)),
        ("bucket = 's3://acme'\n", "bucket 's3://acme' is not the name of a bucket", None, (1, 1)),
        ("bucket = 'a.'\n", "is not the name of a bucket", None, (1, 1)),
        ('prefix = "a\\u0007"\n', "prefix must not hold control characters", None, (1, 1)),
        (f"prefix = '{'a' * 701}'\n", "prefix must not be longer than 700 bytes", None, (1, 1)),
        ("exclude = ['../x']\n", "exclude holds the pattern '../x', which leads out", None, (1, 1)),
        ("include = ['/']\n", "include holds the pattern '/', which matches nothing", None, (1, 1)),
        ("max-size = 1\nmax_size = 1\n", "max_size is the same option as max-size", None, (2, 1)),
        ("function = 3\n", "function must be a table", None, (1, 1)),
        ("[function]\na = 3\n", "function.a must be a table", None, None),
        ("deploy = []\n", "deploy must be a table", None, (1, 1)),
        ("[function.a]\ndeploy = 1\n", "function.a.deploy must be a table", None, None),
        ("[function.a]\ndeplyo = 1\n", "deplyo is not a known option", "did you mean 'deploy'?", (2, 1)),
    ],
)
def test_mistakes_are_named_with_their_place(written, text, message, hint, place):
    with pytest.raises(ConfigInvalid) as caught:
        written(text)
    (finding,) = caught.value.findings
    assert message in finding.message
    assert finding.file.name == "planton.toml"
    if hint is not None:
        assert hint in finding.hint
    if place is not None:
        assert (finding.line, finding.column) == place


def test_all_mistakes_of_a_file_come_together(written):
    with pytest.raises(ConfigInvalid, match="3 options are wrong") as caught:
        written("bukcet = 'a'\nscripts = 1\n[function.a]\nextras = 1\n")
    assert [finding.line for finding in caught.value.findings] == [1, 2, 4]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a = \n", (1, 5)),
        ("bucket = 'a'\nprefix = lambda\n", (2, 10)),
        ("a = 'x", (1, 7)),
        ("[a\n", (1, 3)),
    ],
)
def test_syntax_errors_have_line_and_column(written, text, place):
    with pytest.raises(ConfigInvalid, match=r"planton\.toml is not valid TOML: ") as caught:
        written(text)
    (finding,) = caught.value.findings
    assert (finding.line, finding.column or place[1]) == place
    assert "(at " not in finding.message


def test_a_byte_order_mark_is_taken(written):
    assert written(b"\xef\xbb\xbfbucket = 'acme'\r\n").general.bucket == "acme"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"a = 1\n\xff", "not UTF-8"),
        (b"#" * (1 << 20) + b"\n", "larger"),
        (b"a=" + b"[" * 100_000, "nested|valid"),
        (b"a=" + b"1" * 5000, "a number that is too long"),
    ],
)
def test_hostile_files_are_refused(written, raw, message):
    with pytest.raises(ConfigInvalid, match=message):
        written(raw)


@given(
    st.dictionaries(
        st.text(max_size=12), st.one_of(st.text(), st.integers(), st.lists(st.text()), st.booleans())
    )
)
def test_any_table_gives_options_or_faults(table):
    options, faults = parse_options(table)
    assert {fault.key for fault in faults} | {
        key for key in table if key.replace("-", "_") in options.model_fields_set
    } == set(table)


def test_the_defect_unknown_option():
    with pytest.raises(ConfigInvalid, match="max_sise") as caught:
        read_config(PROJECTS / "unknown-option" / "planton.toml")
    assert caught.value.findings[0].line == 5
    assert "max-size" in caught.value.hint


def test_the_defect_bad_toml():
    with pytest.raises(ConfigInvalid) as caught:
        read_config(PROJECTS / "bad-toml" / "planton.toml")
    assert (caught.value.findings[0].line, caught.value.findings[0].column) == (2, 10)


@pytest.mark.parametrize(
    "repository",
    ["acme/{function}", "{function}", "my-{function}.x", "localhost/a", "localhost:5000/a/b", "host:5000/a",
     "1.dkr.ecr.eu-west-1.amazonaws.com/a_b/c__d", "Registry.example/a"],
)  # fmt: skip
def test_a_repository_may_have_a_registry(written, repository):
    assert written(f'repository = "{repository}"').general.repository == repository


@pytest.mark.parametrize(
    "repository", ["Acme/x", "acme/X", "acme//x", "acme/x:1", "/x", "a..b", "a" * 301, "ü"]
)
def test_what_is_no_name_of_a_repository_is_refused_at_once(written, repository):
    with pytest.raises(ConfigInvalid, match="repository"):
        written(f'repository = "{repository}"')


def test_a_long_name_is_judged_quickly(written):
    with pytest.raises(ConfigInvalid, match="repository"):
        written(f'repository = "{"a" * 250}!"')
