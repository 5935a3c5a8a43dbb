"""The event source mappings of a function: queues and streams that Lambda reads for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar, Final, TypeAlias

from planton_build.deploy.aspects.aspect import UNMANAGED, Answer, Call, Phase, Scope, Unmanaged
from planton_build.deploy.aspects.event_source_fields import (
    Mapped,
    creation_request,
    differing,
    in_terms_of,
    name_of,
    read_mapping,
    shown_fields,
    update_request,
)
from planton_build.deploy.aspects.reading import NOT_FOUND, ask, mapping, pages, text
from planton_build.deploy.change import Change
from planton_build.deploy.desired import DesiredFunction
from planton_build.errors import DeployConflict, FunctionFailed
from planton_build.publish.aws_errors import clean, error_code
from planton_build.settings.event_sources import SourceIdentity

TAG: Final = "planton-deploy"
"""The tag of the mappings that we made; its value is the function's name."""
_IN_USE: Final = frozenset({"ResourceInUseException"})
"""What Lambda answers while a mapping is changing. Here that is an earlier try of ours; `settled` tells."""
_GONE: Final = frozenset({NOT_FOUND, *_IN_USE})
_AT_REST: Final = ("Enabled", "Disabled")

Sources: TypeAlias = tuple[Mapped, ...]
"""Mappings, sorted by their keys; never empty."""


class EventSourcesAspect:
    """The configured event source mappings.

    A mapping of this function with the configured source is taken over, whoever made it; one of the function
    itself moves to the alias when there is one. Deleted are only mappings that bear our tag. A mapping that
    is made again, by an undo for example, begins to read where its starting position says.
    """

    name: ClassVar[str] = "event_sources"
    phase: ClassVar[Phase] = Phase.SERVING
    at_creation: ClassVar[bool] = False

    def wanted(self, desired: DesiredFunction) -> Sources | Unmanaged | None:
        """Return the configured mappings."""
        sources = desired.settings.event_sources
        if sources is None:
            return UNMANAGED
        return _sorted(Mapped(source, desired.settings.alias or "") for source in sources)

    def observe(self, scope: Scope, wanted: Sources | None) -> Sources | None:
        """Read the mappings that are configured, and those with our tag that are not any more."""
        listed = list(_listed(scope))
        chosen: list[Mapped] = []
        taken: set[str] = set()
        for one in wanted or ():
            found = _best(listed, one.key, scope.qualifier)
            if found is not None:
                taken.add(text(found, "UUID"))
                chosen.append(in_terms_of(read_mapping(found), one))
        for answer in listed:
            read = read_mapping(answer)
            # What hangs on another alias of the function is that alias's.
            near = read.qualifier in ("", scope.qualifier)
            if text(answer, "UUID") not in taken and near and _ours(scope, answer):
                chosen.append(read)
        return _sorted(chosen)

    def changes(self, before: Sources | None, after: Sources | None) -> list[Change]:
        """Return one difference for each field, or one for a mapping that comes or goes."""
        old, new = _by_key(before), _by_key(after)
        names = _short_names([*old, *new])
        changes = []
        for key in sorted(old.keys() | new.keys()):
            field, one, other = f"{self.name}.{names[key]}", old.get(key), new.get(key)
            if one == other:
                continue
            was, will = shown_fields(one), shown_fields(other)
            if one is None or other is None:
                changes.append(Change(field, _together(was), _together(will)))
                continue
            changes += [
                Change(f"{field}.{name}", was.get(name), will.get(name))
                for name in dict.fromkeys([*will, *was])
                if was.get(name) != will.get(name)
            ]
        return changes

    def calls(self, scope: Scope, before: Sources | None, after: Sources | None) -> Sequence[Call]:
        """Return what creates, changes and deletes mappings, each waited for."""
        old, new = _by_key(before), _by_key(after)
        gone = [_delete(scope, old[key]) for key in sorted(old.keys() - new.keys())]
        put = [_put(scope, old.get(key), new[key]) for key in sorted(new) if new[key] != old.get(key)]
        return [*gone, *put]


def _listed(scope: Scope, *, deleting: bool = False) -> Iterator[Answer]:
    """Yield the mappings of the function itself and of what serves; those being deleted count as gone."""
    client: Any = scope.aws.lambda_(scope.region)
    seen: set[str] = set()
    for name in dict.fromkeys([scope.name, scope.qualified_arn]):

        def read(name: str = name) -> Answer:
            request = partial(client.list_event_source_mappings, FunctionName=name)
            return {"all": list(pages(lambda mark: request(**mark), "EventSourceMappings", *_MARKS))}

        answer = ask(scope, "reading the event sources of", read)
        for item in (answer or {}).get("all", []):
            uuid = text(item, "UUID")
            if uuid and uuid not in seen and (deleting or text(item, "State") != "Deleting"):
                seen.add(uuid)
                yield item


_MARKS: Final = ("NextMarker", "Marker")


def _best(listed: Sequence[Answer], key: SourceIdentity, qualifier: str) -> Answer | None:
    """Return the mapping of a key: that of the alias, or else that of the function itself."""
    same = [answer for answer in listed if read_mapping(answer).key == key]
    for wanted in (qualifier, ""):
        for answer in same:
            if read_mapping(answer).qualifier == wanted:
                return answer
    return None


def _find(scope: Scope, key: SourceIdentity) -> Answer | None:
    return _best(list(_listed(scope)), key, scope.qualifier)


def _ours(scope: Scope, answer: Answer) -> bool:
    client = scope.aws.lambda_(scope.region)
    arn = text(answer, "EventSourceMappingArn")
    if not arn:
        return False
    tags = ask(scope, "reading the tags of an event source of", lambda: client.list_tags(Resource=arn))
    return mapping(tags or {}, "Tags").get(TAG) == scope.name


def _put(scope: Scope, before: Mapped | None, after: Mapped) -> Call:
    """Return the call that creates a mapping, or changes the one there is. Its UUID is looked up late."""
    client: Any = scope.aws.lambda_(scope.region)
    target = f"{scope.arn}:{after.qualifier}" if after.qualifier else scope.arn

    exact = differing(before, after) if before else frozenset()

    def change(found: Answer) -> object:
        now = in_terms_of(read_mapping(found), after, exact)
        if now == after:
            return None
        moved = {} if now.qualifier == after.qualifier else {"FunctionName": target}
        members = update_request(now, after)
        return client.update_event_source_mapping(UUID=text(found, "UUID"), **moved, **members)

    def send() -> object:
        from botocore.exceptions import ClientError

        if (found := _find(scope, after.key)) is not None:
            return change(found)
        request = creation_request(after)
        try:
            return client.create_event_source_mapping(FunctionName=target, **request, Tags={TAG: scope.name})
        except ClientError as error:
            late = _find(scope, after.key) if error_code(error) == "ResourceConflictException" else None
            if late is None:
                raise
            return change(late)

    operation, doing = (
        ("CreateEventSourceMapping", "adding an event source to")
        if before is None
        else ("UpdateEventSourceMapping", "changing an event source of")
    )
    return Call(operation, doing, send, _IN_USE, settled=lambda: _settled(scope, after, exact))


def _delete(scope: Scope, mapped: Mapped) -> Call:
    """Return the call that deletes a mapping if we made it. One that is being deleted has no tags left."""
    client = scope.aws.lambda_(scope.region)
    deleted: set[str] = set()

    def send() -> None:
        for answer in _listed(scope):
            read = read_mapping(answer)
            same = read.key == mapped.key and read.qualifier == mapped.qualifier
            if same and _ours(scope, answer):
                deleted.add(text(answer, "UUID"))
                client.delete_event_source_mapping(UUID=text(answer, "UUID"))

    def settled() -> bool:
        return deleted.isdisjoint(text(answer, "UUID") for answer in _listed(scope, deleting=True))

    return Call(
        "DeleteEventSourceMapping",
        "removing an event source of",
        send,
        _GONE,
        settled=settled,
    )


def _settled(scope: Scope, after: Mapped, exact: frozenset[str]) -> bool:
    """Tell whether the mapping is at rest as it should be.

    Raises FunctionFailed when Lambda switched it off because of a problem, and DeployConflict when it came
    to rest as somebody else wants it.
    """
    found = _find(scope, after.key)
    if found is None or text(found, "State") not in _AT_REST:
        return False
    reason = clean(text(found, "StateTransitionReason"))
    if after.source.enabled and text(found, "State") == "Disabled" and "PROBLEM" in reason.upper():
        raise FunctionFailed(
            f"Lambda cannot read the event source {name_of(after.source)} for {scope.name} ({reason})",
            hint="the function's role must be allowed to read it; `planton-deploy role` shows what it needs",
        )
    if in_terms_of(read_mapping(found), after, exact) != after:
        raise DeployConflict(
            f"somebody else changed the event source {name_of(after.source)} of {scope.name} meanwhile",
            hint="deploy again; the plan is made anew",
        )
    return True


def _sorted(mapped: Iterable[Mapped]) -> Sources | None:
    return tuple(sorted(mapped, key=lambda one: one.key)) or None


def _by_key(sources: Sources | None) -> dict[SourceIdentity, Mapped]:
    return {one.key: one for one in sources or ()}


def _short_names(keys: Sequence[SourceIdentity]) -> dict[SourceIdentity, str]:
    """Return what each source is called in a plan: the end of its ARN, or all of it where ends are equal."""
    short = {key: key.source.rpartition(":")[2] or "".join(key.topics) for key in keys}
    ends = list(short.values())
    return {key: end if ends.count(end) == 1 else _full_name(key) for key, end in short.items()}


def _full_name(key: SourceIdentity) -> str:
    parts = [key.source, *key.topics, *key.queues, *key.servers, key.database, key.collection]
    return " ".join(part for part in [*parts, key.virtual_host] if part)


def _together(shown: dict[str, str]) -> str | None:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in shown.items()) or None
