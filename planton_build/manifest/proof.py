"""Proving an edit: two composed texts hold the same documents, except for the code source of one."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from planton_build.manifest.code_source import CodeSource, S3Source
from planton_build.manifest.edit import effective, held, spellings
from planton_build.manifest.model import CodeSourceType
from planton_build.manifest.nodes import Document, pairs

_S3_FIELDS = frozenset(one for name in ("bucket", "key", "object_version") for one in spellings(name))
_SPEC_FIELDS = frozenset(one for name in ("code_source_type", "image_uri") for one in spellings(name))
_S3 = frozenset(spellings("s3"))


def only_code_source_differs(before: Sequence[Document], after: Sequence[Document], index: int) -> bool:
    """Tell whether all documents are equal, aliases included, but for the code source of number `index`."""
    if len(before) != len(after):
        return False
    for old, new in zip(before, after, strict=True):
        if (old.start_explicit, old.end_explicit) != (new.start_explicit, new.end_explicit):
            return False
        if not _Comparison(old, new, edited=old.index == index).same(old.root, new.root):
            return False
    return True


def holds(document: Document, source: CodeSource) -> bool:
    """Tell whether a document's code source is `source` and nothing else."""
    spec = effective(document.root, "spec")
    s3 = effective(spec, "s3")
    if not isinstance(source, S3Source):
        return (
            held(effective(spec, "code_source_type"), CodeSourceType.IMAGE.value)
            and held(effective(spec, "image_uri"), source.image_uri)
            and held(s3, "")
        )
    return (
        held(effective(spec, "code_source_type"), CodeSourceType.S3.value)
        and held(effective(spec, "image_uri"), "")
        and isinstance(s3, yaml.MappingNode)
        and held(effective(s3, "bucket"), source.bucket)
        and held(effective(s3, "key"), source.key)
        and held(effective(s3, "object_version"), source.object_version or "")
    )


class _Comparison:
    """Walks two documents side by side. What is one node in the one must be one node in the other.

    The code source is left out of `spec` and `s3`, unless these are shared: then nothing of them may change.
    """

    def __init__(self, old: Document, new: Document, *, edited: bool) -> None:
        shared = {id(alias.target) for alias in old.aliases}
        spec = effective(old.root, "spec") if edited else None
        self.spec = spec if id(spec) not in shared else None
        s3 = _written_s3(self.spec), _written_s3(effective(new.root, "spec"))
        self.s3 = (
            s3[0] if all(isinstance(one, yaml.MappingNode) and id(one) not in shared for one in s3) else None
        )
        self.left_out = _SPEC_FIELDS if self.s3 is not None else _SPEC_FIELDS | _S3
        self.twins: dict[int, yaml.Node] = {}
        self.origins: dict[int, yaml.Node] = {}

    def same(self, old: yaml.Node, new: yaml.Node) -> bool:
        """Tell whether two nodes have the same form, type and value, apart from the code source."""
        if id(old) in self.twins or id(new) in self.origins:
            return self.twins.get(id(old)) is new
        self.twins[id(old)], self.origins[id(new)] = new, old
        if old.tag != new.tag or type(old) is not type(new):
            return False
        if isinstance(old, yaml.ScalarNode):
            return bool(old.value == new.value)
        if isinstance(old, yaml.SequenceNode):
            return self._all_same(old.value, new.value)
        left_out = _S3_FIELDS if old is self.s3 else self.left_out if old is self.spec else frozenset()
        return self._all_same(_children(old, left_out), _children(new, left_out))

    def _all_same(self, old: list[yaml.Node], new: list[yaml.Node]) -> bool:
        return len(old) == len(new) and all(map(self.same, old, new))


def _children(mapping: yaml.Node, left_out: frozenset[str]) -> list[yaml.Node]:
    return [node for key, value in pairs(mapping) if key.value not in left_out for node in (key, value)]


def _written_s3(spec: yaml.Node | None) -> yaml.Node | None:
    return next((value for key, value in pairs(spec) if key.value in _S3), None) if spec is not None else None
