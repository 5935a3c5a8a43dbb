"""Layers are believed when their bytes have the digests that name them, and unpacked within bounds."""

from __future__ import annotations

import gzip
from dataclasses import replace
from itertools import pairwise
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planton_build.audit.image.stream import Allowance, LayerStream
from planton_build.errors import ImageInvalid, ImageMismatch, SizeLimitExceeded
from planton_build.oci.blobs import BytesContent
from planton_build.oci.image import Layer

TAR = bytes(range(256)) * 600


def unpacked(layer: Layer, limit: int = 1 << 30) -> bytes:
    return b"".join(LayerStream(layer, Allowance(limit)))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, len(TAR)), max_size=12), st.integers(0, 9))
def test_any_number_of_gzip_members_is_one_stream(by_hand: ModuleType, cuts: list[int], level: int) -> None:
    edges = [0, *sorted(cuts), len(TAR)]
    parts = [TAR[start:end] for start, end in pairwise(edges)]
    packed = b"".join(gzip.compress(part, level, mtime=0) for part in parts)
    stream = LayerStream(by_hand.layer_of(TAR, packed), Allowance(1 << 30))
    assert b"".join(stream) == TAR
    assert (stream.size, stream.compression) == (len(TAR), "gzip")


def test_a_highly_compressed_layer_comes_whole_and_in_pieces(by_hand: ModuleType) -> None:
    tar = bytes(30 << 20)
    stream = LayerStream(by_hand.layer_of(tar), Allowance(1 << 30))
    sizes = [len(piece) for piece in stream]
    assert sum(sizes) == len(tar)
    assert max(sizes) <= 1 << 20


def test_an_uncompressed_layer_is_read_as_it_is(by_hand: ModuleType) -> None:
    stream = LayerStream(by_hand.layer_of(TAR, TAR), Allowance())
    assert b"".join(stream) == TAR
    assert stream.compression == "none"


def test_other_bytes_than_the_digest_names_are_refused(by_hand: ModuleType) -> None:
    whole, other = by_hand.layer_of(TAR), by_hand.layer_of(TAR[::-1])
    wrong = replace(whole.descriptor, digest=other.descriptor.digest)
    with pytest.raises(ImageMismatch, match="damaged"):
        unpacked(replace(whole, descriptor=wrong))
    with pytest.raises(ImageMismatch, match="diff_ids"):
        unpacked(replace(whole, diff_id=other.diff_id))


@pytest.mark.parametrize("change", [-1, 1])
def test_more_or_fewer_bytes_than_announced_are_refused(by_hand: ModuleType, change: int) -> None:
    layer = by_hand.layer_of(TAR)
    wrong = replace(layer.descriptor, size=layer.descriptor.size + change)
    with pytest.raises(ImageMismatch, match="bytes that it should have"):
        unpacked(replace(layer, descriptor=wrong))


@pytest.mark.parametrize(
    ("packed", "fault"),
    [
        (gzip.compress(TAR, mtime=0)[:-3], "cut off"),
        (gzip.compress(TAR, mtime=0)[:200], "cut off"),
        (gzip.compress(TAR, mtime=0) + b"more", "makes no sense"),
        (gzip.compress(TAR, mtime=0)[:-8] + bytes(8), "makes no sense"),
        (b"\x28\xb5\x2f\xfd" + bytes(100), "zstd"),
    ],
)
def test_damaged_and_other_compression_is_refused(by_hand: ModuleType, packed: bytes, fault: str) -> None:
    with pytest.raises(ImageInvalid, match=fault):
        unpacked(by_hand.layer_of(TAR, packed))


def test_a_bomb_is_left_at_the_limit(by_hand: ModuleType) -> None:
    layer = by_hand.layer_of(bytes(50 << 20))
    seen = 0
    with pytest.raises(SizeLimitExceeded):
        for piece in LayerStream(layer, Allowance(5 << 20)):
            seen += len(piece)
    assert seen <= 5 << 20
    assert len(unpacked(layer, 50 << 20)) == 50 << 20  # the limit itself is within


def test_a_layer_that_says_to_be_over_the_limit_is_not_fetched(by_hand: ModuleType) -> None:
    class Untouched:
        def chunks(self, offset: int = 0) -> None:
            raise AssertionError

    layer = by_hand.layer_of(TAR)
    huge = Layer(replace(layer.descriptor, size=1 << 40), layer.diff_id, Untouched())  # type: ignore[arg-type]
    with pytest.raises(SizeLimitExceeded):
        unpacked(huge)


def test_the_layers_of_an_image_share_one_allowance(by_hand: ModuleType) -> None:
    allowance = Allowance(len(TAR) * 2 - 1)
    assert b"".join(LayerStream(by_hand.layer_of(TAR), allowance))
    with pytest.raises(SizeLimitExceeded):
        b"".join(LayerStream(by_hand.layer_of(TAR), allowance))


def test_an_empty_blob_is_no_layer_of_a_size(by_hand: ModuleType) -> None:
    layer = by_hand.layer_of(b"", b"")
    assert unpacked(layer) == b""
    assert isinstance(layer.content, BytesContent)
