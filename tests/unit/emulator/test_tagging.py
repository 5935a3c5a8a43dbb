from __future__ import annotations

from typing import Any

PROFILE = "arn:aws:signer:eu-west-1:123456789012:/signing-profiles/planton/AbCdEfGhIj"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:orders"


def _resources(here: Any) -> list[str]:
    here.add("orders")
    mapping = here.call("CreateEventSourceMapping", FunctionName="orders", EventSourceArn=QUEUE)
    signing = here.call("CreateCodeSigningConfig", AllowedPublishers={"SigningProfileVersionArns": [PROFILE]})
    return [
        here.region.arn("orders"),
        mapping["EventSourceMappingArn"],
        signing["CodeSigningConfig"]["CodeSigningConfigArn"],
    ]


def test_functions_mappings_and_signing_configurations_have_tags(here: Any) -> None:
    for resource in _resources(here):
        assert here.call("ListTags", Resource=resource) == {"Tags": {}}
        here.call("TagResource", Resource=resource, Tags={"team": "a", "stage": "b"})
        here.call("TagResource", Resource=resource, Tags={"team": "c"})
        here.call("UntagResource", Resource=resource, TagKeys=["stage", "gone"])
        assert here.call("ListTags", Resource=resource) == {"Tags": {"team": "c"}}


def test_tags_given_at_creation_are_shown(here: Any) -> None:
    here.add("orders")
    made = here.call(
        "CreateEventSourceMapping", FunctionName="orders", EventSourceArn=QUEUE, Tags={"team": "a"}
    )
    assert "Tags" not in made
    assert here.call("ListTags", Resource=made["EventSourceMappingArn"]) == {"Tags": {"team": "a"}}
    config = here.call(
        "CreateCodeSigningConfig",
        AllowedPublishers={"SigningProfileVersionArns": [PROFILE]},
        Tags={"team": "b"},
    )["CodeSigningConfig"]
    assert here.call("ListTags", Resource=config["CodeSigningConfigArn"]) == {"Tags": {"team": "b"}}


def test_there_are_at_most_50_tags_and_none_of_aws(here: Any) -> None:
    function = here.add("orders")
    here.call("TagResource", Resource=function.arn, Tags={f"k{number}": "" for number in range(50)})
    here.call("TagResource", Resource=function.arn, Tags={"k0": "again"})
    refusal = here.refused("TagResource", Resource=function.arn, Tags={"one more": ""})
    assert refusal.message == "Number of tags exceeds resource tag limit."
    assert "aws:" in here.refused("TagResource", Resource=function.arn, Tags={"AWS:stack": ""}).message
    assert here.refused("TagResource", Resource=function.arn, Tags={}).status == 400


def test_versions_and_aliases_have_no_tags(here: Any) -> None:
    function = here.add("orders", "1")
    for operation, request in (("ListTags", {}), ("TagResource", {"Tags": {"a": "b"}})):
        refusal = here.refused(operation, Resource=f"{function.arn}:1", **request)
        assert refusal.message == (
            "Tags on function aliases and versions are not supported. Please specify a function ARN."
        )


def test_tags_of_what_is_not_there(here: Any) -> None:
    prefix = "arn:aws:lambda:eu-west-1:123456789012"
    for resource, status in (
        (f"{prefix}:function:gone", 404),
        (f"{prefix}:event-source-mapping:00000000-0000-0000-0000-000000000000", 404),
        (f"{prefix}:code-signing-config:csc-00000000000000000", 404),
        ("arn:aws:lambda:us-east-1:123456789012:function:orders", 404),
        (f"{prefix}:layer:a", 400),
        ("orders", 400),
    ):
        assert here.refused("ListTags", Resource=resource).status == status


def test_tags_move_the_revision_of_a_function(here: Any) -> None:
    function = here.add("orders")
    here.call("TagResource", Resource=function.arn, Tags={"a": "b"})
    assert function.latest.configuration["RevisionId"] != "revision of $LATEST"
