"""What to write instead: the remedies for keys and values that the schema does not know."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from pydantic.alias_generators import to_camel

from planton_build.manifest.model import AwsLambda, AwsLambdaSpec, Metadata, Part, S3Code, ValueFromRef
from planton_build.manifest.nodes import short

_RENAMED: dict[type[Part], dict[str, str]] = {
    AwsLambda: {"version": "api_version", "name": "metadata"},
    AwsLambdaSpec: {
        "layers": "layer_arns",
        "kms": "kms_key_arn",
        "kmskey": "kms_key_arn",
        "role": "role_arn",
        "iamrole": "role_arn",
        "memory": "memory_mb",
        "memorysize": "memory_mb",
        "timeout": "timeout_seconds",
        "env": "environment",
        "environmentvariables": "environment",
        "image": "image_uri",
        "architectures": "architecture",
        "subnetids": "subnets",
        "securitygroupids": "security_groups",
        "name": "function_name",
        "codesource": "code_source_type",
        "reservedconcurrentexecutions": "reserved_concurrency",
    },
    S3Code: {"version": "object_version", "s3bucket": "bucket", "s3key": "key"},
    ValueFromRef: {"field": "field_path", "path": "field_path"},
}
"""Names that other tools, older dialects and upstream's own examples use, without `_` and case."""

_FORMS = {
    "role_arn": "{value: …}",
    "kms_key_arn": "{value: …}",
    "layer_arns": "a list of {value: …}",
    "subnets": "a list of {value: …}",
    "security_groups": "a list of {value: …}",
}
"""How to write the fields whose form surprises."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """The field that an unknown key most likely means, if any, and the hint that says so."""

    field: str | None
    text: str


def for_unknown_key(model: type[Part], key: str) -> Suggestion:
    """Suggest what an unknown key of a message may mean, in the key's own style."""
    names = {spelling: field for field in model.model_fields for spelling in (field, to_camel(field))}
    field = _RENAMED.get(model, {}).get(key.replace("_", "").lower())
    if field is None and (close := difflib.get_close_matches(key[:80], names, n=1)):
        field = names[close[0]]
    if field is None:
        known = ", ".join(to_camel(name) for name in model.model_fields)
        return Suggestion(None, f"Remove it. Known here: {known}.")
    spelling = field if "_" in key else to_camel(field)
    form = f", {_FORMS[field]}" if model is AwsLambdaSpec and field in _FORMS else ""
    return Suggestion(field, f"Did you mean `{spelling}`{form}?")


def for_bare_reference(spelling: str, text: str) -> str:
    """Say how to write a string that must be a StringValueOrRef. `spelling` is "" for an item of a list."""
    shown = short(text) or "…"
    return f"Write `- value: {shown}`." if not spelling else f"Write `{spelling}: {{value: {shown}}}`."


def for_mapping_in_list(model: type[Part], field: str) -> str:
    """Say how to write a list where a mapping was written."""
    if model is Metadata and field == "tags":
        return "Tags are a list of strings here; put `key: value` pairs under `labels`."
    return "Write one item a line, each behind `- `."
