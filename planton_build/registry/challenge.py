"""`Authorizations`: how a registry's challenge (`WWW-Authenticate`) is answered, by password or token."""

from __future__ import annotations

import json
import re
import threading
import urllib.parse
from collections.abc import Callable
from typing import TypeAlias

from planton_build.registry.failures import Answer, Scope, host_of, nonsense, refused
from planton_build.registry.login import Login, LoginSource

Fetch: TypeAlias = Callable[[str, Scope, str | None], Answer]
"""Fetches a URL, with an `Authorization` for its host alone."""
_PARAMETER = re.compile(r'([A-Za-z_]+)="((?:[^"\\]|\\.)*)"')
_TOKEN = re.compile(r"[\x21-\x7e]{1,65536}")
_CHALLENGE_MAX = 8 << 10


class Authorizations:
    """What is sent as `Authorization` to one registry: one token per scope, or one password for all.

    Threads that are refused at the same time get one new token.
    """

    def __init__(self, login: Login | LoginSource | None, fetch: Fetch) -> None:
        self._login = login
        self._fetch = fetch
        self._basic: str | None = None
        self._tokens: dict[Scope, str] = {}
        self._guard = threading.Lock()

    def current(self, scope: Scope) -> str | None:
        """Return what is to be sent at first: nothing before the registry has asked for it."""
        return self._tokens.get(scope) or self._basic

    def answered(
        self, scope: Scope, challenge: str, refused_one: str | None, *, forbidden: bool = False
    ) -> str | None:
        """Return what to send after `refused_one` was not enough, or None when there is nothing else.

        `forbidden` is for an answer 403, which brings no challenge: ECR's for a password that has expired. It
        is taken for one if whoever gives the login has another by now.

        Raises:
            ImageUnavailable, AccessDenied, RegistryUnreachable: the token server gives none.
        """
        challenge = challenge[:_CHALLENGE_MAX]
        bearer = re.search(r"\bbearer\s(.*)", challenge, re.IGNORECASE | re.DOTALL)
        with self._guard:
            now = self.current(scope)
            if now != refused_one:
                return now  # another thread was here
            if forbidden:
                expired = (
                    now is not None and now == self._basic and callable(self._login) and not scope.source
                )
                return self._renewed(refused_one) if expired else None
            if bearer is not None:
                values = {key.lower(): value for key, value in _PARAMETER.findall(bearer[1])}
                if realm := values.get("realm", ""):
                    self._tokens[scope] = token = self._token(scope, realm, values)
                    return token
            if re.search(r"\bbasic\b", challenge, re.IGNORECASE) is None:
                return None
            self._tokens.pop(scope, None)
            return self._renewed(refused_one)

    def _renewed(self, refused_one: str | None) -> str | None:
        basic = self._asked_login()
        if basic is None or basic == refused_one:
            return None
        self._basic = basic
        return basic

    def _asked_login(self) -> str | None:
        login = self._login() if callable(self._login) else self._login
        return login.basic if login is not None else None

    def _token(self, scope: Scope, realm: str, values: dict[str, str]) -> str:
        asked = [("service", values["service"])] if "service" in values else []
        asked += [("scope", text) for text in _scopes(scope, values.get("scope", ""))]
        url = f"{realm}{'&' if '?' in realm else '?'}{urllib.parse.urlencode(asked)}"
        basic = self._asked_login()
        answer = self._fetch(url, scope, basic)
        if answer.status == 401 and callable(self._login):
            again = self._asked_login()  # a password that expires, as ECR's
            if again != basic:
                answer = self._fetch(url, scope, again)
        if answer.status != 200:
            raise refused(scope, answer, scope.name)
        try:
            document = json.loads(answer.content)
            token = document.get("token") or document.get("access_token")
        except (ValueError, RecursionError, AttributeError):
            token = None
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise nonsense(scope, f"sends to {host_of(realm)} for a token, which gave no token")
        return f"Bearer {token}"


def _scopes(scope: Scope, challenge: str) -> tuple[str, ...]:
    """Return the scopes to ask for: the registry's own words, widened to what will be needed.

    A registry asks for reading when it is asked with HEAD, and the token is to write with. Where it does not
    speak of repositories at all (ECR Public: `aws`), its word stands.
    """
    named = tuple(challenge.split())
    if not named:
        return scope.asked
    if not any(one.startswith("repository:") for one in named) or not (scope.pushing or scope.source):
        return named
    covered = {one.rpartition(":")[0] for one in scope.asked}
    return (*scope.asked, *(one for one in named if one.rpartition(":")[0] not in covered))
