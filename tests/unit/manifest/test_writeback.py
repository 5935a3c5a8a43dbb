"""Exact texts before and after, for the shapes of YAML that people write; then the file operations around."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from planton_build.errors import (
    ManifestChanged,
    ManifestNotWritable,
    NotDeployable,
    PlantonError,
    WriteBackRefused,
)
from planton_build.manifest import writeback
from planton_build.manifest.code_source import CodeSource, ImageSource, S3Source
from planton_build.manifest.document import Manifest
from planton_build.manifest.load import read_manifests, require_deployable
from planton_build.manifest.model import AwsLambda
from planton_build.manifest.references import Dialect
from planton_build.manifest.writeback import edited, write_back

FILE = Path("lambda.yaml")
S3 = S3Source("artifacts", "fn/sha256-2f1c.zip", "v9")
UNVERSIONED = S3Source("artifacts", "fn/sha256-2f1c.zip")
IMAGE = ImageSource("123456789012.dkr.ecr.eu-west-1.amazonaws.com/fn@sha256:2f10")


def edit(text: str, source: CodeSource, index: int = 0) -> str:
    return edited(text, index, source, FILE)


FULL = """\
# The invoice renderer.
apiVersion: aws.project-planton.org/v1
kind: AwsLambda
metadata:
  name: invoice-render
spec:
  functionName: invoice-render        # keep equal to metadata.name
  roleArn:
    value: arn:aws:iam::123456789012:role/invoice
  codeSourceType: CODE_SOURCE_TYPE_S3
  runtime: python3.12
  handler: invoices.app.handler
  s3:
    bucket: old-bucket      # where artifacts are
    key: invoice-render/old.zip
    objectVersion: v1       # pinned
  environment:
    FEATURE_X: "true"
"""

BLOCK = [
    pytest.param(
        FULL,
        S3,
        FULL.replace("old-bucket ", "artifacts ")
        .replace("invoice-render/old.zip", "fn/sha256-2f1c.zip")
        .replace("objectVersion: v1 ", "objectVersion: v9 "),
        id="all fields are there: three scalars change",
    ),
    pytest.param(
        FULL,
        UNVERSIONED,
        FULL.replace("old-bucket ", "artifacts ")
        .replace("invoice-render/old.zip", "fn/sha256-2f1c.zip")
        .replace("objectVersion: v1 ", 'objectVersion: "" '),
        id="an old object version is emptied in place",
    ),
    pytest.param(
        FULL,
        IMAGE,
        FULL.replace(
            "CODE_SOURCE_TYPE_S3\n", f"CODE_SOURCE_TYPE_IMAGE\n  imageUri: {IMAGE.image_uri}\n"
        ).replace(
            """\
  s3:
    bucket: old-bucket      # where artifacts are
    key: invoice-render/old.zip
    objectVersion: v1       # pinned
""",
            "",
        ),
        id="to an image: the lines of s3 go",
    ),
    pytest.param(
        "spec:\n  handler: h  # of the module\n  runtime: r\n\n  # sizes\n  memoryMb: 3\n",
        UNVERSIONED,
        "spec:\n  handler: h  # of the module\n  runtime: r\n  codeSourceType: CODE_SOURCE_TYPE_S3\n  s3:\n"
        "    bucket: artifacts\n    key: fn/sha256-2f1c.zip\n\n  # sizes\n  memoryMb: 3\n",
        id="nothing is there: inserted behind runtime and handler, before the blank line",
    ),
    pytest.param(
        "spec:\n    role_arn:\n       value: a\n    region: x",
        S3,
        "spec:\n    role_arn:\n       value: a\n    region: x\n    code_source_type: CODE_SOURCE_TYPE_S3\n"
        "    s3:\n       bucket: artifacts\n       key: fn/sha256-2f1c.zip\n       object_version: v9",
        id="snake_case, steps of the nested mapping, no final newline",
    ),
    pytest.param(
        "spec:\r\n  handler: h # 1\r\n# end\r\n",
        IMAGE,
        "spec:\r\n  handler: h # 1\r\n  codeSourceType: CODE_SOURCE_TYPE_IMAGE\r\n"
        f"  imageUri: {IMAGE.image_uri}\r\n# end\r\n",
        id="CRLF, comment at column 0 behind the last entry",
    ),
    pytest.param(
        "spec:\n  handler: h\n  s3:\n    bucket: b # B\n",
        S3,
        "spec:\n  handler: h\n  codeSourceType: CODE_SOURCE_TYPE_S3\n  s3:\n    bucket: artifacts # B\n"
        "    key: fn/sha256-2f1c.zip\n    objectVersion: v9\n",
        id="half an s3 is completed",
    ),
    pytest.param(
        "spec:\n  codeSourceType: 1\n  s3:  # set by the build\n    # bucket and key\n  handler: h\n",
        UNVERSIONED,
        "spec:\n  codeSourceType: 1\n  s3:  # set by the build\n    bucket: artifacts\n"
        "    key: fn/sha256-2f1c.zip\n    # bucket and key\n  handler: h\n",
        id="s3 without a value; the type as a number stays",
    ),
    pytest.param(
        "spec:\n  codeSourceType: 1\n  s3: ~  # none\n",
        UNVERSIONED,
        "spec:\n  codeSourceType: 1\n  s3:  # none\n    bucket: artifacts\n    key: fn/sha256-2f1c.zip\n",
        id="s3 is a written null",
    ),
    pytest.param(
        "spec:\n  codeSourceType: 1\n  s3: {}  # none\n",
        UNVERSIONED,
        "spec:\n  codeSourceType: 1\n  s3: {bucket: artifacts, key: fn/sha256-2f1c.zip}  # none\n",
        id="s3 is an empty flow mapping",
    ),
    pytest.param(
        "spec:\n  codeSourceType: 1\n  s3: &place\n",
        UNVERSIONED,
        "spec:\n  codeSourceType: 1\n  s3: &place {bucket: artifacts, key: fn/sha256-2f1c.zip}\n",
        id="s3 is an anchor without a value",
    ),
    pytest.param(
        "spec:\n  codeSourceType: 1\n  s3:\n    bucket: b\n    key: k\n    objectVersion:   # none yet\n",
        S3,
        "spec:\n  codeSourceType: 1\n  s3:\n    bucket: artifacts\n    key: fn/sha256-2f1c.zip\n"
        "    objectVersion: v9   # none yet\n",
        id="an empty value is filled before its comment",
    ),
    pytest.param(
        "spec:\n  codeSourceType: 1\n  imageUri: x  # was\n  handler: h\n",
        UNVERSIONED,
        "spec:\n  codeSourceType: 1\n  s3:\n    bucket: artifacts\n    key: fn/sha256-2f1c.zip\n"
        "  handler: h\n",
        id="an image goes with its line",
    ),
    pytest.param(
        "spec:\n  codeSourceType: 2\n  # where the code is\n  imageUri: >-\n    x\n    # a line of it\n"
        "      # nested, behind\n\n  # outer\n  handler: h\n",
        UNVERSIONED,
        "spec:\n  codeSourceType: CODE_SOURCE_TYPE_S3\n  s3:\n    bucket: artifacts\n"
        "    key: fn/sha256-2f1c.zip\n  # where the code is\n\n  # outer\n  handler: h\n",
        id="an image of several lines goes with all of them",
    ),
    pytest.param(
        "spec:\n  codeSourceType: 2\n  description: |\n    text\n  imageUri: x\n"
        "      # nested\n\n   # deeper\n",
        UNVERSIONED,
        "spec:\n  codeSourceType: CODE_SOURCE_TYPE_S3\n  s3:\n    bucket: artifacts\n"
        "    key: fn/sha256-2f1c.zip\n  description: |\n    text\n  # nested\n\n  # deeper\n",
        id="a comment nested behind an image does not become a line of the text before",
    ),
    pytest.param(
        "base: &b\n  imageUri: y\nspec:\n  <<: *b\n  codeSourceType: 2\n  imageUri: x # was\n",
        UNVERSIONED,
        "base: &b\n  imageUri: y\nspec:\n  <<: *b\n  codeSourceType: CODE_SOURCE_TYPE_S3\n  s3:\n"
        '    bucket: artifacts\n    key: fn/sha256-2f1c.zip\n  imageUri: "" # was\n',
        id="an image before a merged one is emptied in place",
    ),
    pytest.param(
        "spec:\n  codeSourceType: 2\n  # where the code is\n  s3:  # here\n    bucket: b\n    # between\n"
        "    key: k\n    # inner\n\n  # outer\n  handler: h\n",
        IMAGE,
        f"spec:\n  codeSourceType: 2\n  imageUri: {IMAGE.image_uri}\n  # where the code is\n  # between\n"
        "  # inner\n\n  # outer\n  handler: h\n",
        id="comments on lines of their own stay when s3 goes",
    ),
    pytest.param(
        "spec:\n  handler: h\n  s3:\n    bucket: b",
        IMAGE,
        f"spec:\n  handler: h\n  codeSourceType: CODE_SOURCE_TYPE_IMAGE\n  imageUri: {IMAGE.image_uri}\n",
        id="s3 is removed at the end of a file without final newline",
    ),
    pytest.param(
        "spec:\n  codeSourceType: 2\n  imageUri: >-  # folded\n    123.dkr/\n    x  \n\n  # next\n"
        "  handler: h\n",
        IMAGE,
        f"spec:\n  codeSourceType: 2\n  imageUri: {IMAGE.image_uri}  # folded\n\n  # next\n  handler: h\n",
        id="a folded scalar becomes a plain one and keeps its comment",
    ),
    pytest.param(
        "spec:\n  codeSourceType: 2\n  imageUri: |+\n\n   123.dkr\n\n",
        IMAGE,
        f"spec:\n  codeSourceType: 2\n  imageUri: {IMAGE.image_uri}\n\n",
        id="a literal scalar that keeps its line ends",
    ),
    pytest.param(
        "spec:\n  codeSourceType: 2\n  imageUri:\n    'a\n    b' # two lines\n",
        IMAGE,
        f"spec:\n  codeSourceType: 2\n  imageUri:\n    '{IMAGE.image_uri}' # two lines\n",
        id="a quoted scalar of two lines on a line of its own",
    ),
    pytest.param(
        "spec:\n  codeSourceType: 2\n  imageUri: a\n   b\n  handler: h\n",
        IMAGE,
        f"spec:\n  codeSourceType: 2\n  imageUri: {IMAGE.image_uri}\n  handler: h\n",
        id="a plain scalar of two lines",
    ),
    pytest.param(
        "spec:\n  'codeSourceType': \"CODE_SOURCE_TYPE_S3\"\n  \"s3\":\n    'bucket': 'b'\n    'key': 'k'\n",
        S3,
        "spec:\n  'codeSourceType': \"CODE_SOURCE_TYPE_S3\"\n  \"s3\":\n    'bucket': 'artifacts'\n"
        "    'key': 'fn/sha256-2f1c.zip'\n    'objectVersion': 'v9'\n",
        id="quoted keys and values; inserted ones follow",
    ),
    pytest.param(
        "spec:\n  description: |+\n    text\n\n  runtime: r\n",
        IMAGE,
        "spec:\n  description: |+\n    text\n\n  runtime: r\n  codeSourceType: CODE_SOURCE_TYPE_IMAGE\n"
        f"  imageUri: {IMAGE.image_uri}\n",
        id="behind a block scalar",
    ),
    pytest.param(
        "spec:\n  memoryMb: 3\n  description: |\n    cut off",
        IMAGE,
        "spec:\n  memoryMb: 3\n  codeSourceType: CODE_SOURCE_TYPE_IMAGE\n"
        f"  imageUri: {IMAGE.image_uri}\n  description: |\n    cut off",
        id="not behind a block scalar that the end of the file cuts off",
    ),
    pytest.param(
        "spec:\n  description: |\n    cut off",
        IMAGE,
        f"spec:\n  codeSourceType: CODE_SOURCE_TYPE_IMAGE\n  imageUri: {IMAGE.image_uri}\n  description: |\n"
        "    cut off",
        id="before a block scalar that the end of the file cuts off",
    ),
    pytest.param(
        "? spec\n: ? handler\n  : h\n  ? imageUri\n  ? codeSourceType # t\n  : 2 # two\n",
        IMAGE,
        f"? spec\n: ? handler\n  : h\n  ? imageUri\n  : {IMAGE.image_uri}\n"
        "  ? codeSourceType # t\n  : 2 # two\n",
        id="explicit keys",
    ),
    pytest.param(
        "spec:\n  codeSourceType: &type CODE_SOURCE_TYPE_S3\n  imageUri: &uri !!str old # u\n",
        IMAGE,
        "spec:\n  codeSourceType: &type CODE_SOURCE_TYPE_IMAGE\n"
        f"  imageUri: &uri !!str {IMAGE.image_uri} # u\n",
        id="anchors that nobody uses, and a string's tag, stay",
    ),
    pytest.param(
        "spec:\n  environment: &e\n    A: &a x\n    B: *a\n  handler: *a # h\n  subnets:\n  - value: *a\n",
        IMAGE,
        "spec:\n  environment: &e\n    A: &a x\n    B: *a\n  handler: *a # h\n"
        f"  codeSourceType: CODE_SOURCE_TYPE_IMAGE\n  imageUri: {IMAGE.image_uri}\n"
        "  subnets:\n  - value: *a\n",
        id="anchors and aliases elsewhere",
    ),
    pytest.param(
        "spec:\n  subnets:\n  - value: x\n  - # empty\n  # end\n",
        IMAGE,
        "spec:\n  subnets:\n  - value: x\n  - # empty\n  codeSourceType: CODE_SOURCE_TYPE_IMAGE\n"
        f"  imageUri: {IMAGE.image_uri}\n  # end\n",
        id="behind a list that is not indented and ends in nothing",
    ),
    pytest.param(
        "spec:\n  description: Zürich \U0001f600 # \U0001f600\ttab\n"
        "  s3: {bucket: \U0001f600, key: 'é'} # é\n",
        S3,
        "spec:\n  description: Zürich \U0001f600 # \U0001f600\ttab\n"
        "  s3: {bucket: artifacts, key: 'fn/sha256-2f1c.zip', objectVersion: v9} # é\n"
        "  codeSourceType: CODE_SOURCE_TYPE_S3\n",
        id="characters outside ASCII and outside the BMP",
    ),
    pytest.param(
        "\ufeffspec:\n  codeSourceType: 2\n  imageUri: x\n",
        IMAGE,
        f"\ufeffspec:\n  codeSourceType: 2\n  imageUri: {IMAGE.image_uri}\n",
        id="byte order mark",
    ),
    pytest.param(
        "%YAML 1.1\n--- # one\nspec:\n  codeSourceType: 2\n  imageUri: x\n... # end\n# after\n",
        IMAGE,
        f"%YAML 1.1\n--- # one\nspec:\n  codeSourceType: 2\n  imageUri: {IMAGE.image_uri}\n"
        "... # end\n# after\n",
        id="directive and document marks",
    ),
    pytest.param(
        "spec:\n  codeSourceType: 2\n  imageUri:\tx\t# tabs\n",
        IMAGE,
        f"spec:\n  codeSourceType: 2\n  imageUri:\t{IMAGE.image_uri}\t# tabs\n",
        id="tabs as separators",
    ),
    pytest.param(
        "spec:\n  codeSourceType: 1\n  s3:\n    bucket: \"artifacts\"\n    key: 'fn/sha256-2f1c.zip'\n"
        "    objectVersion: >-\n      v9\n  imageUri: ''\n",
        S3,
        "spec:\n  codeSourceType: 1\n  s3:\n    bucket: \"artifacts\"\n    key: 'fn/sha256-2f1c.zip'\n"
        "    objectVersion: >-\n      v9\n  imageUri: ''\n",
        id="equal values stay as they are written",
    ),
    pytest.param(
        "spec:\n  codeSourceType: CODE_SOURCE_TYPE_IMAGE\n  imageUri: " + IMAGE.image_uri + "\n  s3:\n",
        IMAGE,
        "spec:\n  codeSourceType: CODE_SOURCE_TYPE_IMAGE\n  imageUri: " + IMAGE.image_uri + "\n  s3:\n",
        id="a null s3 does no harm to an image",
    ),
    pytest.param(
        "spec:\n  codeSourceType: 1\n  s3:\n    <<: {bucket: artifacts}\n    key: k\n",
        UNVERSIONED,
        "spec:\n  codeSourceType: 1\n  s3:\n    <<: {bucket: artifacts}\n    key: fn/sha256-2f1c.zip\n",
        id="a merged bucket that is right already",
    ),
]

BLOCK += [
    pytest.param(
        "spec:\n  codeSourceType: 2\n  imageUri: | # nothing\n  handler: h\n",
        IMAGE,
        f"spec:\n  codeSourceType: 2\n  imageUri: {IMAGE.image_uri} # nothing\n  handler: h\n",
        id="a literal scalar without content",
    ),
    pytest.param(
        "spec:\n  description: &d |+\n    text\n  handler: *d\n  memoryMb: 3\n",
        IMAGE,
        "spec:\n  description: &d |+\n    text\n  handler: *d\n  codeSourceType: CODE_SOURCE_TYPE_IMAGE\n"
        f"  imageUri: {IMAGE.image_uri}\n  memoryMb: 3\n",
        id="behind an alias of a block scalar",
    ),
    pytest.param(
        "spec:\n  codeSourceType: 2\n  s3:\n    bucket: b\n\n    # inner\n\n  imageUri: x\n",
        IMAGE,
        f"spec:\n  codeSourceType: 2\n\n  # inner\n\n  imageUri: {IMAGE.image_uri}\n",
        id="a comment nested in s3 behind a blank line stays",
    ),
    pytest.param(
        "spec:\n  runtime: &r handler\n  codeSourceType: 2\n  imageUri:\n  *r : h\n  ?x: y\n",
        IMAGE,
        "spec:\n  runtime: &r handler\n  codeSourceType: 2\n"
        f"  imageUri: {IMAGE.image_uri}\n  *r : h\n  ?x: y\n",
        id="an alias as the key behind an empty value",
    ),
    pytest.param(
        "status:\n      x: &m\n              a: b\nspec:\n  environment: *m\n  role_arn:\n     value: x\n",
        UNVERSIONED,
        "status:\n      x: &m\n              a: b\nspec:\n  environment: *m\n  role_arn:\n     value: x\n"
        "  code_source_type: CODE_SOURCE_TYPE_S3\n"
        "  s3:\n     bucket: artifacts\n     key: fn/sha256-2f1c.zip\n",
        id="an alias does not tell how deep to indent",
    ),
    pytest.param(
        "spec:\n  codeSourceType: 1\n  s3:\n    bucket: '1'\n",
        S3Source("1", "k"),
        "spec:\n  codeSourceType: 1\n  s3:\n    bucket: '1'\n    key: k\n",
        id="quotes that are needed are no style",
    ),
]

FLOW = [
    pytest.param(
        "spec: {\n  s3: {bucket: b} # S\n  , codeSourceType: 2\n  , imageUri: x\n}\n",
        IMAGE,
        f"spec: {{\n   # S\n  codeSourceType: 2\n  , imageUri: {IMAGE.image_uri}\n}}\n",
        id="commas at the start of lines, s3 is the first entry",
    ),
    pytest.param(
        "spec: {\n  runtime: r\n  , memoryMb: 3}\n",
        IMAGE,
        "spec: {\n  runtime: r, codeSourceType: CODE_SOURCE_TYPE_IMAGE, imageUri: "
        f"{IMAGE.image_uri}\n  , memoryMb: 3}}\n",
        id="commas at the start of lines, behind the first entry",
    ),
    pytest.param(
        "spec: {handler: h, memoryMb: 3} # x",
        UNVERSIONED,
        "spec: {handler: h, codeSourceType: CODE_SOURCE_TYPE_S3, s3: {bucket: artifacts, key:"
        " fn/sha256-2f1c.zip}, memoryMb: 3} # x",
        id="on one line",
    ),
    pytest.param(
        "spec: { handler: h, codeSourceType: 1, s3: { bucket: b, key: k }, memoryMb: 3 }\n",
        IMAGE,
        "spec: { handler: h, codeSourceType: CODE_SOURCE_TYPE_IMAGE, imageUri:"
        f" {IMAGE.image_uri}, memoryMb: 3 }}\n",
        id="on one line, s3 in the middle is removed",
    ),
    pytest.param(
        "spec: {codeSourceType: 2, imageUri: , s3: {bucket: b, key: k}}\n",
        IMAGE,
        f"spec: {{codeSourceType: 2, imageUri: {IMAGE.image_uri} }}\n",
        id="on one line, s3 at the end is removed with the comma before it",
    ),
    pytest.param(
        "spec: {s3, codeSourceType: 1}\n",
        UNVERSIONED,
        "spec: {s3: {bucket: artifacts, key: fn/sha256-2f1c.zip}, codeSourceType: 1}\n",
        id="a key alone",
    ),
    pytest.param(
        "spec: {\n  handler: h, # H\n  memoryMb: 3 # M\n}\n",
        UNVERSIONED,
        "spec: {\n  handler: h, # H\n  codeSourceType: CODE_SOURCE_TYPE_S3,\n"
        "  s3: {bucket: artifacts, key: fn/sha256-2f1c.zip},\n  memoryMb: 3 # M\n}\n",
        id="on lines of their own",
    ),
    pytest.param(
        "spec: {\n\tmemoryMb: 3 # M\n}\n",
        IMAGE,
        "spec: {\n\tmemoryMb: 3, # M\n\tcodeSourceType: CODE_SOURCE_TYPE_IMAGE,\n"
        f"\timageUri: {IMAGE.image_uri}\n}}\n",
        id="on lines of their own, behind the last, which has no comma",
    ),
    pytest.param(
        "spec: {\n  runtime: r,\n  description:\n}\n",
        IMAGE,
        "spec: {\n  runtime: r,\n  codeSourceType: CODE_SOURCE_TYPE_IMAGE,\n"
        f"  imageUri: {IMAGE.image_uri},\n  description:\n}}\n",
        id="on lines of their own, before an empty value",
    ),
    pytest.param(
        "spec: {\n  description:\n}\n",
        IMAGE,
        "spec: {\n  description: ,\n  codeSourceType: CODE_SOURCE_TYPE_IMAGE,\n"
        f"  imageUri: {IMAGE.image_uri}\n}}\n",
        id="on lines of their own, behind an empty value",
    ),
    pytest.param(
        "spec: {\n  codeSourceType: 2, # T\n  imageUri: x,\n  s3: {bucket: b,\n    key: k}, # S\n}\n",
        IMAGE,
        f"spec: {{\n  codeSourceType: 2, # T\n  imageUri: {IMAGE.image_uri},\n}}\n",
        id="on lines of their own, s3 is removed",
    ),
    pytest.param(
        '{\n  "spec": {\n    "codeSourceType": "CODE_SOURCE_TYPE_IMAGE",\n    "imageUri": "x",\n'
        '    "s3": {\n      "bucket": "b"\n    }\n  }\n}\n',
        IMAGE,
        '{\n  "spec": {\n    "codeSourceType": "CODE_SOURCE_TYPE_IMAGE",\n    "imageUri": "'
        + IMAGE.image_uri
        + '"\n  }\n}\n',
        id="JSON stays JSON when s3 is removed",
    ),
    pytest.param(
        '{"spec":{"runtime":"r","memoryMb":3}}',
        S3,
        '{"spec":{"runtime":"r", "codeSourceType": "CODE_SOURCE_TYPE_S3", "s3": {"bucket": "artifacts",'
        ' "key": "fn/sha256-2f1c.zip", "objectVersion": "v9"},"memoryMb":3}}',
        id="JSON stays JSON when s3 is inserted",
    ),
    pytest.param(
        "spec:\n  codeSourceType: 1\n  s3: {\n    bucket: b, # B\n    key: k # K\n  }\n",
        S3,
        "spec:\n  codeSourceType: 1\n  s3: {\n    bucket: artifacts, # B\n    key: fn/sha256-2f1c.zip, # K\n"
        "    objectVersion: v9\n  }\n",
        id="s3 in flow style on several lines",
    ),
    pytest.param(
        "spec:\n  codeSourceType: 1\n  s3: {# nothing\n  }\n",
        UNVERSIONED,
        "spec:\n  codeSourceType: 1\n  s3: {bucket: artifacts, key: fn/sha256-2f1c.zip # nothing\n  }\n",
        id="a comment right behind the brace",
    ),
    pytest.param(
        "spec: {codeSourceType: 1, imageUri: u, ? s3 : {bucket: b, ? key\n : k}}\n",
        UNVERSIONED,
        "spec: {codeSourceType: 1, ? s3 : {bucket: artifacts, ? key\n : fn/sha256-2f1c.zip}}\n",
        id="explicit keys",
    ),
    pytest.param(
        "spec: {codeSourceType: 2, s3: { # of the team\n    # ask first\n    bucket: b}, handler: h}\n",
        IMAGE,
        f"spec: {{codeSourceType: 2, imageUri: {IMAGE.image_uri}, \n    # ask first\n    handler: h}}\n",
        id="a comment inside braces stays when they go",
    ),
    pytest.param(
        '{"spec": {\n  "codeSourceType": "CODE_SOURCE_TYPE_IMAGE",\n  "handler": "h",\n'
        '  "imageUri": "x"\n}}\n',
        UNVERSIONED,
        '{"spec": {\n  "codeSourceType": "CODE_SOURCE_TYPE_S3",\n'
        '  "s3": {"bucket": "artifacts", "key": "fn/sha256-2f1c.zip"},\n  "handler": "h"\n}}\n',
        id="JSON: an image that is the last goes with the comma before it",
    ),
    pytest.param(
        "spec: {handler: h\n  , s3: {bucket: b, key: k} # S\n  , codeSourceType: 2\n  , imageUri: x}\n",
        IMAGE,
        "spec: {handler: h\n  ,  # S\n  codeSourceType: 2\n  , imageUri: " + IMAGE.image_uri + "}\n",
        id="commas at the start of lines",
    ),
]


@pytest.mark.parametrize(("before", "source", "after"), BLOCK)
def test_block_style_changes_only_the_code_source(before: str, source: CodeSource, after: str) -> None:
    assert edit(before, source) == after
    assert edit(after, source) == after


@pytest.mark.parametrize(("before", "source", "after"), FLOW)
def test_flow_style_changes_only_the_code_source(before: str, source: CodeSource, after: str) -> None:
    assert edit(before, source) == after
    assert edit(after, source) == after


STYLES = [
    pytest.param("key", "plain/x_1.zip", "plain/x_1.zip", id="plain"),
    pytest.param("key", "1234", '"1234"', id="an integer"),
    pytest.param("key", "1e3", '"1e3"', id="a float of YAML 1.2"),
    pytest.param("key", "0x1F", '"0x1F"', id="a hexadecimal number"),
    pytest.param("key", "0o17", '"0o17"', id="an octal number of YAML 1.2"),
    pytest.param("key", "1:30", '"1:30"', id="a number to base 60"),
    pytest.param("key", "1_000", '"1_000"', id="a number with underscores"),
    pytest.param("key", ".inf", '".inf"', id="infinity"),
    pytest.param("key", "2024-01-31", '"2024-01-31"', id="a date"),
    pytest.param("key", "yes", '"yes"', id="a boolean of YAML 1.1"),
    pytest.param("key", "null", '"null"', id="null"),
    pytest.param("key", "~", '"~"', id="a tilde"),
    pytest.param("key", "a: b", '"a: b"', id="a colon and a space"),
    pytest.param("key", "a:", '"a:"', id="a colon at the end"),
    pytest.param("key", "a #b", '"a #b"', id="a space and a hash"),
    pytest.param("key", "a,b", '"a,b"', id="a comma"),
    pytest.param("key", "*a", '"*a"', id="an indicator"),
    pytest.param("key", "-a", '"-a"', id="a dash"),
    pytest.param("key", 'a\\b"c', '"a\\\\b\\"c"', id="a backslash and a quote"),
    pytest.param("key", "a\nb\x85\ufeff", '"a\\nb\\x85\\ufeff"', id="control characters"),
    pytest.param("key", "\U0001f600", '"\U0001f600"', id="an astral character"),
    pytest.param("'key'", "it's", "'it''s'", id="single quotes stay"),
    pytest.param("'key'", "a\nb", '"a\\nb"', id="single quotes cannot hold a line break"),
    pytest.param('"key"', "it's", '"it\'s"', id="double quotes stay"),
]


@pytest.mark.parametrize(("old", "value", "written"), STYLES)
@pytest.mark.parametrize(
    "frame", ["spec:\n  s3:\n    bucket: b\n    key: %s # c\n", "spec: {s3: {bucket: b, key: %s }}"]
)
def test_a_value_is_quoted_where_plain_would_mean_something_else(
    frame: str, old: str, value: str, written: str
) -> None:
    after = edit(frame % old, S3Source("b", value))
    assert (frame % written).split("# c")[0].rstrip("}\n") in after


def test_a_plain_value_that_needs_quotes_takes_those_of_its_neighbours() -> None:
    text = "spec:\n  codeSourceType: 1\n  s3:\n    bucket: 'b'\n    key: k\n"
    assert edit(text, S3Source("b", "1")) == text.replace("key: k", "key: '1'")


@pytest.mark.parametrize(
    ("keys", "written"),
    [
        pytest.param(
            "code_source_type: 2\n  roleArn: {value: a}\n  memoryMb: 1", "image_uri", id="code source"
        ),
        pytest.param("codeSourceType: 2\n  role_arn: {value: a}", "imageUri", id="code source, camelCase"),
        pytest.param("role_arn: {value: a}\n  memory_mb: 1\n  functionName: f", "image_uri", id="majority"),
        pytest.param("role_arn: {value: a}\n  functionName: f", "imageUri", id="a tie is camelCase"),
        pytest.param("s3: {object_version: v}\n  functionName: f", "image_uri", id="inside s3"),
        pytest.param("runtime: r", "imageUri", id="no key of several words"),
    ],
)
def test_inserted_keys_follow_the_key_style_of_the_spec(keys: str, written: str) -> None:
    assert f"  {written}: {IMAGE.image_uri}\n" in edit(f"spec:\n  {keys}\n", IMAGE)


def test_only_the_chosen_document_changes() -> None:
    one = "---\nspec: {codeSourceType: 2, imageUri: a}\n"
    text = f"# head\n{one}...\n{one}--- # last\nspec: &x\n  environment: {{A: b}}\n"
    assert edit(text, IMAGE, 1) == IMAGE.image_uri.join(text.rsplit("a}", 1)).replace(
        IMAGE.image_uri, IMAGE.image_uri + "}"
    )


REFUSED = [
    pytest.param(
        "spec:\n  functionName: &n x\n  codeSourceType: 2\n  imageUri: *n\n",
        IMAGE,
        4,
        "&n is used on line 4",
        id="the value is an alias",
    ),
    pytest.param(
        "spec:\n  imageUri: &n x\n  functionName: *n\n",
        IMAGE,
        2,
        "&n is used on line 3",
        id="the value has an anchor that is used",
    ),
    pytest.param("status: &s {handler: h}\nspec: *s\n", IMAGE, 2, "`spec` shares", id="spec is an alias"),
    pytest.param(
        "status: &s {bucket: a, key: b}\nspec:\n  s3: *s\n", S3, 3, "`s3` shares", id="s3 is an alias"
    ),
    pytest.param(
        "status: &s {s3: {bucket: a, key: b}}\nspec:\n  <<: *s\n  handler: h\n",
        S3,
        3,
        "`s3` comes in through this `<<`",
        id="s3 is merged",
    ),
    pytest.param(
        "status: &s {bucket: a}\nspec:\n  s3:\n    <<: *s\n    key: k\n",
        S3,
        4,
        "`bucket` comes in through this `<<`",
        id="the bucket is merged",
    ),
    pytest.param(
        "spec:\n  s3:\n    bucket: &b x\n    key: k\n  environment:\n    B: *b\n",
        IMAGE,
        2,
        "*b on line 6",
        id="an anchor inside a removed s3 is used",
    ),
    pytest.param(
        "spec:\n  &k s3: {bucket: b}\n  runtime: *k\n", IMAGE, 2, "*k on line 3", id="the anchor of a key"
    ),
    pytest.param("spec:\n  imageUri: a\n  image_uri: b\n", IMAGE, 3, "both spellings", id="both spellings"),
    pytest.param("spec:\n  imageUri: [a]\n", IMAGE, 2, "not a string", id="the value is a list"),
    pytest.param("spec:\n  s3: [a]\n", S3, 2, "`s3` is not a mapping", id="s3 is a list"),
    pytest.param("spec:\n  s3: text\n", S3, 2, "`s3` is not a mapping", id="s3 is a string"),
    pytest.param("spec:\n  codeSourceType: !!int 1\n", IMAGE, 2, "has a tag", id="a tag that would not fit"),
    pytest.param("spec:\n  s3: !!null\n", S3, 1, "something else", id="a null with a tag"),
    pytest.param("? spec\n: s3: {bucket: b}\n  handler: h\n", IMAGE, 2, "shares its line", id="no own line"),
    pytest.param("spec:\n", S3, 1, "no `spec`", id="spec is null"),
    pytest.param("- a\n", S3, 1, "no `spec`", id="the document is a list"),
    pytest.param("? spec\n: description: |+\n    a\n", S3, 2, "no place", id="no line can follow or precede"),
    pytest.param(
        "spec:\n  description: |+\n    a\n  s3: {}\n\n  handler: h\n",
        IMAGE,
        1,
        "something else",
        id="removing s3 would give its blank line to a block scalar",
    ),
]


@pytest.mark.parametrize(("text", "source", "line", "reason"), REFUSED)
def test_what_would_change_something_else_is_refused_with_line_and_remedy(
    text: str, source: CodeSource, line: int, reason: str
) -> None:
    with pytest.raises(WriteBackRefused) as caught:
        edit(text, source)
    [finding] = caught.value.findings
    assert (finding.file, finding.line) == (FILE, line)
    assert reason in finding.message
    assert finding.hint


def test_aliases_in_a_removed_s3_are_no_obstacle() -> None:
    text = (
        "spec:\n  handler: &h x\n  s3:\n    bucket: *h\n    key: &k y\n    objectVersion: *k\n  runtime: *h\n"
    )
    assert "s3" not in edit(text, IMAGE)
    assert "s3" not in edit("status: &s {bucket: b}\nspec:\n  runtime: r\n  s3: *s\n", IMAGE)


def test_a_value_that_is_no_text_is_refused() -> None:
    with pytest.raises(WriteBackRefused, match="no Unicode text"):
        edit(FULL, S3Source("b", "k\ud800"))


def test_a_document_that_is_not_there_is_refused() -> None:
    with pytest.raises(ManifestChanged, match="document number 2"):
        edit(FULL, S3, 1)


# Files.


SWITCHED = """\
# The invoice renderer.
apiVersion: {dialect}
kind: AwsLambda
metadata:
  name: invoice-render
spec:
{region}  functionName: invoice-render
  roleArn:
    value: arn:aws:iam::123456789012:role/invoice
  # ZIP or image?
  codeSourceType: CODE_SOURCE_TYPE_S3
  # where the code is
  s3:  # from the build
    bucket: artifacts
    key: fn/sha256-2f1c.zip
    objectVersion: v9
  # what it runs on
  runtime: python3.12
  handler: invoices.app.handler
"""


@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
@pytest.mark.parametrize("snake", [False, True], ids=["camelCase", "snake_case"])
@pytest.mark.parametrize("dialect", list(Dialect))
def test_one_line_switches_to_an_image_and_another_one_back(
    dialect: str, snake: bool, line_break: str, tmp_path: Path
) -> None:
    region = "  region: eu-west-1\n" if dialect == Dialect.PLANTON else ""
    text = SWITCHED.format(dialect=dialect, region=region).replace("\n", line_break)
    if snake:
        for field in ("functionName", "roleArn", "codeSourceType", "objectVersion"):
            text = text.replace(field, "".join(f"_{one.lower()}" if one.isupper() else one for one in field))
    path = tmp_path / "lambda.yaml"

    def switch(before: str, after: str, source: CodeSource) -> None:
        path.write_bytes(path.read_bytes().replace(before.encode(), after.encode()))
        (found,) = read_manifests(path)
        with pytest.raises(NotDeployable, match="no complete code source"):
            require_deployable(found)
        write_back([(found, source)])
        require_deployable(read_manifests(path)[0])

    path.write_bytes(text.encode())
    switch("TYPE_S3", "TYPE_IMAGE", IMAGE)
    uri = f"  {'image_uri' if snake else 'imageUri'}: {IMAGE.image_uri}"
    lines = [
        line for line in text.split(line_break) if not line.startswith(("    b", "    k", "    o", "  s3"))
    ]
    lines.insert(next(number for number, line in enumerate(lines) if "TYPE_S3" in line) + 1, uri)
    assert path.read_bytes().decode() == line_break.join(lines).replace("TYPE_S3", "TYPE_IMAGE")
    switch("TYPE_IMAGE", "TYPE_S3", S3)
    back = path.read_bytes().decode()
    assert sorted(back.split(line_break)) == sorted(
        text.replace("s3:  # from the build", "s3:").split(line_break)
    )


def manifest(path: Path, index: int = 0, digest: str | None = None) -> Manifest:
    model = AwsLambda.model_validate(
        {"apiVersion": "aws.project-planton.org/v1", "kind": "AwsLambda", "metadata": {}, "spec": {}}
    )
    return Manifest(path, index, model, {}, digest or hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "lambda.yaml"
    path.write_bytes(FULL.encode())
    return path


def entries(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_the_file_is_replaced_and_the_diff_tells_how(file: Path) -> None:
    [done] = write_back([(manifest(file), S3)])
    assert file.read_bytes() == edit(FULL, S3).encode()
    assert (done.path, done.changed) == (file, True)
    assert [line for line in done.diff.splitlines() if line.startswith("-    ")] == [
        "-    bucket: old-bucket      # where artifacts are",
        "-    key: invoice-render/old.zip",
        "-    objectVersion: v1       # pinned",
    ]
    assert done.diff.startswith(f"--- a/{str(file).lstrip('/')}\n+++ b/")
    assert entries(file.parent) == ["lambda.yaml"]


def test_without_apply_nothing_is_written(file: Path) -> None:
    [would] = write_back([(manifest(file), S3)], apply=False)
    assert would.changed
    assert would.diff
    assert file.read_bytes() == FULL.encode()


def test_an_equal_code_source_leaves_the_very_file(file: Path) -> None:
    write_back([(manifest(file), S3)])
    before = file.stat()
    [again] = write_back([(manifest(file), S3)])
    assert (again.changed, again.diff) == (False, "")
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_the_diff_of_crlf_and_of_a_missing_final_newline_can_be_applied(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_bytes(b"spec:\r\n  codeSourceType: 2\r\n  imageUri: x")
    [would] = write_back([(manifest(file), IMAGE)], apply=False)
    assert would.diff.splitlines(keepends=True)[3:] == [
        " spec:\r\n",
        "   codeSourceType: 2\r\n",
        "-  imageUri: x\n",
        "\\ No newline at end of file\n",
        f"+  imageUri: {IMAGE.image_uri}\n",
        "\\ No newline at end of file\n",
    ]


def test_bytes_that_text_mode_would_change_stay(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    before = "\ufeffspec: # \x85\r\n  codeSourceType: 2 # \u2028\n  imageUri: 'x'\r\n# \U0001f600\r".encode()
    file.write_bytes(before)
    write_back([(manifest(file), IMAGE)])
    assert file.read_bytes() == before.replace(b"'x'", f"'{IMAGE.image_uri}'".encode())


def test_several_documents_of_one_file_are_written_at_once(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text("spec: {runtime: a}\n---\nother: 1\n---\nspec: {runtime: b}\n")
    link = tmp_path / "link.yaml"
    link.symlink_to(file)
    [done] = write_back([(manifest(file, 2), IMAGE), (manifest(link, 0), UNVERSIONED)])
    assert done.path == file
    text = file.read_text()
    assert text == edit(
        edit("spec: {runtime: a}\n---\nother: 1\n---\nspec: {runtime: b}\n", IMAGE, 2), UNVERSIONED
    )


def test_nothing_is_written_when_one_of_several_files_is_refused(file: Path) -> None:
    bad = file.with_name("bad.yaml")
    bad.write_text("spec: {imageUri: &a x, handler: *a}\n")
    with pytest.raises(WriteBackRefused):
        write_back([(manifest(file), S3), (manifest(bad), IMAGE)])
    assert file.read_bytes() == FULL.encode()


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664, 0o444])
def test_the_mode_is_kept(file: Path, mode: int) -> None:
    file.chmod(mode)
    write_back([(manifest(file), S3)])
    assert stat.S_IMODE(file.stat().st_mode) == mode


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
def test_the_owner_is_kept(file: Path) -> None:
    os.chown(file, 1234, 2345)
    write_back([(manifest(file), S3)])
    assert (file.stat().st_uid, file.stat().st_gid) == (1234, 2345)


def test_a_link_stays_a_link_and_its_target_is_replaced(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "links"
    folder.mkdir()
    link = folder / "link.yaml"
    link.symlink_to(Path("..") / file.name)
    write_back([(manifest(link), S3)])
    assert link.readlink() == Path("..") / file.name
    assert file.read_bytes() == edit(FULL, S3).encode()
    assert entries(folder) == ["link.yaml"]


def test_an_edit_in_between_is_noticed(file: Path) -> None:
    read = manifest(file)
    file.write_bytes(FULL.encode() + b"# mine\n")
    with pytest.raises(ManifestChanged, match="was edited") as caught:
        write_back([(read, S3)])
    assert caught.value.findings[0].file == file
    assert file.read_bytes() == FULL.encode() + b"# mine\n"


def test_an_edit_at_the_last_moment_is_noticed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The staged file exists already when somebody saves; what they saved must win."""
    keep_owner = writeback._keep_owner

    def save_meanwhile(staged: Path, status: os.stat_result) -> None:
        keep_owner(staged, status)
        file.write_bytes(b"saved: 1\n")

    monkeypatch.setattr(writeback, "_keep_owner", save_meanwhile)
    with pytest.raises(ManifestChanged, match="while"):
        write_back([(manifest(file), S3)])
    assert file.read_bytes() == b"saved: 1\n"
    assert entries(file.parent) == ["lambda.yaml"]


def test_a_file_that_is_gone_is_told_apart(file: Path) -> None:
    read = manifest(file)
    file.unlink()
    with pytest.raises(ManifestChanged, match="gone"):
        write_back([(read, S3)])


def test_a_loop_of_links_is_an_error_without_traceback(tmp_path: Path) -> None:
    loop = tmp_path / "loop.yaml"
    loop.symlink_to(loop)
    with pytest.raises(PlantonError):
        write_back([(manifest(loop, digest="0" * 64), S3)])


def test_a_full_disk_leaves_the_old_file_and_nothing_else(file: Path) -> None:
    resource = pytest.importorskip("resource", reason="POSIX alone can limit the size of files")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    read = manifest(file)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(ManifestNotWritable, match="cannot be replaced: File too large"):
            write_back([(read, S3)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.read_bytes() == FULL.encode()
    assert entries(file.parent) == ["lambda.yaml"]


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Drop the rights of root for a moment: they would open every folder."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_read_only_folder_is_an_error_with_a_hint() -> None:
    folder = Path(tempfile.mkdtemp())  # tmp_path is below a folder that only its owner may enter
    try:
        file = folder / "lambda.yaml"
        file.write_bytes(FULL.encode())
        file.chmod(0o644)
        folder.chmod(0o555)
        with as_nobody(), pytest.raises(ManifestNotWritable, match="Permission denied") as caught:
            write_back([(manifest(file), S3)])
        assert "folder" in str(caught.value.hint)
        assert entries(folder) == ["lambda.yaml"]
        assert file.read_bytes() == FULL.encode()
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_manifest_does_not_outgrow_what_can_be_read(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_bytes(b"spec: {runtime: a}\n".ljust((1 << 20) - 1, b"#") + b"\n")
    with pytest.raises(WriteBackRefused, match="larger"):
        write_back([(manifest(file), S3)])


def test_changes_tell_which_ranges_of_the_original_are_replaced() -> None:
    result = writeback.proven_edit(FULL, 0, S3, FILE)
    assert [FULL[change.start : change.end] for change in result.changes] == [
        "old-bucket",
        "invoice-render/old.zip",
        "v1",
    ]
    assert [change.new for change in result.changes] == ["artifacts", "fn/sha256-2f1c.zip", "v9"]


@pytest.mark.parametrize("spaces", [0, 2, 4, 5, 9])
def test_a_line_of_spaces_behind_a_removed_entry_is_no_line_of_the_text_before_it(spaces: int) -> None:
    before = "spec:\n  code_source_type: CODE_SOURCE_TYPE_S3\n  description: >\n    prices\n"
    text = before + "  s3:\n    bucket: b\n    key: k\n" + " " * spaces + "\n  memory_mb: 512\n"
    after = edit(text, IMAGE)
    spec = yaml.safe_load(after)["spec"]
    assert spec["description"] == "prices\n"
    assert "s3" not in spec
    assert f"\n{' ' * min(spaces, 2)}\n  memory_mb: 512\n" in after
