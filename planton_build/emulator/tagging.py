"""Tags of functions, event source mappings and code signing configurations."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from planton_build.emulator.lookup import Address, function_at, touch
from planton_build.emulator.operations import Document, operation
from planton_build.emulator.refusal import invalid, not_found, validation
from planton_build.emulator.state import Region

TAG_LIMIT = 50
"""How many tags a resource may have."""
_RESOURCE = re.compile(
    r"arn:aws[a-zA-Z-]*:lambda:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):"
    r"(?P<kind>function|code-signing-config|event-source-mapping):(?P<name>[a-zA-Z0-9_-]+)(?P<more>:.+)?"
)
Tags = dict[str, str]


def check_tags(before: Mapping[str, str], added: Mapping[str, str]) -> None:
    """Raise Refusal for tags that AWS keeps for itself, and for more tags than a resource may have."""
    if any(name.lower().startswith("aws:") for name in added):
        raise invalid("Tag keys that start with aws: are reserved for AWS use.")
    if len({**before, **added}) > TAG_LIMIT:
        raise invalid("Number of tags exceeds resource tag limit.")


@operation("TagResource")
def tag_resource(region: Region, request: Document) -> None:
    """Add tags, and replace the values of those that are there."""
    tags, changed = _tags(region, str(request["Resource"]))
    added = dict(request["Tags"])
    if not added:
        raise invalid("An error occurred and the request cannot be processed.")
    check_tags(tags, added)
    tags.update(added)
    changed()


@operation("UntagResource")
def untag_resource(region: Region, request: Document) -> None:
    """Remove tags; it is no error when they are not there."""
    tags, changed = _tags(region, str(request["Resource"]))
    for name in request["TagKeys"]:
        tags.pop(str(name), None)
    changed()


@operation("ListTags")
def list_tags(region: Region, request: Document) -> Document:
    """List the tags of a resource."""
    return {"Tags": dict(_tags(region, str(request["Resource"]))[0])}


def _tags(region: Region, resource: str) -> tuple[Tags, Callable[[], object]]:
    """Return the tags of a resource, to be changed in place, and what to call after that."""
    found = _RESOURCE.fullmatch(resource)
    if found is None:
        raise validation(
            f"1 validation error detected: Value '{resource}' at 'resource' failed to satisfy constraint: "
            f"Member must satisfy regular expression pattern: {_RESOURCE.pattern}"
        )
    if found["more"]:
        raise invalid(
            "Tags on function aliases and versions are not supported. Please specify a function ARN."
        )
    here = found["region"] == region.region and found["account"] == region.account
    if found["kind"] == "function":
        function = function_at(region, Address(found["name"] if here else ""))
        return function.tags, lambda: touch(function)
    if found["kind"] == "code-signing-config":
        if resource not in region.code_signing_configs:
            raise not_found(f"The Lambda code signing configuration {resource} can not be found.")
        return region.code_signing_tags.setdefault(resource, {}), lambda: None
    if not here or found["name"] not in region.event_sources:
        raise not_found("The resource you requested does not exist.")
    return region.event_source_tags.setdefault(resource, {}), lambda: None
