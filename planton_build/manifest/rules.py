"""What the values of a manifest must be: upstream's rules by their ids, and Lambda's own limits.

Ids and texts of upstream's rules are literal, so that other tools' users recognise them. Lambda's limits
carry ids that begin with `lambda.`: what breaks one can never be deployed, so it is an error from the start.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from planton_build.manifest.document import FieldPath
from planton_build.manifest.model import AwsLambda, AwsLambdaSpec, CodeSourceType, StringValueOrRef
from planton_build.manifest.references import Dialect

Level: TypeAlias = Literal["buildable", "deployable"]
"""`buildable`: the code source may be missing, incomplete, or accompanied by one of the other kind, because a
build replaces it. `deployable`: everything holds."""

MAX_FUNCTION_NAME = 64
"""Characters of a bare name. AWS Lambda API, CreateFunction: FunctionName."""
MAX_HANDLER = 128
"""Characters. AWS Lambda API, CreateFunction: Handler."""
MAX_DESCRIPTION = 256
"""Characters. AWS Lambda API, CreateFunction: Description."""
MAX_ENVIRONMENT_BYTES = 4096
"""Bytes of the variables as a JSON object, which is what Lambda measures. AWS Lambda quotas: 4 KB."""
MAX_LAYERS = 5
"""AWS Lambda quotas: layers of a function."""
MAX_SUBNETS = 16
"""AWS Lambda API, VpcConfig: SubnetIds."""
MAX_SECURITY_GROUPS = 5
"""AWS Lambda API, VpcConfig: SecurityGroupIds."""
MEMORY_MB = range(128, 10240 + 1)
"""AWS Lambda quotas: memory of a function, in MB."""
TIMEOUT_SECONDS = range(1, 900 + 1)
"""AWS Lambda quotas: timeout of a function, in seconds."""

_FUNCTION_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_VARIABLE_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]+")
RESERVED_VARIABLES = frozenset(
    {
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
        "TZ",
    }
)
"""Names that Lambda sets itself and refuses. AWS Lambda guide, "Defined runtime environment variables"."""

_REQUIRED = "value is required"
_EMPTY = "value length must be at least 1 characters"
_SPEC: FieldPath = ("spec",)


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that a manifest breaks.

    `path` names the field the rule is about, `at` (if given) the field to point to, and `uses` the fields the
    rule has read: none of them may be judged while it could not be read.
    """

    path: FieldPath
    rule: str
    message: str
    hint: str
    at: FieldPath | None = None
    uses: tuple[FieldPath, ...] = ()


def violations(model: AwsLambda, level: Level, written: Container[FieldPath]) -> Iterator[Violation]:
    """Yield all broken rules. `written` holds the fields that stand in the document, set or null."""
    yield from _envelope(model, written)
    if "spec" in model.model_fields_set:
        yield from _required(model, written)
        yield from _references(model.spec)
        yield from _numbers(model.spec)
        yield from _code_source(model.spec, level)
        yield from _limits(model.spec)
        yield from _environment(model.spec)


def warnings(model: AwsLambda) -> Iterator[Violation]:
    """Yield what is allowed and will surprise."""
    name = model.metadata.name
    if model.spec.function_name != name:
        yield Violation(
            ("spec", "function_name"),
            "metadata.name",
            f"differs from metadata.name (`{name}`), under which other tools deploy this manifest",
            "Make the two the same.",
            uses=(("spec", "function_name"), ("metadata", "name")),
        )


def _envelope(model: AwsLambda, written: Container[FieldPath]) -> Iterator[Violation]:
    if model.api_version not in list(Dialect):
        known = ", ".join(Dialect)
        yield Violation(
            ("api_version",),
            "string.const" if ("api_version",) in written else "required",
            f"value must be one of {known}" if ("api_version",) in written else _REQUIRED,
            f"Write `apiVersion: {Dialect.PROJECT_PLANTON}`, or the version of the tool that deploys it.",
        )
    if model.kind != "AwsLambda":
        hint = "Write `kind: AwsLambda`, exactly so."
        yield Violation(("kind",), "string.const", "value must equal `AwsLambda`", hint)
    for field, example in (("metadata", "name: my-function"), ("spec", "functionName: my-function")):
        if field not in model.model_fields_set:
            yield Violation((field,), "required", _REQUIRED, f"Add `{field}:` with `{example}` below it.")
    for index, item in enumerate(model.metadata.relationships):
        for field in ("kind", "name", "type"):
            if field not in item.model_fields_set:
                path = ("metadata", "relationships", index, field)
                yield Violation(path, "required", _REQUIRED, f"Set `{field}`.")


def _required(model: AwsLambda, written: Container[FieldPath]) -> Iterator[Violation]:
    spec, region = model.spec, ("spec", "region")
    if model.api_version == Dialect.PLANTON and not spec.region:
        hint = f"Set `region`, such as eu-west-1; {Dialect.PLANTON} needs it."
        yield Violation(region, "string.min_len", _EMPTY, hint, uses=(region, ("api_version",)))
    if model.api_version == Dialect.PROJECT_PLANTON and region in written:
        message = f"unknown field of spec in {Dialect.PROJECT_PLANTON}"
        hint = f"Remove it, or use `apiVersion: {Dialect.PLANTON}`."
        yield Violation(region, "parse.unknown_field", message, hint)
    if not spec.function_name:
        hint = "Set `functionName` to the name the function has in AWS."
        yield Violation(("spec", "function_name"), "string.min_len", _EMPTY, hint)
    if spec.role_arn is None:
        hint = "Set `roleArn: {value: arn:aws:iam::…:role/…}`, or a `valueFrom`."
        yield Violation(("spec", "role_arn"), "required", _REQUIRED, hint)


def _references(spec: AwsLambdaSpec) -> Iterator[Violation]:
    single = (("role_arn", spec.role_arn), ("kms_key_arn", spec.kms_key_arn))
    several = (
        ("subnets", spec.subnets),
        ("security_groups", spec.security_groups),
        ("layer_arns", spec.layer_arns),
    )
    for name, reference in single:
        if reference is not None:
            yield from _reference(("spec", name), reference)
    for name, references in several:
        for index, reference in enumerate(references):
            yield from _reference(("spec", name, index), reference)


def _reference(path: FieldPath, reference: StringValueOrRef) -> Iterator[Violation]:
    if not reference.value and reference.value_from is None:
        message = "a non-empty value or a resource reference must be provided"
        yield Violation(path, "string_value_or_ref.non_empty", message, "Set `value` or `valueFrom`.")
    if reference.value_from is not None and not reference.value_from.name:
        hint = "Set `name` to the metadata.name of the resource."
        yield Violation((*path, "value_from", "name"), "required", _REQUIRED, hint)


def _numbers(spec: AwsLambdaSpec) -> Iterator[Violation]:
    if spec.memory_mb and spec.memory_mb not in MEMORY_MB:
        yield _message_rule(
            "memory_range_or_default",
            "memory_mb must be between 128 and 10240 when set",
            "Choose a size in MB in this range, or remove it for 128.",
            "memory_mb",
        )
    if spec.timeout_seconds and spec.timeout_seconds not in TIMEOUT_SECONDS:
        yield _message_rule(
            "timeout_range_or_default",
            "timeout_seconds must be between 1 and 900 when set",
            "Choose a time in seconds in this range, or remove it for 3.",
            "timeout_seconds",
        )
    if (spec.reserved_concurrency or 0) < -1:
        yield _message_rule(
            "reserved_concurrency_semantics",
            "reserved_concurrency must be -1, 0, or a positive integer",
            "Use -1 for no reservation, or 0 to switch the function off.",
            "reserved_concurrency",
        )


def _message_rule(rule: str, message: str, hint: str, at: str, *others: str) -> Violation:
    """Make a violation of a rule of the whole spec; the first field is the one to point to."""
    return Violation(
        _SPEC, rule, message, hint, ("spec", at), tuple(("spec", name) for name in (at, *others))
    )


def _code_source(spec: AwsLambdaSpec, level: Level) -> Iterator[Violation]:
    deployable = level == "deployable"
    match spec.code_source_type:
        case CodeSourceType.UNSPECIFIED:
            yield from _undecided_source(spec, deployable=deployable)
        case CodeSourceType.S3:
            yield from _zip_source(spec, deployable=deployable)
        case CodeSourceType.IMAGE:
            yield from _image_source(spec, deployable=deployable)
    if deployable and spec.s3 is not None:
        for name, value in (("bucket", spec.s3.bucket), ("key", spec.s3.key)):
            if not value:
                hint = f"Run planton-build, or set `{name}`."
                yield Violation(("spec", "s3", name), "string.min_len", _EMPTY, hint)


def _undecided_source(spec: AwsLambdaSpec, *, deployable: bool) -> Iterator[Violation]:
    if deployable:
        yield _message_rule(
            "code_source_type_required",
            "code_source_type must be set",
            "Run planton-build, or set it with `s3` or `imageUri`.",
            "code_source_type",
        )
        return
    if spec.s3 is not None and spec.image_uri:
        message = "s3 and image_uri are both set, and code_source_type does not choose"
        hint = "Keep one of the two, or set `codeSourceType`."
        yield _message_rule("code_source.ambiguous", message, hint, "image_uri", "s3", "code_source_type")
    for name, value in (("runtime", spec.runtime), ("handler", spec.handler)):
        if not value:
            hint = f"Set `{name}`, or `codeSourceType: {CodeSourceType.IMAGE}` for a container image."
            path = ("spec", name)
            yield Violation(path, "required", _REQUIRED, hint, uses=(path, ("spec", "code_source_type")))


def _zip_source(spec: AwsLambdaSpec, *, deployable: bool) -> Iterator[Violation]:
    remedies = []
    if deployable and spec.image_uri:
        built, kept = "run planton-build, which puts `s3` in the place of `imageUri`", CodeSourceType.IMAGE
        remedies.append(("image_uri", f"{built}, or set `codeSourceType: {kept}`"))
    remedies += [
        (name, f"set `{name}`")
        for name, value in (("runtime", spec.runtime), ("handler", spec.handler))
        if not value
    ]
    if deployable and spec.s3 is None and not spec.image_uri:
        remedies.append(("s3", "run planton-build, which sets `s3`"))
    if remedies:
        yield _message_rule(
            "s3_requires_runtime_handler_and_excludes_image",
            "when code_source_type is S3, set s3, runtime, and handler; image_uri must be empty",
            _sentence(remedies),
            remedies[0][0],
            *(name for name, _ in remedies[1:]),
            "code_source_type",
        )


def _image_source(spec: AwsLambdaSpec, *, deployable: bool) -> Iterator[Violation]:
    remedies = []
    if deployable and spec.s3 is not None:
        built, kept = "run planton-build, which puts `imageUri` in the place of `s3`", CodeSourceType.S3
        remedies.append(("s3", f"{built}, or set `codeSourceType: {kept}`"))
    elif deployable and not spec.image_uri:
        remedies.append(("image_uri", "run planton-build, which sets `imageUri`"))
    if remedies:
        yield _message_rule(
            "image_requires_image_uri_and_excludes_s3",
            "when code_source_type is IMAGE, set image_uri and do not set s3",
            _sentence(remedies),
            remedies[0][0],
            *(name for name, _ in remedies[1:]),
            "code_source_type",
        )
    if spec.layer_arns:
        message = "Lambda attaches no layers to a container image"
        path: FieldPath = ("spec", "layer_arns")
        hint = "Remove them, and put their content into the image."
        yield Violation(path, "lambda.layers", message, hint, uses=(path, ("spec", "code_source_type")))


def _sentence(remedies: list[tuple[str, str]]) -> str:
    text = ", and ".join(remedy for _, remedy in remedies)
    return f"{text[0].upper()}{text[1:]}."


def _limits(spec: AwsLambdaSpec) -> Iterator[Violation]:
    name = spec.function_name
    if name and not (_FUNCTION_NAME.fullmatch(name) and len(name) <= MAX_FUNCTION_NAME):
        message = f"must be 1 to {MAX_FUNCTION_NAME} letters, digits, `-` and `_`"
        yield Violation(("spec", "function_name"), "lambda.function_name", message, "Rename the function.")
    if len(spec.handler) > MAX_HANDLER or re.search(r"\s", spec.handler):
        message = f"must be at most {MAX_HANDLER} characters without white space"
        yield Violation(("spec", "handler"), "lambda.handler", message, "Write it as `module.function`.")
    if len(spec.description) > MAX_DESCRIPTION:
        message = f"must be at most {MAX_DESCRIPTION} characters"
        yield Violation(("spec", "description"), "lambda.description", message, "Shorten it.")
    for field, items, limit in (
        ("layer_arns", spec.layer_arns, MAX_LAYERS),
        ("subnets", spec.subnets, MAX_SUBNETS),
        ("security_groups", spec.security_groups, MAX_SECURITY_GROUPS),
    ):
        if len(items) > limit:
            path: FieldPath = ("spec", field)
            rule = "lambda.layers" if field == "layer_arns" else f"lambda.{field}"
            hint = f"Remove {len(items) - limit}."
            yield Violation(path, rule, f"Lambda takes at most {limit}", hint, at=(*path, limit))


def _environment(spec: AwsLambdaSpec) -> Iterator[Violation]:
    for name in spec.environment:
        path: FieldPath = ("spec", "environment", name)
        if name in RESERVED_VARIABLES:
            message, hint = "Lambda sets this variable itself and refuses it here", "Use another name."
            yield Violation(path, "lambda.environment_reserved", message, hint)
        elif not _VARIABLE_NAME.fullmatch(name):
            message = "must be at least two letters, digits and `_`, and begin with a letter"
            yield Violation(path, "lambda.environment_name", message, "Rename the variable.")
    measured = json.dumps(spec.environment, ensure_ascii=False, separators=(",", ":"))
    if (size := len(measured.encode())) > MAX_ENVIRONMENT_BYTES:
        message = f"the variables are {size} bytes of JSON; Lambda takes {MAX_ENVIRONMENT_BYTES}"
        hint = "Move large values to a file in the package, to Parameter Store or to Secrets Manager."
        yield Violation(("spec", "environment"), "lambda.environment_size", message, hint)
