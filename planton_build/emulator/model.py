"""botocore's models of AWS services: which operation a request is for, and the values in its path.

Only the models are used, and no client: the emulator must not share what the tool's own client does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, unquote

_LABEL = re.compile(r"\{(\w+)(\+?)\}")


@dataclass(frozen=True, slots=True)
class Route:
    """How requests for an operation look: HTTP method, path, and what the query string must have.

    `values` maps literal parameters of the query to their values; `parameters` and `headers` are the names
    of required members that are there.
    """

    operation: str
    method: str
    path: re.Pattern[str]
    values: Mapping[str, str]
    parameters: frozenset[str]
    headers: frozenset[str]

    @property
    def weight(self) -> int:
        """Return how particular the route is: of two that fit, the one that asks for more is meant."""
        return 2 * len(self.values) + len(self.parameters) + len(self.headers)


@dataclass(frozen=True, slots=True)
class Found:
    """The operation that a request is for, and the values of its path by label."""

    operation: str
    labels: dict[str, str]


class Api:
    """A service's API: its operations by request, and their shapes."""

    def __init__(self, service: str) -> None:
        import botocore.loaders
        import botocore.model

        loader = botocore.loaders.create_loader()
        self.model: Any = botocore.model.ServiceModel(loader.load_service_model(service, "service-2"))
        self._routes: list[Route] | None = None

    @property
    def protocol(self) -> str:
        """Return the protocol that botocore's clients speak, such as `rest-json`."""
        return str(self.model.metadata.get("protocol", ""))

    def operation(self, name: str) -> Any:
        """Return botocore's model of an operation."""
        return self.model.operation_model(name)

    def error(self, code: str) -> Any:
        """Return the shape of an error, or None for one that the model does not have."""
        return next((shape for shape in self.model.error_shapes if shape.name == code), None)

    def find(self, method: str, path: str, query: str, headers: Sequence[str] = ()) -> Found | None:
        """Return the operation of a request, None when there is none.

        `path` is as it was sent, percent-encoded; `headers` are the names of those sent, in lower case.
        """
        if self._routes is None:
            self._routes = sorted(self._read_routes(), key=lambda route: -route.weight)
        given = dict(parse_qsl(query, keep_blank_values=True))
        for route in self._routes:
            if route.method != method or not route.headers <= set(headers):
                continue
            if not _fits(route, given) or not (match := route.path.fullmatch(path.rstrip("/") or "/")):
                continue
            return Found(route.operation, {name: unquote(text) for name, text in match.groupdict().items()})
        return None

    def _read_routes(self) -> list[Route]:
        return [_route(self.operation(name)) for name in self.model.operation_names]


@lru_cache(maxsize=32)
def api(service: str) -> Api:
    """Return the API of a service of botocore. Raises botocore's UnknownServiceError."""
    return Api(service)


def _fits(route: Route, given: Mapping[str, str]) -> bool:
    if not route.parameters <= given.keys():
        return False
    return all(given.get(name) == value for name, value in route.values.items())


def _route(operation: Any) -> Route:
    path, _, query = operation.http["requestUri"].partition("?")
    places: dict[str, set[str]] = {"querystring": set(), "header": set()}
    shape = operation.input_shape
    for name in shape.required_members if shape else ():
        serialization = shape.members[name].serialization
        if (place := serialization.get("location")) in places:
            places[place].add(serialization.get("name", name))
    pattern = "".join(_pattern(path.rstrip("/") or "/"))
    return Route(
        operation.name,
        operation.http["method"],
        re.compile(pattern),
        dict(parse_qsl(query, keep_blank_values=True)),
        frozenset(places["querystring"]),
        frozenset(name.lower() for name in places["header"]),
    )


def _pattern(path: str) -> list[str]:
    parts, at = [], 0
    for label in _LABEL.finditer(path):
        parts.append(re.escape(path[at : label.start()]))
        parts.append(f"(?P<{label[1]}>{'.+' if label[2] else '[^/]+'})")
        at = label.end()
    return [*parts, re.escape(path[at:])]
