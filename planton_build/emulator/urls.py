"""Function URLs: one for the unqualified function, and one for each alias."""

from __future__ import annotations

import secrets
import string

from planton_build.emulator.answers import page, url_stamp
from planton_build.emulator.lookup import address, find_function, function_at, is_version
from planton_build.emulator.operations import Document, operation
from planton_build.emulator.refusal import conflict, not_found, validation
from planton_build.emulator.state import Function, Region

_LETTERS = string.ascii_lowercase + string.digits
_METHODS = ("GET", "PUT", "HEAD", "POST", "PATCH", "DELETE", "*")
"""What `Cors.AllowMethods` may hold; the service model only bounds the length."""
_MEMBERS = ("FunctionUrl", "FunctionArn", "AuthType", "Cors", "CreationTime", "InvokeMode")


@operation("CreateFunctionUrlConfig")
def create_function_url_config(region: Region, request: Document) -> Document:
    """Give a function or an alias its URL."""
    function, qualifier = _target(region, request)
    arn = f"{function.arn}:{qualifier}" if qualifier else function.arn
    if qualifier in function.urls:
        raise conflict(
            f"Failed to create function url config for [functionArn = {arn}]. "
            "Error message:  FunctionUrlConfig exists for this Lambda function"
        )
    cors = _checked(request.get("Cors"))
    now = url_stamp()
    host = "".join(secrets.choice(_LETTERS) for _ in range(32))
    function.urls[qualifier] = {
        "FunctionUrl": f"https://{host}.lambda-url.{region.region}.on.aws/",
        "FunctionArn": arn,
        "AuthType": request["AuthType"],
        "InvokeMode": request.get("InvokeMode") or "BUFFERED",
        "CreationTime": now,
        "LastModifiedTime": now,
        **({"Cors": cors} if cors else {}),
    }
    found = function.urls[qualifier]
    return {name: found[name] for name in _MEMBERS if name in found}


@operation("GetFunctionUrlConfig")
def get_function_url_config(region: Region, request: Document) -> Document:
    """Show a URL."""
    return dict(_existing(region, request))


@operation("UpdateFunctionUrlConfig")
def update_function_url_config(region: Region, request: Document) -> Document:
    """Change what the request has of a URL. `Cors` is replaced as a whole; an empty one removes it."""
    found = _existing(region, request)
    if "Cors" in request:
        cors = _checked(request["Cors"])
        found.pop("Cors", None)
        if cors:
            found["Cors"] = cors
    for name in ("AuthType", "InvokeMode"):
        if request.get(name):
            found[name] = request[name]
    found["LastModifiedTime"] = url_stamp()
    return dict(found)


@operation("ListFunctionUrlConfigs")
def list_function_url_configs(region: Region, request: Document) -> Document:
    """List the URLs of a function and of its aliases."""
    function = function_at(region, address(region, request))
    found, marker = page(function.urls.values(), lambda url: str(url["FunctionArn"]), request)
    return {"FunctionUrlConfigs": [dict(url) for url in found], **marker}


@operation("DeleteFunctionUrlConfig")
def delete_function_url_config(region: Region, request: Document) -> None:
    """Remove a URL."""
    _existing(region, request)
    where = address(region, request)
    del region.functions[where.name].urls[where.qualifier]


def _target(region: Region, request: Document) -> tuple[Function, str]:
    """Return the function and the alias ("" for none) that a request names, when both exist."""
    where = address(region, request)
    if where.qualifier.startswith("$") or is_version(where.qualifier):
        raise validation(
            f"1 validation error detected: Value '{where.qualifier}' at 'qualifier' failed to satisfy "
            "constraint: Member must satisfy regular expression pattern: ((?!^\\d+$)^[0-9a-zA-Z-_]+$)"
        )
    function = find_function(region, where.name)
    if function is None or (where.qualifier and where.qualifier not in function.aliases):
        raise not_found("Function does not exist")
    return function, where.qualifier


def _existing(region: Region, request: Document) -> Document:
    function, qualifier = _target(region, request)
    if qualifier not in function.urls:
        raise not_found("The resource you requested does not exist.")
    return function.urls[qualifier]


def _checked(cors: Document | None) -> Document:
    """Return CORS settings without empty members. Raises Refusal for methods that there are not."""
    wrong = [method for method in (cors or {}).get("AllowMethods") or [] if method not in _METHODS]
    if wrong:
        raise validation(
            f"1 validation error detected: Value '[{', '.join(wrong)}]' at 'cors.allowMethods' failed to "
            f"satisfy constraint: Member must satisfy enum value set: [{', '.join(_METHODS)}]"
        )
    return {name: value for name, value in (cors or {}).items() if value not in (None, [])}
