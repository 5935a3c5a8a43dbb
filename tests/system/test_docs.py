"""Every `console` block of README.md and docs/*.md runs as it stands, and prints what it says.

A block is preceded by HTML comments, which a reader of the page does not see:

    <!-- run in: examples/price-tag -->           a copy of this folder is the working folder
    <!-- aws: acme-lambda-artifacts eu-west-1 --> an AWS with this bucket and the manifests' roles, as
                                                  `planton-deploy role --create` makes them
    <!-- needs: unzip -->                         programs besides the tool; without them the block is skipped
    <!-- host: x86_64 -->                         on other machines than such a Linux the block is skipped
    <!-- containers: python3.11 -->               build containers, of stand-in images of this runtime
    <!-- base image: python3.11 -->               the same images as what images are built on, from files

Inside a block, `$ ` begins a command. `# exit 10` behind it says that it must end so, otherwise with 0;
a colon and words may follow. The lines below a command are what it prints, both streams together: `…`
stands for any text within a line, a line of `…` alone for any lines, and runs of spaces count as one. A
command with nothing below it may print anything.

Blocks share one cache of wheels, made before the first of them; what they build is their own.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from planton_build.deploy.role.make import make_role
from planton_build.deploy.role.wanted import configured, wanted_role
from planton_build.local.clients import local_client
from planton_build.local.prepare import prepare
from planton_build.local.runtime_wheels import runtime_wheels
from planton_build.local.server import DEFAULT_ACCOUNT, ensure_server, stop_server
from planton_build.manifest.load import looks_like_manifest, read_manifests
from planton_build.publish.aws import Aws, AwsSettings
from planton_build.settings.read import settings_for

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WARMED = ("price-tag", "image-processor", "monorepo")
"""The examples whose wheels are fetched once, before the first block."""
DIRECTIVES = frozenset({"run in", "aws", "needs", "host", "containers", "base image"})
SECONDS = 120
CONTAINER_SECONDS = 900
"""For one command that starts emulated compilers."""
STAND_INS = "planton-standin/build-{runtime}:latest-{architecture}"

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(sys.platform == "win32", reason="the pages show a POSIX shell"),
]


@dataclass(frozen=True)
class Command:
    line: int
    text: str
    exit_code: int
    output: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    directives: dict[str, str]
    commands: tuple[Command, ...]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """Read a page's console blocks."""
    lines = page.read_text(encoding="utf-8").splitlines()
    found = []
    for number, line in enumerate(lines):
        if line == "```console":
            end = lines.index("```", number)
            name = page.relative_to(ROOT).as_posix()
            found.append(
                Block(
                    name,
                    number + 1,
                    _directives(lines[:number]),
                    _commands(lines[number + 1 : end], number + 2),
                )
            )
    return found


def _directives(above: list[str]) -> dict[str, str]:
    found = {}
    for line in reversed(above):
        match = re.fullmatch(r"<!-- ([a-z ]+): (.*?) -->", line.strip())
        if match is None and line.strip():
            break
        if match is not None:
            found[match[1]] = match[2]
    return found


def _commands(lines: list[str], first: int) -> tuple[Command, ...]:
    commands: list[Command] = []
    for number, line in enumerate(lines, start=first):
        if line.startswith("$ "):
            text, _, code = line[2:].partition("# exit ")
            commands.append(Command(number, text.strip(), int(code.partition(":")[0] or 0), ()))
        else:
            assert commands, f"line {number}: output before the first command"
            last = commands.pop()
            commands.append(Command(last.line, last.text, last.exit_code, (*last.output, line)))
    return tuple(commands)


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


@pytest.fixture(scope="session")
def warm(once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """Return a folder with a cache of wheels and Lambda's runtime client, made once for all workers."""

    def make(folder: Path) -> None:
        shutil.copytree(ROOT / "examples", folder / "examples")
        places = [folder / "examples" / name for name in WARMED]
        command = [sys.executable, "-c", "from planton_build.cli.build import main; main()"]
        subprocess.run(
            [*command, "--no-publish", "--quiet", *places],
            env=_environment(cache=folder / "cache", state=folder / "state", home=folder / "home"),
            check=True,
            timeout=SECONDS,
        )
        runtime_wheels(folder / "state")
        for built in ("builds", "artifacts"):
            shutil.rmtree(folder / "cache" / "v1" / built)

    return once("docs-warm", make)


@pytest.fixture(scope="session")
def base_images(
    once: Callable[[str, Callable[[Path], None]], Path], require_engine: Callable[[str, bool, str], None]
) -> Callable[[str], str]:
    """Return a function that gives, for a runtime, the option `base-image` with the stand-ins as files."""

    def base_image(runtime: str) -> str:
        require_stand_ins(require_engine, runtime)

        def make(folder: Path) -> None:
            for architecture in ("x86_64", "arm64"):
                name = STAND_INS.format(runtime=runtime, architecture=architecture)
                subprocess.run(["docker", "save", "-o", folder / f"{architecture}.tar", name], check=True)

        return f"docker-archive:{once(f'base-{runtime}', make)}/{{architecture}}.tar"

    return base_image


def _environment(*, cache: Path, state: Path, home: Path) -> dict[str, str]:
    """Return the environment of a person who has just installed the tool, with this machine's network."""
    private = re.compile(r"AWS_|PLANTON_|GITHUB_|CI$|FORCE_COLOR$|PYTEST_|COV_|COVERAGE_")
    kept = {name: value for name, value in os.environ.items() if not private.match(name)}
    nowhere = home / "none"
    return {
        **kept,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept["PATH"]]),
        "LC_ALL": "C.UTF-8",
        "NO_COLOR": "1",
        "PLANTON_CACHE_DIR": str(cache),
        "PLANTON_STATE_DIR": str(state),
        "AWS_CONFIG_FILE": str(nowhere),
        "AWS_SHARED_CREDENTIALS_FILE": str(nowhere),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.fixture
def state(tmp_path: Path, warm: Path) -> Iterator[Path]:
    folder = tmp_path / "state"
    shutil.copytree(warm / "state" / "runtime", folder / "runtime")
    yield folder
    stop_server(folder)


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "account"
    yield folder
    stop_server(folder)


def _account_with(place: str, folder: Path, state: Path) -> dict[str, str]:
    """Start an AWS that has a bucket and the roles of a folder's manifests; return how to reach it."""
    bucket, region, *options = place.split()
    server = ensure_server(state)
    manifests = [
        manifest
        for path in sorted(folder.rglob("*.yaml"))
        if looks_like_manifest(path)
        for manifest in read_manifests(path)
    ]
    prepare(manifests, server)
    s3 = local_client(server, "s3", region)
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})
    if options == ["versioned"]:
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    key, secret = server.credentials(DEFAULT_ACCOUNT)
    aws = Aws(AwsSettings(region, None, server.endpoint, key, secret))
    for manifest in manifests:
        desired = configured(manifest, settings_for(manifest))
        make_role(wanted_role(manifest, desired, DEFAULT_ACCOUNT, region), aws, region)
    return {
        "AWS_ENDPOINT_URL": server.endpoint,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
    }


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_the_commands_of_a_page_do_what_it_says(
    block: Block,
    tmp_path: Path,
    warm: Path,
    state: Path,
    account: Path,
    base_images: Callable[[str], str],
    require_engine: Callable[[str, bool, str], None],
) -> None:
    for program in block.directives.get("needs", "").split():
        if shutil.which(program) is None and not os.environ.get("PLANTON_REQUIRE_ENGINES"):
            pytest.skip(f"{program} is not installed")
    host = block.directives.get("host")
    if host is not None and (platform.system(), platform.machine()) != ("Linux", host):
        pytest.skip(f"the page shows what happens on {host} Linux")
    folder = tmp_path / "work"
    shutil.copytree(ROOT / block.directives["run in"], folder, symlinks=True)
    cache = tmp_path / "cache"
    shutil.copytree(warm / "cache", cache, copy_function=os.link)
    environment = _environment(cache=cache, state=state, home=tmp_path)
    if "aws" in block.directives:
        environment |= _account_with(block.directives["aws"], folder, account)
    if "containers" in block.directives:
        require_stand_ins(require_engine, block.directives["containers"])
        environment["PLANTON_BUILD_IMAGE"] = STAND_INS
    if "base image" in block.directives:
        environment["PLANTON_BASE_IMAGE"] = base_images(block.directives["base image"])
    for command in block.commands:
        done = subprocess.run(
            ["sh", "-c", command.text],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            timeout=CONTAINER_SECONDS if "containers" in block.directives else SECONDS,
            check=False,
        )
        where = f"{block.page}:{command.line}: {command.text}"
        assert done.returncode == command.exit_code, f"{where}\n{done.stdout}"
        if any(line.strip() for line in command.output):
            assert prints_as_shown(command.output, done.stdout), f"{where}\n{done.stdout}"


def require_stand_ins(require_engine: Callable[[str, bool, str], None], runtime: str) -> None:
    """End the test unless an engine has stand-ins of a runtime's build images, for both architectures."""
    from planton_build.errors import EngineUnavailable
    from planton_build.sandbox.engine import connect

    try:
        engine = connect(os.environ)
    except EngineUnavailable as error:
        require_engine("a container engine", False, error.message)
        return
    known = {tag for image in engine.api.images() for tag in image.get("RepoTags") or []}
    engine.close()
    wanted = {STAND_INS.format(runtime=runtime, architecture=one) for one in ("x86_64", "arm64")}
    require_engine("stand-in images", wanted <= known, "as root: tests/standins/make")


def prints_as_shown(expected: tuple[str, ...], actual: str) -> bool:
    """Tell whether a command printed what the page shows."""
    pattern = ""
    for line in expected:
        if line.strip() == "…":
            pattern += r"(?:.*\n)*?"
        elif line.strip():
            pattern += ".*".join(re.escape(part) for part in _squeezed(line).split("…")) + r"\n"
    printed = "".join(_squeezed(line) + "\n" for line in actual.splitlines() if line.strip())
    return re.fullmatch(pattern, printed) is not None


def _squeezed(line: str) -> str:
    return re.sub(r"\s+", " ", line).strip()


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_says_where_it_runs_and_nothing_unknown(block: Block) -> None:
    assert "run in" in block.directives
    assert block.directives.keys() <= DIRECTIVES
    assert (ROOT / block.directives["run in"]).is_dir()
    assert block.commands


def test_every_page_of_commands_is_run() -> None:
    assert {block.page for block in BLOCKS} >= {
        "README.md",
        *(
            f"docs/{name}.md"
            for name in (
                "manifests",
                "dependencies",
                "artifacts",
                "deploying",
                "operations",
                "roles",
                "local",
                "ci",
                "json",
            )
        ),
    }


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        (("built  1.2",), "built 1.2\n", True),
        (("built  … s",), "built 17.25 s\n", True),
        (("built",), "built more\n", False),
        (("first", "…", "last"), "first\na\nb\nlast\n", True),
        (("first", "…", "last"), "first\nlast\n", True),
        (("first", "last"), "first\na\nlast\n", False),
        (("a.c",), "abc\n", False),
        (("one", "", "two"), "one\n\n\ntwo\n", True),
        (("one",), "one\ntwo\n", False),
    ],
)
def test_output_is_compared(shown: tuple[str, ...], printed: str, same: bool) -> None:
    assert prints_as_shown(shown, printed) is same
