"""The source `pulumi`: the file of `pulumi stack export`, or of `pulumi stack output --json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from planton_build.deploy.references.answers import Absent, Found, Refused, Wanted
from planton_build.deploy.references.options import Options
from planton_build.deploy.references.outputs import file_of
from planton_build.deploy.references.path import listed, nested, picked
from planton_build.deploy.references.reading import Kept
from planton_build.deploy.references.terraform import taken

_STACK = "pulumi:pulumi:Stack"
_SIGNATURE = "4dabf18193072939515e22adb298388d"
"""The key by which Pulumi marks values of its own kinds (sdk/go/common/resource/sig, `Key`)."""
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105  # Pulumi's mark of a secret, not one
"""The mark of a secret (`Secret` in the same place)."""
_MASKED = "[secret]"
"""What `pulumi stack output --json` prints in place of a secret."""


class Pulumi:
    """Finds values among the outputs of a Pulumi stack."""

    remote = False

    def __init__(self, options: Options) -> None:
        self._options = options
        self._file = options.required("file", '"stack.json"', path=True)
        own = "name" in self._file.placeholders
        self._output = options.required("output", '"{name}_{field}"', "{field}" if own else "{name}_{field}")
        self._sensitive = options.flag("sensitive")
        options.rest()
        options.identify(self._file, self._output)
        self._kept: Kept[Any] = Kept()

    def find(self, wanted: Wanted) -> Found:
        """Return the value of the output that is named for the wanted resource."""
        file, name = self._file.fill(wanted), self._output.fill(wanted)
        content = file_of(self._options, self._kept, file, may_lack=bool(self._file.placeholders))
        try:
            outputs = nested(_outputs(content))
        except ValueError as error:
            raise self._options.failure(
                f"the file {file} {error}", file=self._options.folder / file
            ) from None
        found = picked(outputs, name, exact=True)
        if not found:
            known = listed(outputs)
            raise Absent(f"{file} has no output {name} (it has: {known})")
        at = f"output {name} of {file}"
        if len(found) > 1:
            raise Refused(f"{at} is there in two spellings, with different values")
        value, secret = self._opened(found[0], at)
        return Found(taken(value, wanted, at), at, secret=secret)

    def _opened(self, value: Any, at: str) -> tuple[Any, bool]:
        """Return a value, and whether it is a secret, which must be asked for and be readable."""
        masked = value == _MASKED
        if not masked and not (isinstance(value, Mapping) and value.get(_SIGNATURE) == _SECRET):
            return value, False
        if not self._sensitive:
            raise Refused(f"the {at} is a secret", "set sensitive = true in this source to take it")
        text = None if masked else value.get("plaintext")
        try:
            if isinstance(text, str):
                return json.loads(text), True
        except (ValueError, RecursionError):
            pass
        raise Refused(f"the {at} is an encrypted secret", "write the file with --show-secrets")


def _outputs(content: Any) -> Mapping[str, Any]:
    """Return the outputs of a stack in either form. Raises ValueError."""
    if not isinstance(content, Mapping):
        raise ValueError("holds no outputs of Pulumi")  # noqa: TRY004  # in words that follow its name
    deployment = content.get("deployment")
    if not isinstance(deployment, Mapping) or "version" not in content:
        return content
    resources = deployment.get("resources")
    for one in resources if isinstance(resources, list) else []:
        if isinstance(one, Mapping) and one.get("type") == _STACK:
            outputs = one.get("outputs")
            return outputs if isinstance(outputs, Mapping) else {}
    raise ValueError("holds no stack: `pulumi up` has not run, or it is no `pulumi stack export`")
