from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import textwrap
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from planton_build.errors import SourceInvalid
from planton_build.project.sources import SourceFile, source_files

KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIE\n"


def names(files: list[SourceFile]) -> list[str]:
    return [file.archive_path for file in files]


@pytest.fixture
def taken(plant, project_of):
    """Return the archive paths that a tree of files gives."""

    def take(tree, *, source: str = "", carried: bool = False, **options) -> list[str]:
        root = plant(
            {"lambda.yaml": None, **dict.fromkeys(tree, "x"), **(tree if isinstance(tree, dict) else {})}
        )
        (root / "lambda.yaml").unlink()
        project = project_of(root / "lambda.yaml", source=root / source, **options)
        return names(source_files(project, carried=carried))

    return take


def test_everything_goes_in_sorted_by_archive_path(taken):
    assert taken(
        ["b.py", "a/z.py", "a.py", "a/b/c.txt", "README.md", "LICENSE", "tests/test_a.py", "data.yaml"]
    ) == [
        "LICENSE",
        "README.md",
        "a.py",
        "a/b/c.txt",
        "a/z.py",
        "b.py",
        "data.yaml",
        "tests/test_a.py",
    ]


LEFT_OUT = """
.git/config .hg/store .svn/x __pycache__/a.cpython-313.pyc a.pyc a.pyo .pytest_cache/x .mypy_cache/x
.ruff_cache/x .tox/x node_modules/a/index.js .venv/x .env .env.local .envrc a.key id_rsa id_ed25519.pub
a.p12 a.pfx .netrc .pypirc .aws/credentials requirements.txt requirements-dev.txt requirements.in
requirements.python3.13-arm64.lock pyproject.toml poetry.lock uv.lock pylock.toml pylock.dev.toml Pipfile
Pipfile.lock planton.toml .gitignore .lambdaignore .idea/x.xml .vscode/x a.swp a.py~ .DS_Store
a.egg-info/PKG-INFO Dockerfile .coverage lambda.yaml
""".split()  # noqa: SIM905


@pytest.mark.parametrize("name", LEFT_OUT)
@pytest.mark.parametrize("folder", ["", "deep/er/"])
def test_left_out_by_default_and_brought_back_by_name(name, folder, plant, project_of):
    path = folder + name
    text = "{}" if name.endswith(".toml") else ""
    root = plant({path: text, "app.py": "", "outer/lambda.yaml": None})
    (root / "outer/lambda.yaml").unlink()
    own = project_of(root / "outer/lambda.yaml", source=root)
    if name == "lambda.yaml":
        (root / path).write_bytes((root / "outer/lambda.yaml").read_bytes())
    assert path not in names(source_files(own))
    asked = project_of(root / "outer/lambda.yaml", source=root, include=("/" + path,))
    assert path in names(source_files(asked))


def test_names_that_only_look_alike_go_in(taken):
    wanted = [
        "envs.py",
        "keys.py",
        "my.environment",
        "git/x.py",
        "venv.py",
        "requirements.py",
        "lock.py",
        "dist/a.py",
    ]
    assert taken(wanted) == sorted(wanted)


def test_a_pem_with_a_private_key_stays_out_and_a_ca_bundle_goes_in(taken):
    assert taken({"key.pem": KEY, "ca.pem": CERTIFICATE, "both.pem": CERTIFICATE + KEY}) == ["ca.pem"]


def test_a_virtual_environment_of_any_name_stays_out(taken):
    assert taken(["env/pyvenv.cfg", "env/lib/x.py", "a.py"]) == ["a.py"]
    assert taken(["env/lib/x.py"], include=("env/",)) == ["a.py", "env/lib/x.py", "env/pyvenv.cfg"]


def test_yaml_that_is_no_manifest_goes_in_and_manifests_stay_out(taken, manifest):
    tree = {"openapi.yaml": "openapi: 3.1.0\n", "other.yml": manifest("other"), "conf/x.yaml": "a: 1\n"}
    assert taken(tree) == ["conf/x.yaml", "openapi.yaml"]


def test_folders_of_other_functions_stay_out_unless_included(plant, project_of, manifest):
    root = plant(
        {
            "orders/lambda.yaml": manifest("orders"),
            "orders/app.py": "",
            "billing/lambda.yaml": manifest("billing"),
            "billing/app.py": "",
            "billing/deep/x.py": "",
            "shared/x.py": "",
        }
    )
    project = project_of(root / "orders/lambda.yaml", source=root)
    assert names(source_files(project)) == ["orders/app.py", "shared/x.py"]
    project = project_of(root / "orders/lambda.yaml", source=root, include=("billing/deep/x.py",))
    assert names(source_files(project)) == ["billing/deep/x.py", "orders/app.py", "shared/x.py"]
    for pattern in ("billing/", "billing/**"):
        project = project_of(root / "orders/lambda.yaml", source=root, include=(pattern,))
    assert names(source_files(project)) == [
        "billing/app.py",
        "billing/deep/x.py",
        "orders/app.py",
        "shared/x.py",
    ]


@pytest.mark.parametrize(
    ("ignore", "options", "expected"),
    [
        ({}, {}, ["a.json", "data/k.json", "data/s.txt", "gen/c.py", "gen/d/e.py", "x.py"]),
        ({}, {"exclude": ("*.json",)}, ["data/s.txt", "gen/c.py", "gen/d/e.py", "x.py"]),
        ({}, {"exclude": ("*.json", "!a.json")}, ["a.json", "data/s.txt", "gen/c.py", "gen/d/e.py", "x.py"]),
        ({}, {"exclude": ("gen", "data/")}, ["a.json", "x.py"]),
        ({".gitignore": "gen/\n"}, {}, ["a.json", "data/k.json", "data/s.txt", "x.py"]),
        (
            {".gitignore": "gen/\n"},
            {"include": ("gen/",), "exclude": ("data", "*.json")},
            ["gen/c.py", "gen/d/e.py", "x.py"],
        ),
        (
            {".gitignore": "gen/\n"},
            {"include": ("gen/**",), "exclude": ("data", "*.json")},
            ["gen/c.py", "gen/d/e.py", "x.py"],
        ),
        (
            {".gitignore": "gen/\n"},
            {"include": ("gen/c.py",), "exclude": ("data",)},
            ["a.json", "gen/c.py", "x.py"],
        ),
        (
            {".gitignore": "gen/\n"},
            {"include": ("gen/*/e.py",), "exclude": ("data",)},
            ["a.json", "gen/d/e.py", "x.py"],
        ),
        (
            {".gitignore": "gen/\n"},
            {"include": ("gen/**/e.py",), "exclude": ("data",)},
            ["a.json", "gen/d/e.py", "x.py"],
        ),
        ({".gitignore": "gen/\n"}, {"include": ("*.py",), "exclude": ("data",)}, ["a.json", "x.py"]),
        ({"gen/.gitignore": "*\n!d/\n!d/**\n"}, {"exclude": ("data",)}, ["a.json", "gen/d/e.py", "x.py"]),
        ({".lambdaignore": "data/\n*.json\n"}, {}, ["gen/c.py", "gen/d/e.py", "x.py"]),
        (
            {".lambdaignore": "*.json\n", "data/.lambdaignore": "!k.json\n"},
            {"exclude": ("gen",)},
            ["data/k.json", "data/s.txt", "x.py"],
        ),
        (
            {".lambdaignore": "!gen/\n", ".gitignore": "gen/\n"},
            {"exclude": ("data",)},
            ["a.json", "gen/c.py", "gen/d/e.py", "x.py"],
        ),
        (
            {},
            {"include": ("a.json",), "exclude": ("*.json",)},
            ["a.json", "data/s.txt", "gen/c.py", "gen/d/e.py", "x.py"],
        ),
        ({}, {"include": ("data/**",), "exclude": ("data/k.json", "gen")}, ["a.json", "data/s.txt", "x.py"]),
        (
            {".gitignore": "data/\n"},
            {"include": ("data/", "!data/k.json"), "exclude": ("gen",)},
            ["a.json", "data/s.txt", "x.py"],
        ),
        (
            {".gitignore": "data/*\n"},
            {"include": ("data/*.json",), "exclude": ("gen",)},
            ["a.json", "data/k.json", "x.py"],
        ),
    ],
)
def test_what_decides(taken, ignore, options, expected):
    base = ["a.json", "x.py", "gen/c.py", "gen/d/e.py", "data/s.txt", "data/k.json"]
    assert taken({**dict.fromkeys(base, ""), **ignore}, **options) == expected


def test_a_wildcard_brings_back_no_secrets_and_no_version_control(taken):
    tree = [".env", ".git/config", "a.key", "__pycache__/a.pyc", "x.py"]
    for pattern in ("*", "**", "**/*", "/*", "*.*"):
        assert taken(tree, include=(pattern,)) == ["x.py"]


@pytest.mark.parametrize("pattern", ["gen/**", "gen/*", "gen/"])
def test_a_folder_that_is_asked_for_brings_no_secrets(taken, pattern):
    tree = {
        ".gitignore": "gen/\n",
        "gen/.env": "",
        "gen/k.pem": KEY,
        "gen/__pycache__/a.pyc": "",
        "gen/d/.env": "",
        "gen/d/x.py": "",
        "gen/x.log": "",
        "gen/x.py": "",
    }
    assert taken(tree, include=(pattern,), exclude=("*.log",)) == ["gen/d/x.py", "gen/x.py"]


def test_a_wildcard_does_not_reach_into_what_is_left_out_by_default(taken):
    tree = [".venv/x.py", "env/pyvenv.cfg", "env/x.py", "__pycache__/x.pyc", "a.py"]
    assert taken(tree, include=(".venv/**", "env/**", "__pycache__/*")) == ["a.py"]
    assert taken(tree, include=(".venv/", "env/x.py")) == [".venv/x.py", "a.py", "env/x.py"]


def test_a_pattern_without_a_folder_does_not_reach_into_what_is_left_out(taken):
    tree = {".gitignore": "gen/\n", "gen/a.json": "", "gen/b.py": "", "c.json": ""}
    assert taken(tree, include=("*.json", "gen/b.py")) == ["c.json", "gen/b.py"]


def test_gitignore_cannot_bring_in_secrets_but_lambdaignore_can(taken):
    assert taken({".gitignore": "!.env\n", ".env": "A=1"}) == []
    assert taken({".lambdaignore": "!.env\n"}) == [".env"]


def test_rules_above_the_source_folder_count(plant, project_of, tmp_path):
    root = plant(
        {
            ".git/info/exclude": "notes.txt\n",
            ".gitignore": "/fn/src/local.py\n*.log\n",
            "fn/.gitignore": "!keep.log\n",
            "fn/src/local.py": "",
            "fn/src/a.log": "",
            "fn/src/keep.log": "",
            "fn/src/notes.txt": "",
            "fn/src/app.py": "",
        }
    )
    assert names(source_files(project_of(root / "fn/lambda.yaml", source=root / "fn/src"))) == [
        "app.py",
        "keep.log",
    ]


def test_a_source_folder_that_git_ignores_is_packaged_all_the_same(taken):
    assert taken({".git/HEAD": "", ".gitignore": "build/\n", "build/out/app.py": ""}, source="build/out") == [
        "app.py"
    ]


def test_a_carried_project_brings_only_what_is_asked_for(taken):
    tree = ["src/pkg/a.py", "data/a.json", "a.json", "node_modules/b.json", "gen/x.py", ".gitignore"]
    assert taken(tree, carried=True) == []
    assert taken(tree, carried=True, include=("*.json",)) == ["a.json", "data/a.json"]
    assert taken(tree, carried=True, include=("gen/",)) == ["gen/x.py"]
    assert taken(tree, carried=True, include=("src/pkg/a.py",)) == ["src/pkg/a.py"]


def test_executable_bit_is_the_owners(plant, project_of):
    root = plant({"run.sh": "", "group.sh": "", "plain.sh": ""})
    (root / "run.sh").chmod(0o700)
    (root / "group.sh").chmod(0o654)
    (root / "plain.sh").chmod(0o644)
    files = source_files(project_of(root / "lambda.yaml"))
    assert {file.archive_path: file.executable for file in files} == {
        "run.sh": True,
        "group.sh": False,
        "plain.sh": False,
    }


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize("value", ["false", "no", "0"])
def test_executable_bits_come_from_the_index_where_git_says_so(plant, project_of, value):
    root = plant({"fn/run.sh": "", "fn/sub/é.sh": "", "fn/plain.sh": "", "fn/new.sh": "", "top.sh": ""})
    for name in ("fn/run.sh", "fn/sub/é.sh", "top.sh"):
        (root / name).chmod(0o755)
    git(root, "init", "-q")
    git(root, "add", "fn/run.sh", "fn/sub", "fn/plain.sh", "top.sh")
    git(root, "config", "core.fileMode", value)
    for path in (root / "fn").rglob("*.sh"):
        path.chmod(0o777)
    (root / "fn/run.sh").chmod(0o644)
    files = source_files(project_of(root / "fn/lambda.yaml"))
    assert {file.archive_path for file in files if file.executable} == {"run.sh", "sub/é.sh"}


def test_a_worktree_has_the_rules_and_modes_of_its_repository(plant, project_of):
    root = plant({"main/a.sh": ""})
    (root / "main/a.sh").chmod(0o755)
    git(root / "main", "init", "-q")
    git(root / "main", "add", ".")
    git(root / "main", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a")
    git(root / "main", "worktree", "add", "-q", "../tree")
    (root / "main/.git/info/exclude").write_text("*.tmp\n")
    git(root / "main", "config", "core.fileMode", "false")
    (root / "tree/a.sh").chmod(0o644)
    (root / "tree/x.tmp").touch()
    files = source_files(project_of(root / "tree/lambda.yaml"))
    assert [(file.archive_path, file.executable) for file in files] == [("a.sh", True)]


def test_links_inside_are_kept(plant, project_of):
    root = plant(
        {
            "lib/a.so.1": "",
            "lib/a.so": "-> a.so.1",
            "b.so": "-> lib/a.so",
            "also": "-> lib",
            "opt": "-> /opt/bin/x",
            "lib/up.py": "-> ../x.py",
            "x.py": "",
        }
    )
    files = {file.archive_path: file.link_target for file in source_files(project_of(root / "lambda.yaml"))}
    assert files == {
        "lib/a.so.1": None,
        "lib/a.so": "a.so.1",
        "b.so": "lib/a.so",
        "also": "lib",
        "opt": "/opt/bin/x",
        "lib/up.py": "../x.py",
        "x.py": None,
    }


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"fn/a": "-> ../out.py", "out.py": ""}, "points to '../out.py', outside"),
        ({"fn/a": "-> /etc/passwd"}, "points to '/etc/passwd', outside"),
        ({"fn/a": "-> /opt/../etc/passwd"}, "outside"),
        ({"fn/a": "-> gone.py"}, "'gone.py', which does not exist"),
        ({"fn/a": "-> b", "fn/b": "-> a"}, "symbolic links"),
        ({"fn/a": "-> .venv/x.py", "fn/.venv/x.py": ""}, "is left out of the artifact"),
        (
            {"fn/a": "-> __pycache__/x", "fn/__pycache__/x": "-> ../../out.py", "out.py": ""},
            "leads out of the source",
        ),
        ({"fn/sub/a": "-> ../../fn/x.py", "fn/x.py": ""}, "outside"),
    ],
)
def test_links_that_would_not_work_are_refused(plant, project_of, tree, words):
    root = plant(tree)
    with pytest.raises(SourceInvalid) as caught:
        source_files(project_of(root / "fn/lambda.yaml"))
    text = " ".join(finding.message for finding in caught.value.findings)
    assert words in text
    assert caught.value.findings[0].file is not None
    assert all(finding.hint for finding in caught.value.findings)


def test_an_absolute_link_into_the_source_folder_is_refused(plant, project_of):
    root = plant({"x.py": ""})
    (root / "a").symlink_to(root / "x.py")
    with pytest.raises(SourceInvalid, match="outside"):
        source_files(project_of(root / "lambda.yaml"))


def test_linked_folders_are_not_followed(plant, project_of):
    root = plant({"pkg/a.py": "", "pkg/loop": "-> .", "again": "-> pkg"})
    assert names(source_files(project_of(root / "lambda.yaml"))) == ["again", "pkg/a.py", "pkg/loop"]


def test_all_faults_are_reported_together(plant, project_of):
    root = plant({"a": "-> /etc/a", "b": "-> /etc/b"})
    with pytest.raises(SourceInvalid, match="2 source files") as caught:
        source_files(project_of(root / "lambda.yaml"))
    assert len(caught.value.findings) == 2


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX special files")
def test_pipes_and_sockets_are_refused(plant, project_of):
    root = plant({"x.py": ""})
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(root)
        try:
            listening.bind("sock")
        finally:
            os.chdir(here)
        with pytest.raises(SourceInvalid) as caught:
            source_files(project_of(root / "lambda.yaml"))
    assert {finding.file.name for finding in caught.value.findings} == {"pipe", "sock"}


@pytest.mark.skipif(sys.platform != "linux", reason="macOS and Windows take Unicode names only")
@pytest.mark.parametrize(
    ("name", "words"),
    [(b"\xff.py", "not valid Unicode"), (b"a\nb.py", "control character"), (b"a\\b.py", "backslash")],
)
def test_names_that_no_archive_should_have_are_refused(plant, project_of, name, words):
    root = plant({"x.py": ""})
    Path(os.fsdecode(os.fsencode(root) + b"/" + name)).touch()
    with pytest.raises(SourceInvalid, match=words) as caught:
        source_files(project_of(root / "lambda.yaml"))
    caught.value.findings[0].message.encode()


def test_names_are_composed(plant, project_of):
    root = plant({unicodedata.normalize("NFD", "é/ö.py"): "x"})
    (file,) = source_files(project_of(root / "lambda.yaml"))
    assert file.archive_path == unicodedata.normalize("NFC", "é/ö.py")
    assert file.path.read_text() == "x"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems see one name here")
def test_names_that_compose_to_one_are_refused(plant, project_of):
    root = plant({unicodedata.normalize(form, "é.py"): "" for form in ("NFC", "NFD")})
    with pytest.raises(SourceInvalid, match="composed"):
        source_files(project_of(root / "lambda.yaml"))


def test_a_missing_source_folder_is_named(plant, project_of):
    root = plant({"x": ""})
    with pytest.raises(SourceInvalid, match="does not exist"):
        source_files(project_of(root / "lambda.yaml", source=root / "gone"))


@pytest.fixture
def somebody() -> Iterator[None]:
    """Give up root's right to read everything for the time of a test."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield
    os.seteuid(before)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Make a folder that everybody can enter; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        (Path(name) / "app.py").touch()
        yield Path(name)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX permissions")
@pytest.mark.parametrize(
    ("tree", "shut", "words"),
    [
        (["secret.py"], "secret.py", "'secret.py' cannot be read"),
        (["folder/x.py"], "folder", "folder cannot be read: Permission denied"),
        (["key.pem"], "key.pem", "key.pem cannot be read: Permission denied"),
        ([".gitignore"], ".gitignore", ".gitignore cannot be read: Permission denied"),
    ],
)
def test_what_cannot_be_read_is_named(open_folder, project_of, request, tree, shut, words):
    project = project_of(open_folder / "lambda.yaml")
    for name in tree:
        (open_folder / name).parent.mkdir(exist_ok=True)
        (open_folder / name).touch()
    (open_folder / shut).chmod(0)
    request.getfixturevalue("somebody")
    with pytest.raises(SourceInvalid) as caught:
        source_files(project)
    assert words in caught.value.message
    assert caught.value.findings[0].file == open_folder / shut


@pytest.mark.skipif(sys.platform != "linux", reason="needs a locale that is not UTF-8")
def test_the_locale_does_not_change_names(plant, project_of):
    root = plant({"é.py": "", "ü/ö.txt": ""})
    project_of(root / "lambda.yaml")
    script = textwrap.dedent("""
        import sys, pathlib
        from planton_build.manifest.load import read_manifests
        from planton_build.project.function import BuildOptions, FunctionProject
        from planton_build.project.sources import source_files
        from planton_build.runtimes.catalog import target_for
        root = pathlib.Path(sys.argv[1])
        (manifest,) = read_manifests(root / "lambda.yaml")
        project = FunctionProject(manifest, target_for("python3.13", "arm64"), BuildOptions(source=root))
        print(ascii([file.archive_path for file in source_files(project)]))
    """)
    outputs = {
        subprocess.run(
            [sys.executable, "-X", f"utf8={mode}", "-c", script, str(root)],
            env={"PATH": os.environ["PATH"], "LC_ALL": locale, "PYTHONCOERCECLOCALE": "0"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for mode, locale in ((1, "C.UTF-8"), (0, "C"), (0, "POSIX"))
    }
    assert outputs == {ascii(["é.py", "ü/ö.txt"]) + "\n"}
