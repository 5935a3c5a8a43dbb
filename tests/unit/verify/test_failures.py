"""What the container says, turned into errors: the linker's words, missing modules, failed answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planton_build.errors import VerifyFailed
from planton_build.manifest.document import Manifest, Position
from planton_build.manifest.model import AwsLambda, AwsLambdaSpec
from planton_build.project.function import BuildOptions, FunctionProject
from planton_build.runtimes.catalog import target_for
from planton_build.verify.environment import UNSET, function_environment, memory_mb, timeout_seconds
from planton_build.verify.failures import Code, import_failure, invocation_failure
from planton_build.verify.report import ErrorIn, ImportReport, read_import, read_invocation

LINKER = "/var/task/numpy/_core/_multiarray.so"


def project_of(source: Path = Path("/nowhere"), **spec: object) -> FunctionProject:
    values = {"function_name": "orders", "handler": "app.handler", **spec}
    model = AwsLambda(spec=AwsLambdaSpec.model_validate(values))
    positions = {("spec", "handler"): Position(7, 3)}
    manifest = Manifest(Path("lambda.yaml"), 0, model, positions, "0" * 64)
    return FunctionProject(manifest, target_for("python3.13", "arm64"), BuildOptions(source=source))


def failure(
    *errors: ErrorIn, folder: Path = Path("/nowhere"), packages: tuple[str, ...] = ()
) -> VerifyFailed:
    report = ImportReport(stage="import", exit_code=0, peak_memory=1, errors=list(errors))
    return import_failure(project_of(), report, Code(folder, packages))


def error(message: str, *, type: str = "ImportError", **more: object) -> ErrorIn:  # noqa: A002
    return ErrorIn.model_validate({"type": type, "kinds": [type], "message": message, **more})


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        (
            "libGL.so.1: cannot open shared object file: No such file or directory",
            "numpy/_core/_multiarray.so of numpy needs the library libGL.so.1, which is neither",
            "system-packages",
        ),
        (
            f"/lib64/libc.so.6: version `GLIBC_2.38' not found (required by {LINKER})",
            "numpy/_core/_multiarray.so of numpy needs GLIBC_2.38, which the runtime does not have",
            "numpy was built for a newer system",
        ),
        (
            "/lib64/libm.so.6: version `GLIBC_2.40' not found (required by /var/task/numpy.libs/libx.so)",
            "numpy.libs/libx.so of numpy needs GLIBC_2.40",
            "--container always",
        ),
        (f"{LINKER}: undefined symbol: PyUnstable_X", "needs the symbol PyUnstable_X", "for the target"),
        (f"{LINKER}: invalid ELF header", "invalid ELF header", "another system"),
    ],
)
def test_the_linkers_words_name_file_and_package(said: str, message: str, hint: str) -> None:
    found = failure(error(said, path=LINKER), packages=("numpy",))

    assert message in found.message
    assert hint in str(found.hint)


def test_what_a_package_wraps_around_the_cause_does_not_hide_it() -> None:
    cause = error("libGL.so.1: cannot open shared object file: No such file", path=LINKER)
    outer = error("IMPORTANT: PLEASE READ THIS FOR ADVICE ON HOW TO SOLVE THIS ISSUE!" + " words" * 300)

    found = failure(outer, cause, packages=("numpy",))

    assert "needs the library libGL.so.1" in found.message
    assert "PLEASE READ" not in found.message


def test_a_part_that_is_missing_of_a_package_that_is_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "kind").mkdir()
    missing = error(
        "No module named 'kind.part'",
        type="ModuleNotFoundError",
        name="kind.part",
        frames=[("/var/task/app.py", 3, "<module>", "import kind.part")],
    )

    found = failure(missing, folder=tmp_path)

    assert "app.py (line 3) imports kind.part" in found.message
    assert "kind is there, but not this part of it" in str(found.hint)


def test_a_package_is_known_by_what_it_says_it_brings(tmp_path: Path) -> None:
    (tmp_path / "PyYAML-6.0.2.dist-info").mkdir()
    (tmp_path / "PyYAML-6.0.2.dist-info/top_level.txt").write_text("_yaml\nyaml\n")
    code = Code(tmp_path, ("pyyaml", "my-kind"))

    assert code.package_of("/var/task/yaml/__init__.py") == "pyyaml"
    assert code.package_of("/var/task/My_Kind/x.py") == "my-kind"
    assert code.package_of("/var/task/app.py") is None
    assert code.package_of("/usr/lib/python3/yaml.py") is None


def test_the_frames_shown_are_the_users_own_and_the_last_ones() -> None:
    frames = [("/usr/lib/python3.13/runpy.py", 1, "run", "")]
    frames += [("/var/task/app.py", number, f"f{number}", "go()") for number in range(1, 10)]
    frames += [("/var/task/numpy/x.py", 5, "deep", "raise")]

    found = failure(error("boom", type="ValueError", frames=frames), packages=("numpy",))

    assert found.message.splitlines() == [
        "app.handler cannot be imported: ValueError: boom",
        *(f"  app.py:{number} in f{number}: go()" for number in range(4, 10)),
    ]


def test_a_place_outside_of_the_sources_is_not_pointed_to(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "secret.py").write_text("")
    frames = [("/var/task/../secret.py", 1, "f", "")]
    report = ImportReport(
        stage="import", exit_code=0, peak_memory=1, errors=[error("x", type="ValueError", frames=frames)]
    )

    found = import_failure(project_of(tmp_path / "source"), report, Code(tmp_path, ()))

    assert found.findings[0].file == Path("lambda.yaml")


def test_a_missing_function_points_to_the_manifests_handler() -> None:
    report = ImportReport(stage="handler", exit_code=0, peak_memory=1, names=["handle", "other"])

    found = import_failure(project_of(), report, Code(Path("/nowhere"), ()))

    assert (found.findings[0].file, found.findings[0].line) == (Path("lambda.yaml"), 7)
    assert found.hint == "did you mean app.handle?"


ANSWER = {"errorMessage": "boom", "errorType": "ValueError", "requestId": "r-1", "stackTrace": []}


@pytest.mark.parametrize(
    ("payload", "status", "message"),
    [
        (json.dumps(ANSWER).encode(), 200, "orders failed: ValueError: boom"),
        (b"Task timed out after 3.00 seconds", 200, "orders timed out"),
        (b'{"errorType":"Runtime.ExitError","errorMessage":"exit status 3"}', 502, "Runtime.ExitError: exit"),
        (b"<html>", 500, "orders failed: <html>"),
    ],
)
def test_failed_invocations_are_told_from_answers(payload: bytes, status: int, message: str) -> None:
    found = invocation_failure(project_of(), payload, status, ["r-1"])

    assert found is not None
    assert message in found.message


@pytest.mark.parametrize(
    "payload",
    [
        b"null",
        b"{}",
        b'"Task timed out after 3.00 seconds"',
        json.dumps({**ANSWER, "requestId": "r-2"}).encode(),
    ],
)
def test_answers_are_answers_whatever_they_look_like(payload: bytes) -> None:
    assert invocation_failure(project_of(), payload, 200, ["r-1"]) is None


@given(st.binary(max_size=200), st.sampled_from([200, 502]))
def test_no_answer_breaks_the_reading_of_answers(payload: bytes, status: int) -> None:
    found = invocation_failure(project_of(), payload, status, ["r-1"])

    assert status == 200 or found is not None


@pytest.mark.parametrize(
    "text", ["", "[]", '{"stage": "done"}', '{"stage": "no", "exit_code": 0, "peak_memory": 0}']
)
def test_a_report_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "report.json").write_text(text)

    with pytest.raises(VerifyFailed, match=r"report\.json that is no report"):
        read_import(tmp_path)


def test_no_report_is_none(tmp_path: Path) -> None:
    assert read_import(tmp_path) is None
    assert read_invocation(tmp_path) is None


def test_a_function_that_asks_for_nothing_gets_lambdas_defaults() -> None:
    project = project_of()

    assert (memory_mb(project), timeout_seconds(project)) == (128, 3)
    assert memory_mb(project_of(memory_mb=512)) == 512


def test_the_functions_own_variables_give_way_to_lambdas() -> None:
    own = {"HOME": "/elsewhere", "TABLE": "orders", "AWS_REGION": "mars"}

    variables = function_environment(project_of(region="eu-west-1", environment=own))

    assert (variables["HOME"], variables["TABLE"], variables["AWS_REGION"]) == (
        "/elsewhere",
        "orders",
        "eu-west-1",
    )
    assert "PYTHONDONTWRITEBYTECODE" in UNSET
    assert "PYTHONDONTWRITEBYTECODE" not in variables
