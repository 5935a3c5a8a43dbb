"""How Lambda reaches an event source and logs in there: `SourceAccessConfigurations`.

Types and lengths are those of botocore's model; which kind of source takes which type is documented there at
`SourceAccessConfiguration`, and in the Lambda Developer Guide on each source.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from planton_build.settings.model import SourceAccess
from planton_build.settings.table import Table
from planton_build.settings.values import Check, choice, matching

MAX_ACCESS = 23
"""`SourceAccessConfigurations`."""
SECRETS = frozenset(
    {
        "BASIC_AUTH", "SASL_SCRAM_512_AUTH", "SASL_SCRAM_256_AUTH", "CLIENT_CERTIFICATE_TLS_AUTH",
        "SERVER_ROOT_CA_CERTIFICATE", "OAUTHBEARER_AUTH",
    }
)  # fmt: skip
"""Types whose URI is the ARN of a secret."""
WITHOUT_URI = frozenset({"IAM_AUTH", "IAM_OAUTHBEARER_AUTH"})
"""Types by which the function's role itself logs in."""
VIRTUAL_HOST = "VIRTUAL_HOST"
_NETWORK = {"VPC_SUBNET": "subnet:", "VPC_SECURITY_GROUP": "security_group:"}
"""Types of what is in a VPC, and what Lambda wants before its id."""
_TOKENS = (
    "OAUTHBEARER_SCOPE", "OAUTHBEARER_AUDIENCE", "OAUTHBEARER_LOGICAL_CLUSTER", "OAUTHBEARER_IDENTITY_POOL"
)  # fmt: skip
_LOGINS = (SECRETS | WITHOUT_URI) - {"SERVER_ROOT_CA_CERTIFICATE"}
TYPES = (
    "BASIC_AUTH", "VPC_SUBNET", "VPC_SECURITY_GROUP", "SASL_SCRAM_512_AUTH", "SASL_SCRAM_256_AUTH",
    "VIRTUAL_HOST", "CLIENT_CERTIFICATE_TLS_AUTH", "SERVER_ROOT_CA_CERTIFICATE", "OAUTHBEARER_AUTH",
    *_TOKENS, "IAM_AUTH", "IAM_OAUTHBEARER_AUTH",
)  # fmt: skip
"""`SourceAccessType`."""

_MAX_URI = 200
_URI = re.compile(r"[ a-zA-Z0-9/*:_+=.@-]{1,200}")
_SECRET = re.compile(r"arn:aws[a-zA-Z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[a-zA-Z0-9/_+=.@-]+")
_SUBNET = re.compile(r"(?:subnet:)?subnet-[a-zA-Z0-9-]+")
_GROUP = re.compile(r"(?:security_group:)?sg-[a-zA-Z0-9-]+")
_URIS: dict[str, Check[str]] = {
    "VPC_SUBNET": matching(_SUBNET, "the id of a subnet", _MAX_URI),
    "VPC_SECURITY_GROUP": matching(_GROUP, "the id of a security group", _MAX_URI),
    **dict.fromkeys(
        SECRETS,
        matching(_SECRET, "the ARN of a secret of Secrets Manager, of at most 200 characters", _MAX_URI),
    ),
}
_OTHER_URI = matching(_URI, "1 to 200 letters, digits, spaces or -/*:_+=.@")


@dataclass(frozen=True, slots=True)
class AccessRules:
    """The types of access that a kind of source takes. With `login` one of those that log in is needed."""

    takes: frozenset[str]
    login: bool = False


MQ_ACCESS = AccessRules(frozenset({"BASIC_AUTH", VIRTUAL_HOST}), login=True)
DOCUMENTDB_ACCESS = AccessRules(frozenset({"BASIC_AUTH"}), login=True)
MSK_ACCESS = AccessRules(frozenset({"SASL_SCRAM_512_AUTH", "CLIENT_CERTIFICATE_TLS_AUTH"}))
KAFKA_ACCESS = AccessRules(frozenset(TYPES) - {VIRTUAL_HOST})
"""Of a cluster of one's own. It needs a login, or a VPC that only its users are in."""


def access_of(table: Table, kind: str, rules: AccessRules | None) -> tuple[SourceAccess, ...]:
    """Return the `access` of an event source, checked against what its kind takes.

    `rules` of None are those of a kind that takes none; its caller tells of that.
    """
    listed = table.tables("access")
    if listed is None:
        return ()
    before = len(table.faults)
    if len(listed) > MAX_ACCESS:
        table.fault("access", f"must not hold more than {MAX_ACCESS}")
    found = tuple(_one(item, kind, rules) for item in listed[:MAX_ACCESS])
    if rules is not None and len(table.faults) == before:
        _check_together(table, kind, rules, [one.type for one in found])
    return found


def virtual_host_of(access: Iterable[SourceAccess]) -> str:
    """Return the virtual host of RabbitMQ, "" for its own, `/`."""
    return next((one.uri for one in access if one.type == VIRTUAL_HOST and one.uri != "/"), "")


def with_prefix(access: SourceAccess) -> SourceAccess:
    """Return the access with its subnet or security group as Lambda wants it, `subnet:subnet-…`."""
    prefix = _NETWORK.get(access.type, "")
    return access if access.uri.startswith(prefix) else SourceAccess(access.type, prefix + access.uri)


def _one(table: Table, kind: str, rules: AccessRules | None) -> SourceAccess:
    type_ = table.need("type", choice(TYPES), "")
    if type_ and rules is not None and type_ not in rules.takes:
        table.fault("type", f"is {type_}, which is nothing for a {kind}", _listed(rules.takes))
    if type_ in WITHOUT_URI:
        if "uri" in table:
            table.fault("uri", f"is not for {type_}", "the function's role itself logs in")
        uri = table.get("uri", str, "")
    elif type_:
        uri = table.need("uri", _URIS.get(type_, _OTHER_URI), "")
    else:
        uri = table.get("uri", _OTHER_URI, "")
    table.close()
    return with_prefix(SourceAccess(type_, uri))


def _check_together(table: Table, kind: str, rules: AccessRules, types: list[str]) -> None:
    """Note what one type wants of the others."""
    counted = Counter(types)
    for type_, count in counted.items():
        if count > 1 and type_ not in _NETWORK:
            table.fault("access", f"holds {type_} {count} times")
    logins = sorted(_LOGINS & counted.keys())
    if len(logins) > 1:
        table.fault("access", f"must hold one way to log in, not {' and '.join(logins)}")
    if ("VPC_SUBNET" in counted) != ("VPC_SECURITY_GROUP" in counted):
        table.fault("access", "must hold VPC_SUBNET and VPC_SECURITY_GROUP, or neither")
    if not logins and rules.login:
        table.fault("access", f"has no BASIC_AUTH, which a {kind} needs", "its uri is the ARN of a secret")
    elif not logins and rules is KAFKA_ACCESS and "VPC_SUBNET" not in counted:
        table.fault(
            "access",
            "holds neither a way to log in nor a VPC",
            "add one such as SASL_SCRAM_512_AUTH, or VPC_SUBNET and VPC_SECURITY_GROUP",
        )
    if "IAM_OAUTHBEARER_AUTH" in counted and "OAUTHBEARER_AUDIENCE" not in counted:
        table.fault("access", "has no OAUTHBEARER_AUDIENCE, which IAM_OAUTHBEARER_AUTH needs")
    for type_ in _TOKENS:
        by_role = type_ == "OAUTHBEARER_AUDIENCE" and "IAM_OAUTHBEARER_AUTH" in counted
        if type_ in counted and "OAUTHBEARER_AUTH" not in counted and not by_role:
            table.fault("access", f"holds {type_}, which goes with OAUTHBEARER_AUTH only")


def _listed(types: Iterable[str]) -> str:
    found = sorted(types)
    return f"it takes {', '.join(found)}"
