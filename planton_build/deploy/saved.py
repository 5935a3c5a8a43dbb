"""Plans in files: what was planned, and what it was planned from, to be applied later or not at all.

A saved plan holds no desired state, so no secrets: the manifests and the configuration are read again, and
AWS too. It holds fingerprints, and applies only where all of them are as they were.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from planton_build.deploy.functions import Deployment
from planton_build.deploy.plan import Plan
from planton_build.deploy.steps import described
from planton_build.errors import Finding, PlanOutdated
from planton_build.files import write_atomic

if TYPE_CHECKING:
    from planton_build.deploy.saved_model import SavedFunction, SavedPlan

FORMAT: Final = 1
MAX_BYTES: Final = 64 << 20
"""Largest plan file that is read."""
_SCRYPT: Final = {"n": 1 << 12, "r": 8, "p": 1}
"""About 10 ms a function: a fingerprint covers environment values, so guessing them must not be cheap."""
_NOT_COMPARED: Final = frozenset({"record", "resolved", "origin"})


def save_plan(deployments: Sequence[Deployment], path: Path, *, tool: str) -> None:
    """Write a plan, readable by its owner only. `tool` is the version of this tool. Raises OSError."""
    salt = secrets.token_hex(16)
    document = {
        "format": FORMAT,
        "tool": tool,
        "salt": salt,
        "functions": [_saved(one, salt) for one in deployments],
    }
    write_atomic(path, (json.dumps(document, indent=2) + "\n").encode(), mode=0o600)


def load_plan(path: Path) -> SavedPlan:
    """Read a plan. Raises PlanOutdated when it cannot be read, or another version of the tool wrote it."""
    from pydantic import ValidationError

    from planton_build.deploy.saved_model import SavedPlan

    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise ValueError("it is too large")
        found = SavedPlan.model_validate_json(raw)
    except OSError as error:
        raise PlanOutdated(
            f"the plan {path.name} cannot be read: {error.strerror}",
            hint="make it with `planton-deploy plan --out FILE`",
            file=path,
        ) from error
    except (ValidationError, ValueError) as error:
        raise PlanOutdated(
            f"{path.name} is no plan of this tool",
            hint="make it anew with `planton-deploy plan --out FILE`",
            file=path,
        ) from error
    return found


def check_plan(saved: SavedPlan, deployments: Sequence[Deployment], *, file: Path | None = None) -> None:
    """See that what would be done now is what was planned.

    Raises PlanOutdated, with a finding for each function that has changed, here or in AWS.
    """
    now = {(one.plan.desired.region, one.plan.desired.name): one.plan for one in deployments}
    findings: list[Finding] = []
    for function in saved.functions:
        plan = now.pop((function.region, function.name), None)
        moved = _moved(function, plan, saved.salt)
        findings += [Finding(PlanOutdated.code, f"{function.name}: {what}", file) for what in moved]
    findings += [
        Finding(PlanOutdated.code, f"{name} in {region} is not in the plan", file) for region, name in now
    ]
    if findings:
        first, *more = findings
        others = f" (and {len(more)} more)" if more else ""
        hint = "look at `planton-deploy plan` again, and save it anew"
        raise PlanOutdated(
            f"the plan does not fit any more: {first.message}{others}",
            hint=hint,
            findings=[
                Finding(one.code, f"the plan does not fit any more: {one.message}", file, hint=hint)
                for one in findings
            ],
        )


def _moved(saved: SavedFunction, plan: Plan | None, salt: str) -> list[str]:
    """Return what is not as it was when the plan was made."""
    if plan is None:
        return ["its manifest is gone"]
    found = []
    if saved.desired != _fingerprint(_desired(plan), salt, slow=True):
        found.append("its manifest, its configuration or a reference has changed")
    now = _observed(plan, salt)
    for name, was in saved.observed.items():
        if now.get(name) != was:
            found.append(f"in AWS its {name} was {was or 'none'} and is {now.get(name) or 'none'}")
    return found


def _saved(deployment: Deployment, salt: str) -> dict[str, object]:
    plan = deployment.plan
    return {
        "name": plan.desired.name,
        "region": plan.desired.region,
        "manifest": os.path.relpath(deployment.manifest.path),
        "desired": _fingerprint(_desired(plan), salt, slow=True),
        "observed": _observed(plan, salt),
        "changes": [asdict(change) for change in plan.changes],
        "steps": [described(step) for step in plan.steps],
    }


def _observed(plan: Plan, salt: str) -> dict[str, str]:
    """Return what AWS told, in the words of messages; "" is absent."""
    seen, alias = plan.observed, plan.alias
    return {
        "revision": (seen.revision_id or "") if seen else "",
        "code": (seen.code_sha256 or seen.image_uri) if seen else "",
        "concurrency": str(seen.reserved_concurrency) if seen else "",
        "alias": alias.shown if alias else "",
        "settings": _fingerprint(_plain(plan.aspects), salt) if plan.aspects else "",
    }


def _desired(plan: Plan) -> object:
    desired = plan.desired
    return {
        field.name: _plain(getattr(desired, field.name))
        for field in fields(desired)
        if field.name not in _NOT_COMPARED
    }


def _plain(value: Any) -> object:
    """Return a value as JSON has it, the same in each process."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in sorted(value.items())}
    if isinstance(value, list | tuple | set | frozenset):
        items = [_plain(item) for item in value]
        return sorted(items, key=str) if isinstance(value, set | frozenset) else items
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


def _fingerprint(value: object, salt: str, *, slow: bool = False) -> str:
    raw = json.dumps(value, sort_keys=True).encode()
    if slow:
        return hashlib.scrypt(raw, salt=salt.encode(), dklen=32, **_SCRYPT).hex()
    return hashlib.sha256(salt.encode() + raw).hexdigest()
