"""The tags of a function: those keys that are configured. Tags that others have set stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from planton_build.deploy.aspects.aspect import UNMANAGED, Call, Phase, Scope, Unmanaged
from planton_build.deploy.aspects.reading import ABSENT, ask, mapping
from planton_build.deploy.change import Change
from planton_build.deploy.desired import DesiredFunction


@dataclass(frozen=True, slots=True)
class Tags:
    """Tags, sorted by key."""

    pairs: tuple[tuple[str, str], ...]


class TagsAspect:
    """The configured tags. A key that leaves the configuration stays on the function, as nobody's."""

    name: ClassVar[str] = "tags"
    phase: ClassVar[Phase] = Phase.FUNCTION
    at_creation: ClassVar[bool] = True

    def wanted(self, desired: DesiredFunction) -> Tags | Unmanaged | None:
        """Return the configured tags; without any there is nothing to manage."""
        tags = desired.settings.tags
        return Tags(tuple(sorted(tags.items()))) if tags else UNMANAGED

    def observe(self, scope: Scope, wanted: Tags | None) -> Tags | None:
        """Read the tags with the wanted keys; None when there are none."""
        client = scope.aws.lambda_(scope.region)
        answer = ask(scope, "reading the tags of", lambda: client.list_tags(Resource=scope.arn))
        found = mapping(answer or {}, "Tags")
        keys = [key for key, _ in wanted.pairs] if wanted else []
        pairs = tuple((key, value) for key in keys if isinstance(value := found.get(key), str))
        return Tags(pairs) if pairs else None

    def changes(self, before: Tags | None, after: Tags | None) -> list[Change]:
        """Return one difference for each key."""
        old, new = _pairs(before), _pairs(after)
        return [
            Change(f"tags.{key}", old.get(key), new.get(key))
            for key in sorted(old.keys() | new.keys())
            if old.get(key) != new.get(key)
        ]

    def calls(self, scope: Scope, before: Tags | None, after: Tags | None) -> Sequence[Call]:
        """Return what sets the tags that differ, and what removes those that are no more."""
        client = scope.aws.lambda_(scope.region)
        old, new = _pairs(before), _pairs(after)
        differing = {key: value for key, value in new.items() if old.get(key) != value}
        gone = sorted(old.keys() - new.keys())
        calls = []
        if differing:
            put = partial(client.tag_resource, Resource=scope.arn, Tags=differing)
            calls.append(Call("TagResource", "tagging", put))
        if gone:
            remove = partial(client.untag_resource, Resource=scope.arn, TagKeys=gone)
            calls.append(Call("UntagResource", "removing tags of", remove, ABSENT))
        return calls


def _pairs(tags: Tags | None) -> dict[str, str]:
    return dict(tags.pairs) if tags else {}
