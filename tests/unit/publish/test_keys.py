from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planton_build.errors import ConfigInvalid
from planton_build.publish.keys import MAX_KEY_BYTES, digest_in_key, object_key

DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("prefix", "key"),
    [
        ("", f"render/{DIGEST}.zip"),
        ("/", f"render/{DIGEST}.zip"),
        ("team", f"team/render/{DIGEST}.zip"),
        ("/team//lambda/", f"team/lambda/render/{DIGEST}.zip"),
    ],
    ids=["empty", "slash", "plain", "slashes"],
)
def test_the_prefix_is_normalised(prefix: str, key: str) -> None:
    assert object_key(prefix, "render", DIGEST) == key


@pytest.mark.parametrize("prefix", ["a/../b", ".", "a\nb", "a\x00"])
def test_a_prefix_that_clients_rewrite_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigInvalid):
        object_key(prefix, "render", DIGEST)


def test_a_key_may_be_as_long_as_s3_takes_and_no_longer() -> None:
    room = MAX_KEY_BYTES - len(f"/render/{DIGEST}.zip")
    assert len(object_key("p" * room, "render", DIGEST)) == MAX_KEY_BYTES
    with pytest.raises(ConfigInvalid, match="would have 1025 bytes"):
        object_key("p" * (room + 1), "render", DIGEST)


@settings(deadline=None)
@given(st.from_regex(r"[\w/-]{0,40}", fullmatch=True), st.binary(min_size=32, max_size=32))
def test_every_key_tells_its_digest(prefix: str, digest: bytes) -> None:
    assert digest_in_key(object_key(prefix, "render", digest.hex())) == digest.hex()


@pytest.mark.parametrize(
    "key",
    [
        "app.zip",
        f"{DIGEST}",
        f"{DIGEST}.zip.bak",
        f"x{DIGEST}.zip",
        f"sha256-{DIGEST}.zip",
        f"{DIGEST.upper()}.zip",
    ],
)
def test_other_keys_tell_none(key: str) -> None:
    assert digest_in_key(key) is None
