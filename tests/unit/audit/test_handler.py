from __future__ import annotations

from pathlib import Path

import pytest

from planton_build.audit.handler import check_python_handler
from planton_build.errors import HandlerMissing
from planton_build.manifest.document import Manifest, Position
from planton_build.manifest.model import AwsLambda, AwsLambdaSpec


def manifest(handler: str) -> Manifest:
    model = AwsLambda(spec=AwsLambdaSpec(function_name="orders", handler=handler))
    return Manifest(Path("lambda.yaml"), 0, model, {("spec", "handler"): Position(7, 12)}, "")


@pytest.mark.parametrize(
    ("handler", "path"),
    [
        ("app.handler", "app.py"),
        ("app.handler", "app/__init__.py"),
        ("app.handler", "app.pyc"),
        ("app.handler", "app.cpython-313-aarch64-linux-gnu.so"),
        ("app.handler", "app.so"),
        ("package.module.handler", "package/module.py"),
        ("src/app.handler", "src/app.py"),
    ],
)
def test_a_module_may_be_a_file_a_package_or_an_extension(handler: str, path: str) -> None:
    check_python_handler(manifest(handler), handler, {path, "other.py"})


@pytest.mark.parametrize(
    "path", ["App.py", "src/app.py", "app.txt", "apps.py", "app/main.py", "xapp.so", "apples.so"]
)
def test_another_file_does_not_do(path: str) -> None:
    with pytest.raises(HandlerMissing, match=r"needs the module app\.py or app/__init__\.py"):
        check_python_handler(manifest("app.handler"), "app.handler", {path})


@pytest.mark.parametrize("handler", ["handler", ".handler", "app.", "", "."])
def test_a_handler_without_module_or_function_is_explained(handler: str) -> None:
    with pytest.raises(HandlerMissing, match="does not name a function in a module") as caught:
        check_python_handler(manifest(handler), handler, {"app.py"})
    assert "app.handler" in (caught.value.hint or "")


def test_the_place_is_that_of_the_handler_and_a_near_module_is_suggested() -> None:
    with pytest.raises(HandlerMissing) as caught:
        check_python_handler(manifest("src.ap.handler"), "src.ap.handler", {"src/app.py", "other.py"})
    (finding,) = caught.value.findings
    assert (finding.file, finding.line, finding.column) == (Path("lambda.yaml"), 7, 12)
    assert (finding.hint or "").startswith("did you mean src.app.handler? ")


def test_nothing_near_is_suggested_where_nothing_is_near() -> None:
    with pytest.raises(HandlerMissing) as caught:
        check_python_handler(manifest("app.handler"), "app.handler", {"zzzzzz.py"})
    assert "did you mean" not in (caught.value.hint or "")
