"""The proof must fail for every difference outside the code source, and for every wrong code source."""

from __future__ import annotations

from pathlib import Path

import pytest

from planton_build.manifest.code_source import CodeSource, ImageSource, S3Source
from planton_build.manifest.nodes import Document, compose
from planton_build.manifest.proof import holds, only_code_source_differs

BEFORE = """\
metadata: {name: &n x, labels: {a: '1'}}
spec:
  handler: *n
  subnets: [{value: a}, {value: b}]
  memoryMb: 3
  codeSourceType: 2
  imageUri: u
  s3: {bucket: b, key: k, <<: {key: m}}
---
spec: {imageUri: other}
"""


def documents(text: str) -> list[Document]:
    return compose(text, Path("m.yaml"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("imageUri: u", "imageUri: v"),
        ("imageUri: u", "image_uri: 'u'"),
        ("codeSourceType: 2", "codeSourceType: CODE_SOURCE_TYPE_S3"),
        ("  imageUri: u\n", ""),
        ("bucket: b, key: k", "bucket: c, key: l, objectVersion: v"),
        ("memoryMb: 3", "memoryMb: 3 # comment"),
        ("handler: *n", "handler:   *n"),
    ],
)
def test_a_difference_in_the_code_source_is_allowed(old: str, new: str) -> None:
    assert old in BEFORE
    assert only_code_source_differs(documents(BEFORE), documents(BEFORE.replace(old, new, 1)), 0)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("memoryMb: 3", "memoryMb: 4", id="a value"),
        pytest.param("memoryMb: 3", "memoryMb: '3'", id="a type"),
        pytest.param("memoryMb: 3", "memory_mb: 3", id="a key"),
        pytest.param("  memoryMb: 3\n", "", id="an entry less"),
        pytest.param("  memoryMb: 3\n", "  memoryMb: 3\n  runtime: r\n", id="an entry more"),
        pytest.param("handler: *n", "handler: x", id="an alias becomes a copy"),
        pytest.param("a: '1'", "a: *n", id="one more alias"),
        pytest.param("{value: a}, {value: b}", "{value: b}, {value: a}", id="the order of a list"),
        pytest.param("{value: a}, ", "", id="an item less"),
        pytest.param("a: '1'", "a: [1]", id="the form of a value"),
        pytest.param("<<: {key: m}", "<<: {key: n}", id="what is merged into s3"),
        pytest.param("imageUri: other", "imageUri: mine", id="the code source of another document"),
        pytest.param("---\nspec: {imageUri: other}\n", "", id="a document less"),
        pytest.param("---\n", "...\n---\n", id="a document's end mark"),
    ],
)
def test_any_other_difference_is_found(old: str, new: str) -> None:
    assert old in BEFORE
    assert not only_code_source_differs(documents(BEFORE), documents(BEFORE.replace(old, new, 1)), 0)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            "status: &s {imageUri: a}\nspec: *s\n", "status: &s {imageUri: b}\nspec: *s\n", id="a shared spec"
        ),
        pytest.param(
            "status: &s {key: a}\nspec: {s3: *s}\n", "status: &s {key: b}\nspec: {s3: *s}\n", id="a shared s3"
        ),
        pytest.param(
            "status: &s a\nspec: {imageUri: *s}\n",
            "status: &s b\nspec: {imageUri: *s}\n",
            id="a shared value",
        ),
    ],
)
def test_a_shared_code_source_is_not_exempt(before: str, after: str) -> None:
    assert not only_code_source_differs(documents(before), documents(after), 0)


S3 = S3Source("b", "k", "v")
IMAGE = ImageSource("u")


@pytest.mark.parametrize(
    ("spec", "source", "answer"),
    [
        ("{codeSourceType: CODE_SOURCE_TYPE_S3, s3: {bucket: b, key: k, objectVersion: v}}", S3, True),
        ("{code_source_type: 1, s3: {bucket: b, key: k, object_version: v}, image_uri: ''}", S3, True),
        ("{codeSourceType: 1, s3: {bucket: b, key: k, objectVersion: v}, imageUri: u}", S3, False),
        ("{codeSourceType: 2, s3: {bucket: b, key: k, objectVersion: v}}", S3, False),
        ("{s3: {bucket: b, key: k, objectVersion: v}}", S3, False),
        ("{codeSourceType: 1, s3: {bucket: c, key: k, objectVersion: v}}", S3, False),
        ("{codeSourceType: 1, s3: {bucket: b, key: c, objectVersion: v}}", S3, False),
        ("{codeSourceType: 1, s3: {bucket: b, key: k}}", S3, False),
        ("{codeSourceType: 1, s3: {bucket: b, key: k, objectVersion: v}}", S3Source("b", "k"), False),
        ("{codeSourceType: 1, s3: {bucket: b, key: k, objectVersion: }}", S3Source("b", "k"), True),
        ("{codeSourceType: 1, s3: {bucket: b, key: 1}}", S3Source("b", "1"), False),
        ("{codeSourceType: 1, s3: }", S3, False),
        ("{codeSourceType: 2, imageUri: u}", IMAGE, True),
        ("{codeSourceType: 2, imageUri: u, s3: }", IMAGE, True),
        ("{codeSourceType: 2, imageUri: u, s3: {}}", IMAGE, False),
        ("{codeSourceType: 1, imageUri: u}", IMAGE, False),
        ("{codeSourceType: 2, imageUri: v}", IMAGE, False),
        ("{codeSourceType: 2}", IMAGE, False),
    ],
)
def test_the_code_source_must_be_the_wanted_one(spec: str, source: CodeSource, answer: bool) -> None:
    assert holds(documents(f"spec: {spec}\n")[0], source) is answer
