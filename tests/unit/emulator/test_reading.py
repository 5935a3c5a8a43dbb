from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planton_build.emulator.model import Found, api
from planton_build.emulator.reading import read_request
from planton_build.emulator.refusal import Refusal

LAMBDA = api("lambda")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


def read(operation: str, body: object = b"", **other: Any) -> dict[str, Any]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    found = Found(operation, other.get("labels", {}))
    return read_request(
        LAMBDA.operation(operation), found, other.get("headers", {}), other.get("query", ""), content
    )


def test_members_come_from_path_query_headers_and_body() -> None:
    document = read(
        "Invoke",
        b"\x00not json",
        labels={"FunctionName": "f"},
        query="Qualifier=live",
        headers={"x-amz-invocation-type": "Event"},
    )
    assert document == {
        "FunctionName": "f",
        "Qualifier": "live",
        "InvocationType": "Event",
        "Payload": b"\x00not json",
    }


def test_blobs_are_decoded_and_numbers_and_booleans_of_the_query_read() -> None:
    zipped = base64.b64encode(b"PK").decode()
    document = read("CreateFunction", {"Code": {"ZipFile": zipped}, "Timeout": 3, "Unknown": 1, "Role": None})
    assert document == {"Code": {"ZipFile": b"PK"}, "Timeout": 3}
    assert read("ListFunctions", query="MaxItems=7&Marker=") == {"MaxItems": 7, "Marker": ""}
    assert read("UntagResource", query="tagKeys=a&tagKeys=b")["TagKeys"] == ["a", "b"]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        {"Timeout": "3"},
        {"Timeout": True},
        {"Publish": 1},
        {"Code": []},
        {"Code": {"ZipFile": "%%"}},
        {"Layers": {}},
        {"Layers": [1]},
        {"Environment": {"Variables": {"AB": 1}}},
    ],
    ids=lambda body: str(body)[:30],
)
def test_what_has_another_type_is_refused(body: object) -> None:
    with pytest.raises(Refusal) as caught:
        read("CreateFunction", body)
    assert (caught.value.code, caught.value.status) == ("SerializationException", 400)


def test_a_number_of_the_query_that_is_none_is_refused() -> None:
    with pytest.raises(Refusal):
        read("ListFunctions", query="MaxItems=many")


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["Code", "Layers", "Environment", "Timeout", "Tags", "VpcConfig"]), JSON)
)
def test_no_body_breaks_the_reading(body: dict[str, Any]) -> None:
    try:
        document = read("CreateFunction", body)
    except Refusal as refusal:
        assert refusal.status == 400
    else:
        assert document.keys() <= body.keys()
