"""The options of one source, read strictly: every mistake with the place of its table."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

from planton_build.deploy.references.template import Template, parse_template
from planton_build.errors import ConfigInvalid, Finding
from planton_build.settings.model import ReferenceSource

_ORIGIN = re.compile(r"(?P<file>.+?)(?::(?P<line>\d+))?(?::\d+)?")
_REGION = re.compile(r"[a-z]{2,5}(?:-[a-z]+){1,3}-\d{1,2}")
_FOLDER = "folder"
"""The folder of the configuration file, which `settings` puts beside the options."""


class Options:
    """Takes the options of a source. What is wrong is kept in `findings`, and something valid returned."""

    def __init__(self, source: ReferenceSource) -> None:
        self.source = source
        self.findings: list[Finding] = []
        self._values = {str(key).replace("_", "-"): value for key, value in source.options.items()}
        self._known: list[str] = []
        folder = self._values.pop(_FOLDER, None)
        match = _ORIGIN.fullmatch(source.origin)
        file = Path(match["file"]) if match else None
        self.folder = Path(folder) if folder is not None else file.parent if file else Path()
        self.file = file if file is None or folder is None or file.parent != Path() else self.folder / file
        self._line = int(match["line"]) if match and match["line"] else None

    @property
    def title(self) -> str:
        """Return the source for people: `ssm (planton.toml:12)`."""
        if self.file is None:
            return self.source.type
        line = "" if self._line is None else f":{self._line}"
        return f"{self.source.type} ({self.file.name}{line})"

    def fault(self, message: str, hint: str | None = None) -> None:
        """Remember a mistake."""
        text = f"the source of references `{self.source.type}`: {message}"
        self.findings.append(Finding(ConfigInvalid.code, text, self.file, self._line, None, hint))

    def failure(self, message: str, *, file: Path | None = None, hint: str | None = None) -> ConfigInvalid:
        """Return the error of a source that turns out to be wrong when it is read."""
        text = f"the source of references `{self.source.type}`: {message}"
        at = (file, None) if file is not None else (self.file, self._line)
        return ConfigInvalid(text, hint=hint, file=at[0], line=at[1])

    def template(self, name: str, default: str | None = None, *, path: bool = False) -> Template | None:
        """Take a text with placeholders; None when it is not there and there is no default."""
        value = self._take(name, default)
        if value is None:
            return None
        try:
            if not isinstance(value, str):
                raise ValueError("must be text")  # noqa: TRY004  # one way for all that is wrong
            return parse_template(value, path=path)
        except ValueError as error:
            self.fault(f"the option {name} {error}")
            return None

    def required(
        self, name: str, example: str, default: str | None = None, *, path: bool = False
    ) -> Template:
        """Take a text with placeholders that must be there."""
        before = len(self.findings)
        found = self.template(name, default, path=path)
        if found is None and len(self.findings) == before:
            self.fault(f"the option {name} is missing", f"write it, for example {name} = {example}")
        return found or Template("missing", path)

    def flag(self, name: str) -> bool:
        """Take true or false; false when it is not there."""
        value = self._take(name, default=False)
        if not isinstance(value, bool):
            self.fault(f"the option {name} must be true or false")
        return value is True

    def texts(self, name: str) -> tuple[str, ...] | None:
        """Take a list of texts, or one text; None when it is not there."""
        value = self._take(name, None)
        if value is None:
            return None
        items = [value] if isinstance(value, str) else value
        good = isinstance(items, list | tuple) and all(_is_text(item) for item in items)
        if not good or not items:
            self.fault(f'the option {name} must be a list of texts, such as {name} = ["infra/**/*.yaml"]')
            return ()
        return tuple(items)

    def region(self) -> str:
        """Take `region`, "" when it is not there."""
        value = self._take("region", "")
        if value == "" or (isinstance(value, str) and _REGION.fullmatch(value)):
            return str(value)
        self.fault("the option region must be the name of a region, such as eu-west-1")
        return ""

    def identify(self, *templates: Template | None) -> None:
        """See to it that one source cannot give the same value to resources of all names and kinds."""
        named = any(one is not None and "name" in one.placeholders for one in templates)
        if not named and not self.source.kinds and not self.findings:
            self.fault(
                "no option has {name}, so every resource would get the same value",
                'write {name} where the resource\'s name belongs, or limit the source: kinds = ["AwsVpc"]',
            )

    def rest(self) -> None:
        """Remember every option that was not taken as unknown."""
        for name in sorted(self._values.keys() - set(self._known)):
            close = difflib.get_close_matches(name, self._known, n=1)
            hint = f"did you mean `{close[0]}`?" if close else f"known options: {', '.join(self._known)}"
            self.fault(f"{name!r} is not an option of it", hint)

    def _take(self, name: str, default: Any) -> Any:
        self._known.append(name)
        return self._values.get(name, default)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "\0" not in value
