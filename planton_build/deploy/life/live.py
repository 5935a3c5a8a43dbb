"""A live function as a manifest and settings would describe it: what `adopt` writes down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from planton_build.deploy.aspects.all import observe_aspects, wanted_aspects
from planton_build.deploy.aspects.aspect import Scope
from planton_build.deploy.aspects.asynchronous import AsynchronousAspect
from planton_build.deploy.aspects.code_signing import CodeSigningAspect
from planton_build.deploy.aspects.event_source_fields import key_of, read_mapping
from planton_build.deploy.aspects.log_group import LogGroup, LogGroupAspect
from planton_build.deploy.aspects.provisioned_concurrency import ProvisionedConcurrencyAspect
from planton_build.deploy.aspects.recursion import RecursionAspect
from planton_build.deploy.aspects.runtime_management import RuntimeManagementAspect
from planton_build.deploy.aspects.statements import PREFIX, URL_IDS, Statement, read_statements
from planton_build.deploy.aspects.url import UrlAspect
from planton_build.deploy.desired import (
    DEFAULT_EPHEMERAL_MB,
    DEFAULT_TRACING,
    DesiredFunction,
    log_group_of,
)
from planton_build.deploy.life.live_alarms import live_alarms
from planton_build.deploy.life.target import Target, not_deployed, pages, read, text
from planton_build.deploy.life.versions import list_aliases
from planton_build.deploy.observed import ObservedFunction, observe
from planton_build.deploy.traffic import weights_of
from planton_build.errors import NotDeployable
from planton_build.manifest.code_source import ImageSource, S3Source
from planton_build.parallel import each
from planton_build.settings.event_sources import kind_of
from planton_build.settings.model import (
    DeploySettings,
    EventSource,
    ImageSettings,
    Logging,
    Permission,
    RuntimeManagement,
)

_ASPECT_FIELDS: Final = {"log_group": "log_retention"}
"""Aspects whose setting has another name."""
_ASPECT_JOBS: Final = 4


@dataclass(frozen=True, slots=True)
class Live:
    """A live function. `notes` say what of it is not in `settings`, and stays as it is in AWS."""

    target: Target
    observed: ObservedFunction
    settings: DeploySettings
    notes: tuple[str, ...] = ()


def read_live(target: Target, alias: str = "") -> Live:
    """Read a function with everything that hangs on it. `alias` is the one that serves; "" finds it.

    Raises FunctionUnknown; NotDeployable when it has no such alias, or is being changed or deleted;
    AccessDenied, CredentialsMissing, AwsUnreachable or DeployRefused.
    """
    observed = observe(target.name, target.aws, target.region, concurrency=True)
    if observed is None or observed.state == "Deleting":
        raise not_deployed(target)
    if observed.busy or observed.failed:
        raise NotDeployable(
            f"{target.name} cannot be adopted now: its state is {observed.state}, its last update "
            f"{observed.last_update}",
            hint="wait until Lambda is ready, or repair the function",
        )
    if observed.environment is None:
        raise NotDeployable(
            f"{target.name} cannot be adopted: Lambda could not read its environment, which a deployment "
            "would remove",
            hint="the caller needs kms:Decrypt on the function's key",
        )
    notes: list[str] = []
    chosen = _alias(target, observed, alias, notes)
    scope = _scope(target, observed, chosen)
    found = each(
        [part for part in _PARTS if part.needed(scope)],
        lambda part: part.read(target, scope, observed, notes.append),
        jobs=_ASPECT_JOBS,
    )
    values: dict[str, Any] = {}
    for one in found:
        values |= one
    settings = DeploySettings(alias=chosen or None, **values)
    settings = _without_differences(scope, observed, settings, notes)
    return Live(target, observed, settings, tuple(sorted(notes)))


def _scope(target: Target, observed: ObservedFunction, alias: str) -> Scope:
    parts = observed.arn.split(":")
    arn, account = (":".join(parts[:7]), parts[4]) if len(parts) > 6 else ("", "")
    return Scope(target.name, alias, arn, account, target.region, target.aws)


def _alias(target: Target, observed: ObservedFunction, wanted: str, notes: list[str]) -> str:
    """Return the alias that serves what `$LATEST` is: a deployment would change nothing about it."""
    aliases = {text(alias, "Name"): alias for alias in list_aliases(target)}
    if wanted and wanted not in aliases:
        raise NotDeployable(
            f"{target.name} has no alias {wanted}",
            hint=f"it has {', '.join(sorted(aliases)) or 'none'}",
        )
    fitting = [name for name, alias in sorted(aliases.items()) if _serves_latest(target, observed, alias)]
    chosen = next((name for name in fitting if wanted in ("", name)), "")
    for name in sorted(aliases.keys() - {chosen}):
        version = text(aliases[name], "FunctionVersion")
        why = "" if name in fitting else ", which is not what $LATEST is: a deployment would move it"
        notes.append(f"the alias {name} serves version {version}{why}; it is left as it is")
    return chosen


def _serves_latest(target: Target, observed: ObservedFunction, alias: Mapping[str, Any]) -> bool:
    version = text(alias, "FunctionVersion")
    if weights_of(alias) or not version.isdigit():
        return False
    serving = observe(target.name, target.aws, target.region, qualifier=version)
    if serving is None or serving.failed:
        return False
    return replace(serving, arn=observed.arn, description=observed.description) == observed


def _without_differences(
    scope: Scope, observed: ObservedFunction, settings: DeploySettings, notes: list[str]
) -> DeploySettings:
    """Leave out what a deployment would change all the same, by its own way of comparing."""
    desired = _desired(scope, observed, settings)
    found = observe_aspects(scope, desired)
    for name, wanted in wanted_aspects(desired).items():
        if found.get(name) != wanted:
            left_out: dict[str, Any] = {_ASPECT_FIELDS.get(name, name): None}
            settings = replace(settings, **left_out)
            notes.append(
                f"{name.replace('_', ' ')}: a deployment would set it otherwise than it is; it is left out"
            )
    return settings


def _desired(scope: Scope, observed: ObservedFunction, settings: DeploySettings) -> DesiredFunction:
    image = ImageSource(observed.image_uri)
    same = {name for one in fields(DesiredFunction) if (name := one.name) in _OBSERVED_FIELDS}
    values: dict[str, Any] = {name: getattr(observed, name) for name in same}
    return DesiredFunction(
        region=scope.region,
        code=image if observed.package == "Image" else S3Source("", "", None),
        settings=settings,
        **values,
    )


_OBSERVED_FIELDS: Final = frozenset(one.name for one in fields(ObservedFunction))


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of the settings: how it is read, and whether only an alias can have it."""

    read: Callable[[Target, Scope, ObservedFunction, Callable[[str], None]], dict[str, Any]]
    alias_only: bool = False

    def needed(self, scope: Scope) -> bool:
        return bool(scope.qualifier) or not self.alias_only


def _configuration(
    target: Target, scope: Scope, observed: ObservedFunction, note: Callable[[str], None]
) -> dict[str, Any]:
    """What GetFunction tells; Lambda's own choices are not written."""
    group = log_group_of(target.name)
    logging = replace(observed.logging, group="") if observed.logging.group == group else observed.logging
    snap = observed.snap_start and bool(scope.qualifier)
    if observed.snap_start and not snap:
        note("SnapStart is on, which settings take with an alias only; it is left as it is")
    return {
        "tracing": observed.tracing if observed.tracing != DEFAULT_TRACING else None,
        "dead_letter": observed.dead_letter or None,
        "ephemeral_storage": observed.ephemeral_mb if observed.ephemeral_mb != DEFAULT_EPHEMERAL_MB else None,
        "file_systems": observed.file_systems or None,
        "snap_start": True if snap else None,
        "logging": logging if logging != Logging() else None,
        "image": observed.image_config if observed.image_config != ImageSettings() else None,
    }


def _small_aspects(
    target: Target, scope: Scope, observed: ObservedFunction, note: Callable[[str], None]
) -> dict[str, Any]:
    """Aspects whose states are the settings' own values."""
    del target, note
    recursion = RecursionAspect().observe(scope, None)
    runtime = RuntimeManagementAspect().observe(scope, None)
    signing = CodeSigningAspect().observe(scope, None) if observed.package == "Zip" else None
    group = LogGroupAspect().observe(scope, LogGroup(observed.logging.group, None))
    return {
        "asynchronous": AsynchronousAspect().observe(scope, None),
        "recursion": recursion if recursion == "Allow" else None,
        "runtime_management": runtime if runtime != RuntimeManagement() else None,
        "code_signing": signing,
        "log_retention": group.days if group else None,
    }


def _provisioned(
    target: Target, scope: Scope, observed: ObservedFunction, note: Callable[[str], None]
) -> dict[str, Any]:
    del target, observed, note
    found = ProvisionedConcurrencyAspect().observe(scope, None)
    return {"provisioned_concurrency": found.executions if found else None}


def _tags(
    target: Target, scope: Scope, observed: ObservedFunction, note: Callable[[str], None]
) -> dict[str, Any]:
    del observed, note
    answer = read(target, "reading the tags of", target.client.list_tags, Resource=scope.arn) or {}
    tags = answer.get("Tags")
    found = {
        str(key): str(value)
        for key, value in (tags.items() if isinstance(tags, Mapping) else ())
        if not str(key).lower().startswith("aws:")
    }
    return {"tags": dict(sorted(found.items())) or None}


def _url_and_permissions(
    target: Target, scope: Scope, observed: ObservedFunction, note: Callable[[str], None]
) -> dict[str, Any]:
    del target, observed
    statements = read_statements(scope)
    url = UrlAspect(read=lambda _: statements).observe(scope, None)
    config = url.config if url else None
    permissions = []
    for key, statement in sorted(statements.items()):
        if key in URL_IDS:
            continue
        permission = _permission(statement)
        auth = config.auth if config else "AWS_IAM"
        by_url = statement.action == "lambda:InvokeFunctionUrl"
        if permission is None or statement.url_auth != (auth if by_url else ""):
            note(
                f"the permission {key} ({statement.shown}) is more than settings can say; it is left as it is"
            )
        else:
            permissions.append(permission)
    return {"url": config, "permissions": tuple(permissions) or None}


def _permission(statement: Statement) -> Permission | None:
    if statement.foreign or statement.via_url:
        return None
    if statement.principal == "*" and not (
        statement.organization or statement.source_arn or statement.source_account
    ):
        return None
    return Permission(
        statement.id.removeprefix(PREFIX),
        statement.principal,
        statement.action,
        statement.source_arn,
        statement.source_account,
        statement.organization,
    )


def _event_sources(
    target: Target, scope: Scope, observed: ObservedFunction, note: Callable[[str], None]
) -> dict[str, Any]:
    del observed
    found: dict[str, EventSource] = {}
    for name in dict.fromkeys([target.name, scope.qualified_arn]):
        listed = pages(
            target,
            "listing the event sources of",
            target.client.list_event_source_mappings,
            "EventSourceMappings",
            FunctionName=name,
        )
        for one in listed:
            mapped = read_mapping(one)
            if text(one, "State") == "Deleting":
                continue
            if mapped.qualifier != scope.qualifier or kind_of(mapped.source.source) is None:
                shown = mapped.source.source or text(one, "UUID")
                of = f"of {mapped.qualifier or 'the function itself'}"
                note(f"the event source {shown} {of} is left as it is")
            else:
                found[text(one, "UUID")] = _written(mapped.source)
    return {"event_sources": tuple(sorted(found.values(), key=key_of)) or None}


def _written(source: EventSource) -> EventSource:
    """Leave out what such a source does not take, and what Lambda would choose by itself."""
    kind = kind_of(source.source)
    takes = kind.takes if kind else frozenset()
    empty = EventSource("")
    values = {
        field.name: getattr(empty, field.name)
        for field in fields(EventSource)
        if field.name not in _OF_EVERY_SOURCE and field.name.replace("_", "-") not in takes
    }
    for name, own in _LAMBDAS_OWN.items():
        if getattr(source, name) == own:
            values[name] = getattr(empty, name)
    if source.starting_position != "AT_TIMESTAMP":
        values["starting_timestamp"] = None
    return replace(source, **values)


_OF_EVERY_SOURCE: Final = frozenset({"source", "enabled", "batch_size"})
_LAMBDAS_OWN: Final = {"retries": -1, "max_record_age": -1, "bisect_on_error": False, "parallelization": 1}
"""What Lambda shows of a stream for which nothing was chosen (CreateEventSourceMapping)."""


def _alarms(
    target: Target, scope: Scope, observed: ObservedFunction, note: Callable[[str], None]
) -> dict[str, Any]:
    del target, observed
    return {"alarms": live_alarms(scope, note)}


_PARTS: Final = (
    _Part(_configuration),
    _Part(_small_aspects),
    _Part(_provisioned, alias_only=True),
    _Part(_tags),
    _Part(_url_and_permissions),
    _Part(_event_sources),
    _Part(_alarms),
)
