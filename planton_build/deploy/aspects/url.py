"""The function URL of what serves, with the permissions that its callers need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Final

from planton_build.deploy.aspects.aspect import UNMANAGED, Answer, Call, Phase, Scope, Unmanaged
from planton_build.deploy.aspects.reading import ABSENT, ask, flag, mapping, number, text, texts
from planton_build.deploy.aspects.statements import (
    URL_IDS,
    ReadStatements,
    Statement,
    read_statements,
    statement_calls,
)
from planton_build.deploy.change import Change
from planton_build.deploy.desired import DesiredFunction
from planton_build.publish.aws_errors import error_code
from planton_build.settings.model import OFF, Cors, FunctionUrl

_PUBLIC: Final = (
    Statement(URL_IDS[0], "*", "lambda:InvokeFunction", via_url=True),
    Statement(URL_IDS[1], "*", "lambda:InvokeFunctionUrl", url_auth="NONE"),
)
"""What lets everybody call a URL without authentication; since October 2025 it takes both (AWS Lambda
Developer Guide, "Control access to Lambda function URLs"). A URL with AWS_IAM gets none: its callers in the
same account need both actions in policies of their own, and whom of another account to trust is for
`permissions` to say."""


@dataclass(frozen=True, slots=True)
class UrlState:
    """A URL and our statements for it, sorted by id. `config` is None where only statements are left."""

    config: FunctionUrl | None
    statements: tuple[Statement, ...] = ()


@dataclass(frozen=True, slots=True)
class UrlAspect:
    """The URL, and for a public one its two permissions. `read` is as in `PermissionsAspect`."""

    name: ClassVar[str] = "url"
    phase: ClassVar[Phase] = Phase.SERVING
    at_creation: ClassVar[bool] = False
    read: ReadStatements = read_statements

    def wanted(self, desired: DesiredFunction) -> UrlState | Unmanaged | None:
        """Return the configured URL, None where it is switched off."""
        wanted = desired.settings.url
        if wanted is None:
            return UNMANAGED
        if wanted is OFF:
            return None
        config = replace(wanted, cors=None) if wanted.cors == Cors() else wanted
        return UrlState(config, _PUBLIC if wanted.auth == "NONE" else ())

    def observe(self, scope: Scope, wanted: UrlState | None) -> UrlState | None:
        """Read the URL and our statements."""
        client = scope.aws.lambda_(scope.region)
        answer = ask(scope, "reading the URL of", lambda: client.get_function_url_config(**scope.qualified))
        found = self.read(scope)
        statements = tuple(found[key] for key in URL_IDS if key in found)
        if answer is None:
            return UrlState(None, statements) if statements else None
        cors = wanted.config.cors if wanted and wanted.config else None
        return UrlState(_config(answer, cors), statements)

    def changes(self, before: UrlState | None, after: UrlState | None) -> list[Change]:
        """Return one difference for each property."""
        old, new = _shown(before), _shown(after)
        return [
            Change(f"{self.name}.{key}", old.get(key), new.get(key))
            for key in dict.fromkeys([*new, *old])
            if old.get(key) != new.get(key)
        ]

    def calls(self, scope: Scope, before: UrlState | None, after: UrlState | None) -> Sequence[Call]:
        """Return what creates, changes or removes the URL, then what gives or takes the permissions."""
        old, new = before or UrlState(None), after or UrlState(None)
        calls = []
        if new.config is None and old.config is not None:
            calls.append(_delete(scope))
        elif new.config is not None and new.config != old.config:
            calls.append(_put(scope, new.config, creating=old.config is None))
        return [*calls, *statement_calls(scope, _by_id(old.statements), _by_id(new.statements))]


def _put(scope: Scope, config: FunctionUrl, *, creating: bool) -> Call:
    client: Any = scope.aws.lambda_(scope.region)
    request = {
        **scope.qualified,
        "AuthType": config.auth,
        "InvokeMode": config.invoke_mode,
    }
    update = partial(client.update_function_url_config, **request, Cors=_cors_request(config.cors))
    if not creating:
        return Call("UpdateFunctionUrlConfig", "changing the URL of", update)
    cors = {"Cors": _cors_request(config.cors)} if config.cors else {}
    create = partial(client.create_function_url_config, **request, **cors)
    return Call("CreateFunctionUrlConfig", "creating the URL of", partial(_either, create, update))


def _either(create: Callable[[], object], update: Callable[[], object]) -> object:
    """Create, or change what turns out to be there because an answer was lost."""
    from botocore.exceptions import ClientError

    try:
        return create()
    except ClientError as error:
        if error_code(error) != "ResourceConflictException":
            raise
    return update()


def _delete(scope: Scope) -> Call:
    client = scope.aws.lambda_(scope.region)
    send = partial(client.delete_function_url_config, **scope.qualified)
    return Call("DeleteFunctionUrlConfig", "removing the URL of", send, ABSENT)


def _config(answer: Answer, wanted: Cors | None) -> FunctionUrl:
    return FunctionUrl(
        auth="NONE" if text(answer, "AuthType") == "NONE" else "AWS_IAM",
        invoke_mode="RESPONSE_STREAM" if text(answer, "InvokeMode") == "RESPONSE_STREAM" else "BUFFERED",
        cors=_cors(mapping(answer, "Cors"), wanted),
    )


def _cors(answer: Answer, wanted: Cors | None) -> Cors | None:
    found = Cors(
        allow_origins=texts(answer, "AllowOrigins"),
        allow_methods=texts(answer, "AllowMethods"),
        allow_headers=texts(answer, "AllowHeaders"),
        expose_headers=texts(answer, "ExposeHeaders"),
        allow_credentials=flag(answer, "AllowCredentials"),
        max_age=number(answer, "MaxAge") or 0,
    )
    if wanted is not None and _meaning(found) == _meaning(wanted):
        return wanted
    return None if found == Cors() else found


def _meaning(cors: Cors) -> tuple[object, ...]:
    """Return what tells two CORS configurations apart: neither order nor, in headers' names, letter case."""
    return (
        frozenset(cors.allow_origins),
        _folded(cors.allow_methods),
        _folded(cors.allow_headers),
        _folded(cors.expose_headers),
        cors.allow_credentials,
        cors.max_age,
    )


def _folded(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)


def _cors_request(cors: Cors | None) -> dict[str, Any]:
    """Return `Cors` of a request; an empty one removes what an update finds."""
    if cors is None:
        return {}
    return {
        "AllowOrigins": list(cors.allow_origins),
        "AllowMethods": list(cors.allow_methods),
        "AllowHeaders": list(cors.allow_headers),
        "ExposeHeaders": list(cors.expose_headers),
        "AllowCredentials": cors.allow_credentials,
        "MaxAge": cors.max_age,
    }


def _by_id(statements: tuple[Statement, ...]) -> dict[str, Statement]:
    return {statement.id: statement for statement in statements}


def _shown(state: UrlState | None) -> dict[str, str | None]:
    shown: dict[str, str | None] = {}
    config, statements = (state.config, state.statements) if state else (None, ())
    if config is not None:
        shown |= {"auth": config.auth, "invoke_mode": config.invoke_mode, "cors": _shown_cors(config.cors)}
    return shown | {f"permission.{one.id}": one.shown for one in statements}


def _shown_cors(cors: Cors | None) -> str | None:
    if cors is None:
        return None
    parts = {
        "origins": ", ".join(cors.allow_origins),
        "methods": ", ".join(cors.allow_methods),
        "headers": ", ".join(cors.allow_headers),
        "exposed": ", ".join(cors.expose_headers),
        "credentials": "allowed" if cors.allow_credentials else "",
        "max age": f"{cors.max_age} s" if cors.max_age else "",
    }
    return "; ".join(f"{name} {value}" for name, value in parts.items() if value)
