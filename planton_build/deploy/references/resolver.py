"""`References`: the value of each `valueFrom`, and where it came from; or why there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from planton_build.deploy.references.answers import Absent, Found, Refused, Wanted
from planton_build.deploy.references.cloud import Cloud
from planton_build.deploy.references.kinds import folded_kind, kind_name
from planton_build.deploy.references.path import parse_path
from planton_build.deploy.references.shapes import LIST_FIELDS, misfit
from planton_build.deploy.references.sources import configured
from planton_build.errors import Finding, PlantonError, ReferenceUnresolved
from planton_build.manifest.document import Manifest
from planton_build.manifest.model import StringValueOrRef, ValueFromRef
from planton_build.manifest.references import defaults_for
from planton_build.publish.aws import Aws
from planton_build.settings.model import ReferenceSource

_WRITE_VALUE = "write the value itself under `value:` in place of `valueFrom:`"
MAX_NAME = 253
"""Longest name, kind and environment in characters: those of a name in Kubernetes."""
MAX_VALUES = 100
"""Most values of one reference. Lambda takes 16 subnets, 5 security groups and 5 layers."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """The value of one reference.

    `field` is the place in the spec, such as `role_arn` or `subnets[1]`. `values` are several only in a
    list, for a path with `[*]`. `source` says where they were, for people:
    `roles/role.yaml:14 status.outputs.role_arn`, or `export prod-role-arn of CloudFormation (eu-west-1)`.
    """

    field: str
    values: tuple[str, ...]
    source: str


class References:
    """The sources of one command, in their order. Safe to use from several threads; reads each thing once.

    `sources` come from the `[deploy]` tables; without any, the manifests of the repository are searched.
    `aws` opens AWS and names the session's region; it is called when a source first needs it, and None means
    that AWS must not be asked. `manifests` are the manifests the command works on.

    Raises ConfigInvalid when the options of a source are wrong.
    """

    def __init__(
        self,
        sources: Sequence[ReferenceSource],
        *,
        aws: Callable[[], tuple[Aws, str]] | None,
        manifests: Sequence[Path] = (),
    ) -> None:
        self._sources = configured(sources, Cloud(aws), manifests)

    def resolve(self, manifest: Manifest, field: str, index: int | None, ref: ValueFromRef) -> Resolved:
        """Return the value of a reference.

        `field` is the field of the spec in snake_case, `index` the item of a field that is a list.

        Raises ReferenceUnresolved, with the place of the reference, when no source knows the value, when it
        is ambiguous, or when it does not fit the field; AccessDenied, AwsUnreachable or CredentialsMissing
        when AWS cannot be asked; ConfigInvalid when a file that the configuration names cannot be read.
        """
        place = _Place(manifest, field, index)
        wanted = _wanted(manifest, field, ref, place)
        tried: list[str] = []
        for one in self._sources:
            if reason := one.skips(wanted):
                tried.append(f"{one.title}: {reason}")
                continue
            try:
                found = one.source.find(wanted)
                return Resolved(place.name, _checked(found, field), found.source)
            except Absent as missing:
                tried.append(f"{one.title}: {missing}")
            except Refused as refused:
                text = (
                    f"{place.text} refers to {wanted.path.text} of {wanted.resource}: {one.title}: {refused}"
                )
                raise place.error(text, refused.hint or _WRITE_VALUE) from None
            except PlantonError as error:
                raise place.located(error) from None
        raise _unknown(wanted, place, tried)

    def needs_aws(self, manifest: Manifest) -> bool:
        """Tell whether resolving the references of a manifest asks AWS. Asks nothing but files.

        Never raises what is wrong with them: `resolve` does.
        """
        return any(self._asks_aws(manifest, *one) for one in _references(manifest))

    def _asks_aws(self, manifest: Manifest, field: str, index: int | None, ref: ValueFromRef) -> bool:
        try:
            wanted = _wanted(manifest, field, ref, _Place(manifest, field, index))
            return self._first_is_remote(wanted)
        except (PlantonError, Refused):
            return False

    def _first_is_remote(self, wanted: Wanted) -> bool:
        for one in self._sources:
            if one.skips(wanted):
                continue
            if one.source.remote:
                return True
            try:
                one.source.find(wanted)
                return False
            except Absent:
                continue
        return False


class _Place:
    """Where a reference stands, for messages."""

    def __init__(self, manifest: Manifest, field: str, index: int | None) -> None:
        path = () if index is None else (index,)
        self.name = field + "".join(f"[{number}]" for number in path)
        self.text = f"spec.{self.name}"
        self._file = manifest.path
        self._position = manifest.position("spec", field, *path)

    def error(self, message: str, hint: str) -> ReferenceUnresolved:
        return ReferenceUnresolved(message, hint=hint, findings=[self._finding("", message, hint)])

    def located(self, error: PlantonError) -> PlantonError:
        """Return an error that has no place of its own with the place of the reference."""
        if any(finding.file is not None for finding in error.findings):
            return error
        message = f"{self.text}: {error.message}"
        finding = self._finding(error.code, message, error.hint)
        return type(error)(message, hint=error.hint, findings=[finding])

    def _finding(self, code: str, message: str, hint: str | None) -> Finding:
        line, column = (self._position.line, self._position.column) if self._position else (None, None)
        return Finding(code or ReferenceUnresolved.code, message, self._file, line, column, hint)


def _wanted(manifest: Manifest, field: str, ref: ValueFromRef, place: _Place) -> Wanted:
    """Return a reference with its defaults, after checking what can be checked before looking anywhere."""
    model = manifest.model
    default = defaults_for(model.api_version, field)
    kind, text = kind_name(ref.kind or default.kind), ref.field_path
    # The default path belongs to the default kind.
    if not text and folded_kind(kind) == folded_kind(default.kind):
        text = default.field_path
    env = ref.env or model.metadata.env
    for name, written in (("name", ref.name), ("kind", kind), ("env", env)):
        if not written.isprintable() or len(written) > MAX_NAME:
            fault = f"{place.text} has a {name} that is longer than {MAX_NAME} characters or not printable"
            raise place.error(fault, _WRITE_VALUE)
    if not kind:
        raise place.error(f"{place.text} refers to {ref.name!r} without a kind", "write its `kind:`")
    if not text:
        hint = "write its `fieldPath:`, such as status.outputs.private_subnets.[*].id"
        raise place.error(f"{place.text} refers to {kind} {ref.name!r} without a field path", hint)
    try:
        path = parse_path(text)
    except ValueError as error:
        hint = "a field path looks like status.outputs.role_arn"
        raise place.error(f"{place.text} has a field path that {error}", hint) from None
    if path.spreads and field not in LIST_FIELDS:
        hint = "write a path to one value, with a number in place of `[*]`"
        raise place.error(f"{place.text} takes one value, and {text} means all items of a list", hint)
    own = (folded_kind("AwsLambda"), model.metadata.name, model.metadata.env)
    if (folded_kind(kind), ref.name, env) == own:
        raise place.error(f"{place.text} refers to its own manifest", _WRITE_VALUE)
    return Wanted(field, kind, ref.name, env, path, model.spec.region, manifest.path.parent)


def _checked(found: Found, field: str) -> tuple[str, ...]:
    """Return the values if they fit the field. Raises Refused."""
    if len(found.values) > MAX_VALUES:
        raise Refused(f"{found.source} has {len(found.values)} values")
    for value in found.values:
        if (fault := misfit(field, value, secret=found.secret)) is not None:
            raise Refused(f"{found.source}: {fault}", "correct the `fieldPath:`, or what wrote this output")
    return found.values


def _unknown(wanted: Wanted, place: _Place, tried: Sequence[str]) -> ReferenceUnresolved:
    message = (
        f"{place.text} refers to {wanted.path.text} of {wanted.resource}, whose value is not known; "
        f"looked in: {'; '.join(tried)}"
    )
    hint = (
        f"deploy {wanted.kind} {wanted.name!r} first, name the place of its outputs as a source in "
        "[[deploy.references]], or " + _WRITE_VALUE
    )
    return place.error(message, hint)


def _references(manifest: Manifest) -> Iterator[tuple[str, int | None, ValueFromRef]]:
    """Yield every `valueFrom` of a manifest with its place."""
    spec = manifest.model.spec
    singles: dict[str, StringValueOrRef | None] = {"role_arn": spec.role_arn, "kms_key_arn": spec.kms_key_arn}
    for field, value in singles.items():
        if value is not None and value.value_from is not None:
            yield field, None, value.value_from
    lists = {
        "subnets": spec.subnets, "security_groups": spec.security_groups, "layer_arns": spec.layer_arns,
    }  # fmt: skip
    for field, values in lists.items():
        for index, one in enumerate(values):
            if one.value_from is not None:
                yield field, index, one.value_from
