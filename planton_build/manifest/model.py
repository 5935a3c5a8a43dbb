"""The `AwsLambda` kind as pydantic models: names, types and presence. What values must be is in `rules`.

The models are the schema: `reader` walks a document by their fields. Enum members stand in the order of their
protobuf numbers, from 0.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Architecture(StrEnum):
    """`AwsLambdaSpec.architecture`. Unspecified means x86_64."""

    UNSPECIFIED = "ARCHITECTURE_UNSPECIFIED"
    X86_64 = "X86_64"
    ARM64 = "ARM64"


class CodeSourceType(StrEnum):
    """`AwsLambdaSpec.code_source_type`."""

    UNSPECIFIED = "CODE_SOURCE_TYPE_UNSPECIFIED"
    S3 = "CODE_SOURCE_TYPE_S3"
    IMAGE = "CODE_SOURCE_TYPE_IMAGE"


class Part(BaseModel):
    """Base of all messages: camelCase or snake_case in, snake_case inside, nothing unknown, immutable."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True, loc_by_alias=False
    )


class ValueFromRef(Part):
    """A pointer to another resource's output. `kind` and `field_path` default by the field they stand in."""

    name: str = ""
    kind: str = ""
    env: str = ""
    field_path: str = ""


class StringValueOrRef(Part):
    """A literal `value`, or `value_from`; never both and never neither."""

    value: str | None = None
    value_from: ValueFromRef | None = None


class S3Code(Part):
    """Where the ZIP is. An empty `object_version` means the newest."""

    bucket: str = ""
    key: str = ""
    object_version: str = ""


class RelationshipType(StrEnum):
    """`CloudResourceRelationship.type`."""

    UNSPECIFIED = "unspecified"
    DEPENDS_ON = "depends_on"
    RUNS_ON = "runs_on"
    MANAGED_BY = "managed_by"
    USES = "uses"


class Relationship(Part):
    """`CloudResourceRelationship`: how this resource hangs together with another."""

    kind: str = ""
    env: str = ""
    name: str = ""
    type: RelationshipType = RelationshipType.UNSPECIFIED


class Metadata(Part):
    """`CloudResourceMetadata`."""

    name: str = ""
    slug: str = ""
    id: str = ""
    org: str = ""
    env: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    tags: tuple[str, ...] = ()
    relationships: tuple[Relationship, ...] = ()
    group: str = ""


class AwsLambdaSpec(Part):
    """What the function should be. Zero and "" mean "not set"; `reserved_concurrency` keeps its presence."""

    region: str = ""
    function_name: str = ""
    description: str = ""
    role_arn: StringValueOrRef | None = None
    runtime: str = ""
    handler: str = ""
    memory_mb: int = 0
    timeout_seconds: int = 0
    reserved_concurrency: int | None = None
    environment: dict[str, str] = Field(default_factory=dict)
    subnets: tuple[StringValueOrRef, ...] = ()
    security_groups: tuple[StringValueOrRef, ...] = ()
    architecture: Architecture = Architecture.UNSPECIFIED
    layer_arns: tuple[StringValueOrRef, ...] = ()
    kms_key_arn: StringValueOrRef | None = None
    code_source_type: CodeSourceType = CodeSourceType.UNSPECIFIED
    s3: S3Code | None = None
    image_uri: str = ""


class StackOutputs(Part):
    """`AwsLambdaStackOutputs`: what a deployment publishes."""

    function_arn: str = ""
    function_name: str = ""
    log_group_name: str = ""
    role_arn: str = ""
    layer_arns: tuple[str, ...] = ()


class Status(Part):
    """`AwsLambdaStatus`. Written by upstream tools; read, and otherwise left alone."""

    outputs: StackOutputs | None = None


class AwsLambda(Part):
    """The envelope: one YAML document. `rules` says that all but `status` must be set."""

    api_version: str = ""
    kind: str = ""
    metadata: Metadata = Field(default_factory=Metadata)
    spec: AwsLambdaSpec = Field(default_factory=AwsLambdaSpec)
    status: Status | None = None
