"""Names of kinds, compared as upstream's lookup does: without case, `-` and `_`; or by number."""

from __future__ import annotations

import re

from planton_build.manifest.references import KIND_NUMBERS


def kind_name(written: str) -> str:
    """Return a kind's own name: `AwsIamRole` for `aws-iam-role` and `208`; an unknown one as written."""
    if written.isascii() and written.isdecimal() and len(written) < 6:
        return KIND_NUMBERS.get(int(written), written)
    same = (kind for kind in KIND_NUMBERS.values() if folded_kind(kind) == folded_kind(written))
    return next(same, written)


def folded_kind(kind: str) -> str:
    """Return the one form in which names of kinds are compared."""
    return re.sub("[-_]", "", kind).lower()
