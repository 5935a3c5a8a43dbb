"""The source `ssm`: parameters of AWS Systems Manager."""

from __future__ import annotations

from typing import Any

from planton_build.deploy.references.answers import Absent, Found, Refused, Wanted
from planton_build.deploy.references.cloud import Cloud, Place
from planton_build.deploy.references.options import Options
from planton_build.deploy.references.reading import Kept
from planton_build.deploy.references.terraform import taken
from planton_build.errors import ReferenceUnresolved
from planton_build.publish.aws_errors import explained


class Ssm:
    """Finds values in parameters. A SecureString is refused, unless `decrypt` asks for it."""

    remote = True

    def __init__(self, options: Options, cloud: Cloud) -> None:
        self._cloud = cloud
        self._name = options.required("name", '"/infra/{env}/{kind}/{name}/{field}"')
        self._decrypt = options.flag("decrypt")
        self._region = options.region()
        options.rest()
        options.identify(self._name)
        self._kept: Kept[dict[str, Any] | None] = Kept()

    def find(self, wanted: Wanted) -> Found:
        """Return the value of the parameter that is named for the wanted resource."""
        name = self._name.fill(wanted)
        place = self._cloud.at(wanted, self._region)
        parameter = self._kept.get((name, place.region), lambda: self._read(place, name))
        at = f"parameter {name} of SSM ({place.region})"
        if parameter is None:
            raise Absent(f"there is no parameter {name} in {place.region}")
        secret = parameter.get("Type") == "SecureString"
        if secret and not self._decrypt:
            raise Refused(f"the {at} is a SecureString", "set decrypt = true in this source to take it")
        return Found(taken(parameter.get("Value"), wanted, at), at, secret=secret)

    def _read(self, place: Place, name: str) -> dict[str, Any] | None:
        doing = f"reading the parameter {name} in {place.region}"
        with explained(doing, otherwise=ReferenceUnresolved, resource=name):
            client = place.aws.client("ssm", place.region)
            answer = client.get_parameters(Names=[name], WithDecryption=self._decrypt)
        found = answer.get("Parameters") or []
        return dict(found[0]) if found else None
