"""The source `cloudformation`: outputs of a stack, or exports of a region."""

from __future__ import annotations

from typing import Any

from planton_build.deploy.references.answers import Absent, Found, Wanted
from planton_build.deploy.references.cloud import Cloud, Place
from planton_build.deploy.references.options import Options
from planton_build.deploy.references.path import listed
from planton_build.deploy.references.reading import Kept
from planton_build.deploy.references.terraform import taken
from planton_build.errors import ReferenceUnresolved
from planton_build.publish.aws_errors import error_code, error_text, explained

_MISSING = "does not exist"
"""How CloudFormation words an unknown stack; the code is ValidationError, as for much else."""


class CloudFormation:
    """Finds values in stacks: `stack` and `output`, or `export`."""

    remote = True

    def __init__(self, options: Options, cloud: Cloud) -> None:
        self._cloud = cloud
        self._stack = options.template("stack")
        self._export = options.template("export")
        own = self._stack is not None and "name" in self._stack.placeholders
        self._output = options.template("output", "{Field}" if own else None)
        self._region = options.region()
        options.rest()
        if (self._stack is None) == (self._export is None) and not options.findings:
            options.fault(
                "it needs either `stack` or `export`", 'write it, for example export = "{env}-{name}"'
            )
        elif self._stack is not None and self._output is None and not options.findings:
            options.fault("the option output is missing", 'write it, for example output = "{Field}"')
        elif self._export is not None and self._output is not None:
            options.fault("the option output goes with `stack`, not with `export`")
        options.identify(self._stack, self._export, self._output)
        self._stacks: Kept[dict[str, str] | None] = Kept()
        self._exports: Kept[dict[str, str]] = Kept()

    def find(self, wanted: Wanted) -> Found:
        """Return the value of the output or export that is named for the wanted resource."""
        if self._export is not None:
            name = self._export.fill(wanted)
            place = self._cloud.at(wanted, self._region)
            exports = self._exports.get(place.region, lambda: _read_exports(place))
            at = f"export {name} of CloudFormation ({place.region})"
            if name not in exports:
                raise Absent(f"CloudFormation has no export {name} in {place.region}")
            return Found(taken(exports[name], wanted, at), at)
        assert self._stack is not None and self._output is not None  # noqa: S101  # checked when made
        stack, name = self._stack.fill(wanted), self._output.fill(wanted)
        place = self._cloud.at(wanted, self._region)
        outputs = self._stacks.get((stack, place.region), lambda: _read_stack(place, stack))
        if outputs is None:
            raise Absent(f"there is no stack {stack} in {place.region}")
        if name not in outputs:
            known = listed(outputs)
            raise Absent(f"the stack {stack} in {place.region} has no output {name} (it has: {known})")
        at = f"output {name} of the stack {stack} ({place.region})"
        return Found(taken(outputs[name], wanted, at), at)


def _read_stack(place: Place, stack: str) -> dict[str, str] | None:
    """Return the outputs of a stack, None when there is no such stack."""
    from botocore.exceptions import ClientError

    doing = f"reading the stack {stack} in {place.region}"
    with explained(doing, otherwise=ReferenceUnresolved, resource=stack):
        try:
            answer = place.aws.client("cloudformation", place.region).describe_stacks(StackName=stack)
        except ClientError as error:
            if error_code(error) == "ValidationError" and _MISSING in error_text(error):
                return None
            raise
    stacks = answer.get("Stacks") or [{}]
    return _table(stacks[0].get("Outputs"), "OutputKey", "OutputValue")


def _read_exports(place: Place) -> dict[str, str]:
    found: dict[str, str] = {}
    doing = f"reading CloudFormation's exports in {place.region}"
    with explained(doing, otherwise=ReferenceUnresolved):
        for page in place.aws.client("cloudformation", place.region).get_paginator("list_exports").paginate():
            found |= _table(page.get("Exports"), "Name", "Value")
    return found


def _table(rows: Any, key: str, value: str) -> dict[str, str]:
    return {str(row[key]): str(row[value]) for row in rows or [] if key in row and value in row}
