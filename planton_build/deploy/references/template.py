"""Names with placeholders: `/infra/{env}/{kind}/{name}/{field}`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from planton_build.deploy.references.answers import Absent, Refused, Wanted
from planton_build.manifest.nodes import short

PLACEHOLDERS = ("kind", "name", "env", "field", "Field")
"""What may stand in braces. `field` is the output's name, `Field` the same in PascalCase."""
MAX_TEMPLATE = 1024
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_PATH_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=@-]{0,127}")
"""What may become a part of a file's path or an S3 key: it cannot lead elsewhere."""


@dataclass(frozen=True, slots=True)
class Template:
    """A checked text with placeholders. In a `path`, values can name files but no other folder."""

    text: str
    path: bool = False

    @property
    def placeholders(self) -> frozenset[str]:
        """Return the placeholders that are there."""
        return frozenset(_PLACEHOLDER.findall(self.text))

    def fill(self, wanted: Wanted) -> str:
        """Return the text for one question.

        Raises Absent when a placeholder has no value, Refused when its value cannot be a part of a path.
        """
        values = {
            "kind": wanted.kind,
            "name": wanted.name,
            "env": wanted.env,
            "field": wanted.path.output,
            "Field": _pascal(wanted.path.output),
        }
        for name in sorted(self.placeholders):
            if not values[name]:
                raise Absent(
                    _NO_VALUE.get(name, f"{wanted.path.text} is no output, and only outputs are there")
                )
            if self.path and not _PATH_PART.fullmatch(values[name]):
                raise Refused(f"{{{name}}} is {short(values[name])!r}, which cannot be a part of a path")
        return _PLACEHOLDER.sub(lambda match: values[match[1]], self.text)


_NO_VALUE = {
    "env": "no environment is known for {env}: neither the reference nor the manifest's metadata has one"
}


def parse_template(text: str, *, path: bool = False) -> Template:
    """Check a text with placeholders. Raises ValueError with what is wrong, in words after "the option"."""
    if not text.strip() or len(text) > MAX_TEMPLATE or not text.isprintable():
        raise ValueError(f"must be text of at most {MAX_TEMPLATE} characters in one line")
    for name in _PLACEHOLDER.findall(text):
        if name not in PLACEHOLDERS:
            known = ", ".join(f"{{{one}}}" for one in PLACEHOLDERS)
            raise ValueError(f"has {{{short(name)}}}; what may stand in braces is {known}")
    if set(_PLACEHOLDER.sub("", text)) & {"{", "}"}:
        raise ValueError("has a brace without its other half")
    return Template(text, path)


def _pascal(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))
