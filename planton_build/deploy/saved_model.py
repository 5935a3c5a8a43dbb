"""The form of a plan file. Apart from `saved`, because pydantic is slow to import."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class SavedFunction(_Part):
    """One function of a plan: fingerprints of what was desired and observed; the rest is for people."""

    name: str
    region: str
    manifest: str
    desired: str
    observed: dict[str, str]


class SavedPlan(_Part):
    """A plan file."""

    format: Literal[1]
    tool: str
    salt: str
    functions: tuple[SavedFunction, ...]
