"""What `SourceAccessConfigurations` must and may have, by the kind of source.

AWS documents which kind takes which type (`SourceAccessConfiguration`). The texts of refusals are ours, but
for that of a virtual host in an update.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from planton_build.emulator.refusal import invalid

VIRTUAL_HOST = "VIRTUAL_HOST"
_NETWORK = {"VPC_SUBNET": "subnet:", "VPC_SECURITY_GROUP": "security_group:"}
_WITHOUT_URI = frozenset({"IAM_AUTH", "IAM_OAUTHBEARER_AUTH"})
_LOGINS = frozenset(
    {
        "BASIC_AUTH",
        "SASL_SCRAM_256_AUTH",
        "SASL_SCRAM_512_AUTH",
        "CLIENT_CERTIFICATE_TLS_AUTH",
        "OAUTHBEARER_AUTH",
        *_WITHOUT_URI,
    }
)
_SECRETS = _LOGINS - _WITHOUT_URI | {"SERVER_ROOT_CA_CERTIFICATE"}
_OF_OAUTH = frozenset(
    {
        "OAUTHBEARER_SCOPE",
        "OAUTHBEARER_AUDIENCE",
        "OAUTHBEARER_LOGICAL_CLUSTER",
        "OAUTHBEARER_IDENTITY_POOL",
    }
)
_TAKEN: Mapping[str, frozenset[str]] = {
    "MSK": frozenset({"SASL_SCRAM_512_AUTH", "CLIENT_CERTIFICATE_TLS_AUTH"}),
    "MQ": frozenset({"BASIC_AUTH", VIRTUAL_HOST}),
    "DocumentDB": frozenset({"BASIC_AUTH"}),
    "Kafka": _LOGINS | _OF_OAUTH | _NETWORK.keys() | {"SERVER_ROOT_CA_CERTIFICATE"},
}
_NEEDED = frozenset({"MQ", "DocumentDB", "Kafka"})
"""Kinds of sources that nobody reaches without being told how."""


def check_access(kind: str, wanted: Mapping[str, Any]) -> None:
    """Raise Refusal for access that a kind of source does not take, or for some that it needs.

    `kind` is the name of the kind in messages.
    """
    listed = wanted.get("SourceAccessConfigurations") or []
    if not listed and kind in _NEEDED:
        raise invalid("Required 'sourceAccessConfigurations' parameter is missing.")
    counted = Counter(str(one.get("Type") or "") for one in listed)
    for one in listed:
        _check_one(kind, str(one.get("Type") or ""), str(one.get("URI") or ""), counted)
    logins = _LOGINS & counted.keys()
    if len(logins) > 1:
        raise invalid(f"Only one of {', '.join(sorted(logins))} can be specified.")
    if not listed:
        return
    if kind in ("MQ", "DocumentDB") and not logins:
        raise invalid(f"BASIC_AUTH is required for {kind} event sources.")
    if ("VPC_SUBNET" in counted) != ("VPC_SECURITY_GROUP" in counted):
        raise invalid("VPC_SUBNET and VPC_SECURITY_GROUP must be specified together.")
    if kind == "Kafka" and not logins and "VPC_SUBNET" not in counted:
        raise invalid("An authentication method is required for event sources outside of a VPC.")
    _check_oauth(counted)


def check_update(request: Mapping[str, Any]) -> None:
    """Raise Refusal for an update that has a virtual host."""
    if any(one.get("Type") == VIRTUAL_HOST for one in request.get("SourceAccessConfigurations") or []):
        raise invalid("Invalid parameters: VIRTUAL_HOST")


def kept(before: list[Any], given: list[Any]) -> list[Any]:
    """Return the access of a mapping that is changed: what is given, and the virtual host that stays."""
    return [*given, *(one for one in before if one.get("Type") == VIRTUAL_HOST)]


def virtual_host(document: Mapping[str, Any]) -> str:
    """Return the virtual host of a request or a mapping; RabbitMQ's own is `/`."""
    listed = document.get("SourceAccessConfigurations") or []
    return next((str(one.get("URI")) for one in listed if one.get("Type") == VIRTUAL_HOST), "/")


def _check_one(kind: str, type_: str, uri: str, counted: Mapping[str, int]) -> None:
    if type_ not in _TAKEN.get(kind, frozenset()):
        raise invalid(f"SourceAccessConfiguration type {type_} is not valid for {kind} event sources.")
    if counted[type_] > 1 and type_ not in _NETWORK:
        raise invalid(f"SourceAccessConfiguration type {type_} can be specified once.")
    if bool(uri) == (type_ in _WITHOUT_URI):
        raise invalid(f"URI is {'not valid' if uri else 'required'} for {type_}.")
    secret = uri.startswith("arn:") and uri.split(":")[2] == "secretsmanager"
    if (type_ in _SECRETS and not secret) or not uri.startswith(_NETWORK.get(type_, "")):
        raise invalid(f"Invalid URI for {type_}: {uri}")


def _check_oauth(counted: Mapping[str, int]) -> None:
    for type_ in sorted(_OF_OAUTH & counted.keys()):
        by_role = type_ == "OAUTHBEARER_AUDIENCE" and "IAM_OAUTHBEARER_AUTH" in counted
        if "OAUTHBEARER_AUTH" not in counted and not by_role:
            raise invalid(f"{type_} requires OAUTHBEARER_AUTH.")
    if "IAM_OAUTHBEARER_AUTH" in counted and "OAUTHBEARER_AUDIENCE" not in counted:
        raise invalid("IAM_OAUTHBEARER_AUTH requires OAUTHBEARER_AUDIENCE.")
