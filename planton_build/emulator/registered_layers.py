"""Layer versions that come into being by their ARN: those of other accounts, which no call can publish."""

from __future__ import annotations

import base64
import hashlib

from planton_build.emulator.answers import stamp
from planton_build.emulator.layers import layer_arn
from planton_build.emulator.state import Region

_EMPTY_ZIP = b"PK\x05\x06" + bytes(18)


def register_layer_version(region: Region, arn: str) -> None:
    """Make a layer version exist, with nothing in it, for functions of a region. `arn` ends in its number.

    Does nothing when it is there. Raises ValueError for what is no ARN of a layer version.
    """
    layer, _, number = arn.rpartition(":")
    parts = layer.split(":")
    if len(parts) != 7 or parts[5] != "layer" or not number.isdecimal():
        raise ValueError(f"{arn} is no ARN of a layer version")
    name = parts[6]
    key = name if layer == layer_arn(region, name) else layer
    document = {
        "Content": {
            "CodeSha256": base64.b64encode(hashlib.sha256(_EMPTY_ZIP).digest()).decode(),
            "CodeSize": 0,
        },
        "LayerArn": layer,
        "LayerVersionArn": arn,
        "Description": "",
        "CreatedDate": stamp(),
        "Version": int(number),
        "_unzipped": 0,
        "_read": lambda: _EMPTY_ZIP,
    }
    region.layers.setdefault(key, {}).setdefault(int(number), document)
    region.layer_numbers[key] = max(int(number), region.layer_numbers.get(key, 0))
