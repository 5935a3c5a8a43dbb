"""Draw the pictures of `docs/images`: what `planton-deploy plan` shows on a terminal, without asking AWS.

    python docs/pictures.py

The functions are those of `examples/`; what is deployed is made up here. A test holds the pictures against
what this draws, so run it after every change of how plans look.
"""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from planton_build.artifact import Artifact, PackageShare
from planton_build.cli.plan_terminal import draw
from planton_build.cli.plan_view import view_of
from planton_build.deploy.code_change import CodeDifference, code_difference
from planton_build.deploy.desired import desired_state
from planton_build.deploy.functions import Deployment
from planton_build.deploy.observed import ObservedFunction, read_answer
from planton_build.deploy.plan import plan
from planton_build.deploy.traffic import ObservedAlias
from planton_build.manifest.document import Manifest
from planton_build.manifest.load import read_manifests
from planton_build.manifest.model import CodeSourceType, S3Code
from planton_build.publish.aws import Aws
from planton_build.settings.model import DeploySettings, Rollout

DOCS = Path(__file__).resolve().parent
IMAGES = DOCS / "images"
WIDTH = 104
OLD, NEW = "1f0c52a9" * 8, "9b7e44d3" * 8
LIVE = DeploySettings(
    alias="live", rollout=Rollout(smoke_event=b"{}", steps=(10, 50)), tracing="Active", log_retention=30
)

# Without the web fonts of rich's own template: a picture asks nobody for anything.
_FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px;
}}
.{unique_id}-title {{
  font-size: 18px; font-weight: bold; font-family: system-ui, "DejaVu Sans", sans-serif;
}}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def pictures() -> dict[str, str]:
    """Return the pictures by their files' names: the same bytes each time."""
    return {
        "plan-create.svg": _picture("plan-create", [_creation()]),
        "plan-update.svg": _picture("plan-update", [_update(), _unchanged()], _code()),
        "plan-replace.svg": _picture("plan-replace", [_replacement()]),
    }


def _picture(name: str, deployments: list[Deployment], code: CodeDifference | None = None) -> str:
    rich = Console(
        record=True,
        width=WIDTH,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
        highlight=False,
        markup=False,
        emoji=False,
        _environ={},
    )
    rich.print("$ planton-deploy plan", style="bold")
    draw(rich, [view_of(one, code if number == 0 else None) for number, one in enumerate(deployments)])
    waiting = sum(1 for one in deployments if not one.plan.empty)
    rich.print(f"{waiting} to deploy, {len(deployments) - waiting} unchanged")
    text = rich.export_svg(title="planton-deploy plan", code_format=_FORMAT, unique_id=name)
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip()) + "\n"


def _manifest(sha256: str, example: str = "price-tag") -> Manifest:
    """Return an example's manifest, as a build has left it."""
    found = read_manifests(DOCS.parent / "examples" / example / "lambda.yaml")[0]
    name = found.model.spec.function_name
    spec = found.model.spec.model_copy(
        update={
            "code_source_type": CodeSourceType.S3,
            "s3": S3Code(bucket="acme-lambda-artifacts", key=f"{name}/{sha256}.zip"),
        }
    )
    return replace(found, model=found.model.model_copy(update={"spec": spec}))


def _planned(
    manifest: Manifest,
    observed: ObservedFunction | None,
    alias: ObservedAlias | None = None,
    settings: DeploySettings = LIVE,
    aspects: dict[str, object] | None = None,
) -> Deployment:
    return Deployment(manifest, Aws(), plan(desired_state(manifest, settings), observed, alias, aspects))


def _deployed(manifest: Manifest, sha256: str, **other: Any) -> ObservedFunction:
    """Return a function as AWS tells it: as the manifest has it, but for what is given."""
    desired = desired_state(manifest, LIVE)
    answer = {
        "Configuration": {
            "PackageType": "Zip",
            "Architectures": [desired.architecture],
            "Role": desired.role,
            "Runtime": desired.runtime,
            "Handler": desired.handler,
            "Description": desired.description,
            "MemorySize": desired.memory_mb,
            "Timeout": desired.timeout_seconds,
            "Environment": {"Variables": dict(desired.environment)},
            "TracingConfig": {"Mode": "Active"},
            "State": "Active",
            "LastUpdateStatus": "Successful",
            **other,
        }
    }
    return replace(read_answer(desired.name, answer), code_sha256=sha256)


def _creation() -> Deployment:
    return _planned(_manifest(NEW), None)


def _update() -> Deployment:
    manifest = _manifest(NEW)
    found = _deployed(manifest, OLD, MemorySize=128, Environment={"Variables": {"LOCALE": "en_GB"}})
    return _planned(manifest, found, ObservedAlias("live", "7", {}, found), aspects=_as_wanted(manifest))


def _unchanged() -> Deployment:
    manifest = _manifest(NEW)
    spec = manifest.model.spec.model_copy(update={"function_name": "price-tag-eu"})
    manifest = replace(manifest, model=manifest.model.model_copy(update={"spec": spec}))
    found = _deployed(manifest, NEW)
    return _planned(manifest, found, ObservedAlias("live", "3", {}, found), aspects=_as_wanted(manifest))


def _as_wanted(manifest: Manifest) -> dict[str, object]:
    from planton_build.deploy.aspects.all import wanted_aspects

    return dict(wanted_aspects(desired_state(manifest, LIVE)))


def _replacement() -> Deployment:
    manifest = _manifest(NEW)
    found = _deployed(manifest, OLD, PackageType="Image", Runtime="", Handler="")
    return _planned(manifest, found, settings=DeploySettings())


def _code() -> CodeDifference:
    before = _artifact(OLD, 1_480_000, {"babel": "2.16.0", "pytz": "2024.2"})
    after = _artifact(NEW, 1_170_000, {"babel": "2.18.0", "orjson": "3.10.12", "tzlocal": "5.2"})
    return code_difference(before, after)


def _artifact(sha256: str, size: int, packages: dict[str, str]) -> Artifact:
    shares = tuple(PackageShare(name, version, 1, 1, 1) for name, version in packages.items())
    return Artifact(Path(), sha256, "", size, 3 * size, 1, shares, ())


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    for name, text in pictures().items():
        (IMAGES / name).write_text(text, encoding="utf-8")
