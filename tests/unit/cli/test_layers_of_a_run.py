from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from planton_build.cache import Store
from planton_build.cli.build import _check_with_layers
from planton_build.events import Event, Note
from planton_build.manifest.load import read_manifests

MANIFEST = """
apiVersion: aws.planton.dev/v1
kind: AwsLambda
metadata: {{name: {name}}}
spec:
  region: eu-west-1
  functionName: {name}
  roleArn: {{value: "arn:aws:iam::111122223333:role/r"}}
  runtime: python3.13
  handler: app.handler
  {more}
"""
LAYER = "arn:aws:lambda:eu-west-1:111122223333:layer:one:1"


def test_an_image_is_not_held_against_the_limit_of_a_zip_beside_it_that_has_layers(tmp_path: Path) -> None:
    def built(name: str, more: str, size: int) -> Any:
        path = tmp_path / f"{name}.yaml"
        path.write_text(MANIFEST.format(name=name, more=more))
        project = SimpleNamespace(name=name, manifest=read_manifests(path)[0])
        artifact = SimpleNamespace(unzipped_size=size, packages=(), largest=())
        return SimpleNamespace(project=project, artifact=artifact)

    heard: list[Event] = []
    workshop: Any = SimpleNamespace(store=Store(tmp_path / "store"), listener=heard.append, jobs=2)
    image = built("image", "codeSourceType: CODE_SOURCE_TYPE_IMAGE", 500_000_000)
    zipped = built("zip", f"layerArns: [{{value: '{LAYER}'}}]", 1000)

    _check_with_layers([image, zipped], workshop, None)

    assert [event.function for event in heard if isinstance(event, Note)] == ["zip"]
