"""The values of options: what each kind may hold, in words that complete "the option ...".

Every function takes a value as TOML, a variable or a flag gives it, and raises ValueError with what is wrong.
"""

from __future__ import annotations

import re
from decimal import Decimal

from planton_build.project.selection import check_pattern

_UNITS = {
    "": 1, "B": 1,
    "KB": 10**3, "MB": 10**6, "GB": 10**9,
    "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30,
}  # fmt: skip
_SIZE = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([A-Za-z]*)\s*")
_BUCKET = re.compile(r"[0-9A-Za-z._-]{2,62}[0-9A-Za-z_-]")
"""Lambda's pattern for `S3Bucket`, 3 to 63 characters."""
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,254}")
_SYSTEM_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_:~^=-]{0,127}")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|[A-Za-z0-9-]+(?=:))(?::\d{1,5})?"
_REPOSITORY = re.compile(rf"(?:{_HOST}/)?{_COMPONENT}(?:/{_COMPONENT})*")
"""A repository of images, with or without its registry (distribution's grammar of names)."""
_REPOSITORY_MAX = 300
_ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_SECRET_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_STAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_RUNTIME = re.compile(r"[a-z0-9.]{1,40}")
_HANDLER = re.compile(r"\S{1,128}")
_LEAST_MEMORY = 128 << 20
_MOST_SECONDS = 86_400
_PREFIX_BYTES = 700
"""S3 keys have at most 1,024 bytes; a function's name (64) and a digest (64) must fit behind the prefix."""


SIZE_HINT = 'write bytes, or a number with a unit: 262144000, "200 MB", "250 MiB"'


def size_of(value: object) -> int:
    """Return a size in bytes, from a whole number or from text such as `200 MB` or `200 MiB`."""
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    else:
        match = _SIZE.fullmatch(value) if isinstance(value, str) else None
        factor = _UNITS.get(match[2].upper()) if match else None
        if match is None or factor is None:
            raise ValueError("is not a size")
        size = int(Decimal(match[1]) * factor)
    if size <= 0:
        raise ValueError("must be larger than zero")
    return size


def text_of(value: object) -> str:
    """Return text that is not empty."""
    if not isinstance(value, str):
        raise ValueError("must be a string")  # noqa: TRY004  # pydantic turns ValueErrors into findings
    if not value.strip() or "\0" in value:
        raise ValueError("must not be empty")
    return value


def texts_of(value: object) -> tuple[str, ...]:
    """Return a list of texts as a tuple."""
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError("must be a list of strings")
    if not all(item.strip() for item in value):
        raise ValueError("must not hold an empty string")
    return tuple(value)


def patterns_of(value: object) -> tuple[str, ...]:
    """Return a list of gitignore patterns as a tuple."""
    patterns = texts_of(value)
    for pattern in patterns:
        if (fault := check_pattern(pattern)) is not None:
            raise ValueError(f"holds the pattern {pattern!r}, which {fault}")
    return patterns


def bucket_of(value: object) -> str:
    """Return the name of a bucket."""
    bucket = text_of(value)
    if not _BUCKET.fullmatch(bucket):
        raise ValueError(f"{bucket!r} is not the name of a bucket: 3 to 63 letters, digits, '.', '-' and '_'")
    return bucket


def prefix_of(value: object) -> str:
    """Return a prefix for object keys, without `/` at its ends."""
    if not isinstance(value, str):
        raise ValueError("must be a string")  # noqa: TRY004  # as in `text_of`
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in value):
        raise ValueError("must not hold control characters")
    if len(value.encode()) > _PREFIX_BYTES:
        raise ValueError(f"must not be longer than {_PREFIX_BYTES} bytes")
    return value.strip("/")


def container_of(value: object) -> str:
    """Return one of the container modes."""
    if value not in ("auto", "always", "never"):
        raise ValueError('must be "auto", "always" or "never"')
    return str(value)


def image_of(value: object) -> str:
    """Return an image's name, in which `{runtime}` and `{architecture}` may stand for the target's."""
    name = text_of(value)
    if not _IMAGE.fullmatch(name.replace("{runtime}", "r").replace("{architecture}", "a")):
        raise ValueError(f"{name!r} is not the name of an image, such as registry.example/build-python3.13:1")
    return name


def system_packages_of(value: object) -> tuple[str, ...]:
    """Return names of packages of a Linux distribution, sorted, each once."""
    names = texts_of(value)
    for name in names:
        if not _SYSTEM_PACKAGE.fullmatch(name):
            raise ValueError(f"holds {name!r}, which is not the name of a system package")
    return tuple(sorted(set(names)))


def memory_of(value: object) -> int:
    """Return bytes of memory for a container: at least what an engine takes."""
    size = size_of(value)
    if size < _LEAST_MEMORY:
        raise ValueError("must be at least 128 MiB")
    return size


def seconds_of(value: object) -> int:
    """Return a number of seconds, from a whole number or from digits in a variable."""
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() else value
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number <= _MOST_SECONDS:
        raise ValueError(f"must be a whole number of seconds, at most {_MOST_SECONDS}")
    return number


def reasons_of(value: object) -> dict[str, str]:
    """Return a table from what may pass to why it may."""
    if not isinstance(value, dict) or not all(isinstance(reason, str) for reason in value.values()):
        raise ValueError('must be a table of reasons, such as allow = { "libfoo.so.1" = "in our layer" }')
    for subject, reason in value.items():
        if not str(subject).strip() or not reason.strip():
            raise ValueError(f"gives no reason for {subject!r}")
    return {str(subject).strip(): reason.strip() for subject, reason in value.items()}


def base_image_of(value: object) -> str:
    """Return an image to build on: a name as in `image_of`, `oci:FOLDER` or `docker-archive:FILE`."""
    text = text_of(value)
    return text if text.startswith(("oci:", "docker-archive:")) else image_of(text)


def repository_of(value: object) -> str:
    """Return a repository of images, with or without its registry; `{function}` stands for the name."""
    repository = text_of(value).removesuffix("/")
    if len(repository) > _REPOSITORY_MAX or not _REPOSITORY.fullmatch(repository.replace("{function}", "f")):
        raise ValueError(
            f"{repository!r} is not the name of a repository, such as acme/{{function}} or "
            "registry.example/acme/orders; it has no tag"
        )
    return repository


def compression_of(value: object) -> str:
    """Return one of the ways to compress the layers of an image."""
    if value not in ("gzip", "spliced"):
        raise ValueError('must be "gzip" or "spliced"')
    return str(value)


def stage_of(value: object) -> str:
    """Return the name of a stage of a Dockerfile."""
    return _matching(value, _STAGE, "is not the name of a stage")


def runtime_of(value: object) -> str:
    """Return the name of a runtime; whether there is such a one is asked later."""
    return _matching(value, _RUNTIME, "is not the name of a runtime")


def handler_of(value: object) -> str:
    """Return a handler."""
    return _matching(value, _HANDLER, "is not a handler: at most 128 characters without spaces")


def arguments_of(value: object) -> dict[str, str]:
    """Return the build arguments of a Dockerfile."""
    return _table_of(value, _ARGUMENT, 'must be a table of texts, such as docker-args = { VERSION = "7.1" }')


def secrets_of(value: object) -> dict[str, str]:
    """Return the secrets of a Dockerfile: the path of a file for each name."""
    return _table_of(
        value, _SECRET_ID, 'must be a table of files, such as docker-secrets = { netrc = ".netrc" }'
    )


def _matching(value: object, pattern: re.Pattern[str], fault: str) -> str:
    text = text_of(value)
    if not pattern.fullmatch(text):
        raise ValueError(f"{text!r} {fault}")
    return text


def _table_of(value: object, keys: re.Pattern[str], fault: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise ValueError(fault)
    for key, item in value.items():
        if not keys.fullmatch(str(key)) or "\0" in item:
            raise ValueError(f"holds {key!r}, which cannot be a name there")
    return {str(key): item for key, item in value.items()}
