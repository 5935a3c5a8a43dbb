"""The source `terraform`: the outputs of a state, in a file or in S3. Resources in it are not looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from planton_build.deploy.references.answers import Absent, Found, Refused, Wanted
from planton_build.deploy.references.cloud import Cloud, Place
from planton_build.deploy.references.options import Options
from planton_build.deploy.references.outputs import file_of
from planton_build.deploy.references.path import listed, picked
from planton_build.deploy.references.reading import MAX_BYTES, Kept, json_of
from planton_build.deploy.references.select import select
from planton_build.errors import ReferenceUnresolved
from planton_build.publish.aws import RegionMismatch
from planton_build.publish.aws_errors import explained

STATE_VERSION = 4
"""The version of Terraform's and OpenTofu's state since 0.12."""


class Output(NamedTuple):
    """One output of a root module."""

    value: Any
    sensitive: bool


class Terraform:
    """Finds values among the outputs of a Terraform or OpenTofu state."""

    def __init__(self, options: Options, cloud: Cloud) -> None:
        self._options = options
        self._cloud = cloud
        self._state = options.required("state", '"s3://acme-state/network.tfstate"', path=True)
        own = "name" in self._state.placeholders
        self._output = options.required("output", '"{name}_{field}"', "{field}" if own else "{name}_{field}")
        self._sensitive = options.flag("sensitive")
        self._region = options.region()
        options.rest()
        options.identify(self._state, self._output)
        self.remote = self._state.text.startswith("s3://")
        if self.remote and len(self._state.text.split("/")) < 4:
            options.fault(
                "the option state must name a bucket and a key, such as s3://bucket/network.tfstate"
            )
        self._kept: Kept[Any] = Kept()
        self._outputs: Kept[dict[str, Output]] = Kept()

    def find(self, wanted: Wanted) -> Found:
        """Return the value of the output that is named for the wanted resource."""
        state, name = self._state.fill(wanted), self._output.fill(wanted)
        outputs = self._outputs.get(state, lambda: self._read(state, wanted))
        found = picked(outputs, name, exact=True)
        if not found:
            known = listed(outputs)
            raise Absent(f"{state} has no output {name} (it has: {known})")
        at = f"output {name} of {state}"
        if len(found) > 1:
            raise Refused(f"{at} is there in two spellings, with different values")
        output: Output = found[0]
        if output.sensitive and not self._sensitive:
            raise Refused(f"the {at} is sensitive", "set sensitive = true in this source to take it")
        return Found(taken(output.value, wanted, at), at, secret=output.sensitive)

    def _read(self, state: str, wanted: Wanted) -> dict[str, Output]:
        if self.remote:
            content = self._from_s3(state, wanted)
        else:
            content = file_of(self._options, self._kept, state, may_lack=bool(self._state.placeholders))
        try:
            return _outputs(content)
        except ValueError as error:
            raise self._options.failure(f"the state {state} {error}") from None

    def _from_s3(self, state: str, wanted: Wanted) -> Any:
        bucket, _, key = state.removeprefix("s3://").partition("/")
        place = self._cloud.at(wanted, self._region)
        try:
            raw = _object(place, bucket, key)
        except RegionMismatch as elsewhere:  # a state may be kept in any region
            raw = _object(Place(place.aws, elsewhere.region), bucket, key, again=True)
        try:
            return json_of(raw)
        except ValueError as error:
            raise self._options.failure(f"the state {state} {error}") from None


def taken(value: Any, wanted: Wanted, at: str) -> tuple[str, ...]:
    """Return what a path means inside an output's value; `at` is the output for people."""
    try:
        return select(value, wanted.path.within, loose=True)
    except Absent as missing:
        raise Absent(f"{at}: {missing}") from None
    except Refused as refused:
        raise Refused(f"{at}: {refused}", refused.hint) from None


def _object(place: Place, bucket: str, key: str, *, again: bool = False) -> bytes:
    url = f"s3://{bucket}/{key}"
    hint = "check the option state, and whether Terraform has been applied"
    with explained(f"reading the state {url}", otherwise=ReferenceUnresolved, resource=url, hint=hint):
        try:
            body = place.aws.s3(place.region).get_object(Bucket=bucket, Key=key)["Body"]
        except RegionMismatch as elsewhere:
            if not again:
                raise
            raise Refused(f"S3 says that {bucket} is in {place.region} and in {elsewhere.region}") from None
        raw = body.read(MAX_BYTES + 1)
        body.close()
    if len(raw) > MAX_BYTES:
        raise Refused(f"the state {url} is larger than {MAX_BYTES} bytes")
    return raw


def _outputs(content: Any) -> dict[str, Output]:
    """Return the outputs of a state, or of what `terraform output -json` prints."""
    if not isinstance(content, Mapping):
        raise ValueError("is no Terraform state")  # noqa: TRY004  # in words that follow its name
    if "encrypted_data" in content:
        raise ValueError("is encrypted; write `tofu output -json` into a file and name that")
    tables: Any = content
    if "version" in content and not isinstance(content["version"], Mapping):
        if content["version"] != STATE_VERSION:
            raise ValueError(f"has the version {str(content['version'])[:20]}; {STATE_VERSION} is understood")
        tables = content.get("outputs") or {}
    if not isinstance(tables, Mapping) or not all(
        isinstance(one, Mapping) and "value" in one for one in tables.values()
    ):
        raise ValueError("has no outputs in the form of Terraform")
    # Whatever stands for "sensitive" other than false counts as true.
    return {
        str(name): Output(one["value"], one.get("sensitive", False) is not False)
        for name, one in tables.items()
    }
