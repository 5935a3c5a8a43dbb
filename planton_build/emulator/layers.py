"""Layers: their versions and what may be in them."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import uuid
import zipfile
from collections.abc import Callable
from typing import Any

from planton_build.emulator.answers import page, shown, stamp
from planton_build.emulator.operations import Document, operation
from planton_build.emulator.refusal import Refusal, invalid, not_found
from planton_build.emulator.state import Region

DIRECT_LIMIT = 52_428_800
"""Bytes of a ZIP sent in the request."""
UNZIPPED_LIMIT = 262_144_000
"""Bytes that a layer unpacks to, which must be fewer."""
_LAYER_ARN = re.compile(
    r"(?P<layer>arn:aws[a-zA-Z-]*:lambda:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):layer:(?P<name>[a-zA-Z0-9_-]+))"
    r"(?::(?P<number>\d+))?"
)
Versions = dict[int, dict[str, Any]]


@operation("PublishLayerVersion")
def publish_layer_version(region: Region, request: Document) -> Document:
    """Make a new version, with identical bytes too. Numbers are never used again."""
    name = _key(region, str(request["LayerName"]))
    read = _content(region, request["Content"])
    content = read()
    unzipped = unzipped_size(content)
    if layers_size(region) + len(content) > region.behaviour.code_size_limit:
        raise Refusal("CodeStorageExceededException", 400, "Code storage limit exceeded.", {"Type": "User"})
    number = region.layer_numbers.get(name, 0) + 1
    region.layer_numbers[name] = number
    arn = layer_arn(region, name)
    host = f"awslambda-{region.region}-layers.s3.{region.region}.amazonaws.com"
    document = {
        "Content": {
            "Location": f"https://{host}/snapshots/{region.account}/{name}-{uuid.uuid4()}",
            "CodeSha256": base64.b64encode(hashlib.sha256(content).digest()).decode(),
            "CodeSize": len(content),
        },
        "LayerArn": arn,
        "LayerVersionArn": f"{arn}:{number}",
        "Description": request.get("Description", ""),
        "CreatedDate": stamp(),
        "Version": number,
        **{
            member: request[member]
            for member in ("CompatibleArchitectures", "CompatibleRuntimes", "LicenseInfo")
            if request.get(member)
        },
        "_unzipped": unzipped,
        "_read": read,
    }
    region.layers.setdefault(name, {})[number] = document
    return shown(document)


@operation("GetLayerVersion")
def get_layer_version(region: Region, request: Document) -> Document:
    """Show a version of a layer."""
    number = _positive(request)
    found = layer_versions(region, str(request["LayerName"])).get(number)
    if found is None:
        raise not_found("The resource you requested does not exist.")
    return shown(found)


@operation("GetLayerVersionByArn")
def get_layer_version_by_arn(region: Region, request: Document) -> Document:
    """Show a version of a layer, of another account too."""
    found = layer_version(region, str(request["Arn"]))
    if found is None:
        raise not_found("The resource you requested does not exist.")
    return shown(found)


@operation("ListLayers")
def list_layers(region: Region, request: Document) -> Document:
    """List the account's layers, each with its newest version that fits the request."""
    newest = {
        name: max(fitting, key=lambda one: int(one["Version"]))
        for name, versions in region.layers.items()
        if not name.startswith("arn:")
        and (fitting := [one for one in versions.values() if _fits(one, request)])
    }
    names, marker = page(newest, str, request)
    layers = [
        {
            "LayerName": name,
            "LayerArn": newest[name]["LayerArn"],
            "LatestMatchingVersion": _in_list(newest[name]),
        }
        for name in names
    ]
    return {"Layers": layers, **marker}


@operation("ListLayerVersions")
def list_layer_versions(region: Region, request: Document) -> Document:
    """List the versions of a layer that fit the request, the newest first."""
    versions = layer_versions(region, str(request["LayerName"])).values()
    found, marker = page(
        [one for one in versions if _fits(one, request)],
        # Greater numbers first, in the order of text.
        lambda one: f"{10**18 - int(one['Version']):020}",
        request,
    )
    return {"LayerVersions": [_in_list(one) for one in found], **marker}


@operation("DeleteLayerVersion")
def delete_layer_version(region: Region, request: Document) -> None:
    """Delete a version. Functions that use it keep it; it is no error when it is not there."""
    number = _positive(request)
    layer_versions(region, str(request["LayerName"])).pop(number, None)


def layer_arn(region: Region, name: str) -> str:
    """Return the ARN of a layer of this account."""
    return f"arn:{region.partition}:lambda:{region.region}:{region.account}:layer:{name}"


def layer_versions(region: Region, name: str) -> Versions:
    """Return the versions of a layer by number, of a name or an ARN. Empty when there are none."""
    return region.layers.get(_key(region, name), {})


def layer_version(region: Region, arn: str) -> dict[str, Any] | None:
    """Return the version of a layer that an ARN names: the document of GetLayerVersion, None without one.

    Of layers published here, `_unzipped` is what the ZIP unpacks to in bytes, and `_read` returns the ZIP.
    """
    found = _LAYER_ARN.fullmatch(arn)
    if found is None or found["number"] is None:
        return None
    return layer_versions(region, found["layer"]).get(int(found["number"]))


def layers_size(region: Region) -> int:
    """Return the bytes that the account's layers take of its code storage."""
    return sum(
        int(version["Content"]["CodeSize"])
        for name, versions in region.layers.items()
        if not name.startswith("arn:")
        for version in versions.values()
    )


def unzipped_size(content: bytes) -> int:
    """Return what a ZIP unpacks to, in bytes. Raises Refusal for what Lambda does not take."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise invalid(
            "Could not unzip uploaded file. Please check your file, then try to upload again."
        ) from error
    size = sum(entry.file_size for entry in entries)
    if not entries:
        raise invalid("Uploaded file must be a non-empty zip")
    if size >= UNZIPPED_LIMIT:
        raise invalid(f"Unzipped size must be smaller than {UNZIPPED_LIMIT} bytes")
    return size


def _key(region: Region, name: str) -> str:
    """Return the key in `Region.layers` of a layer: its name, or the ARN of one of another account."""
    found = _LAYER_ARN.fullmatch(name)
    if found is None:
        return name
    here = found["account"] == region.account and found["region"] == region.region
    return found["name"] if here else found["layer"]


def _content(region: Region, content: Document) -> Callable[[], bytes]:
    """Return what reads the ZIP of a request. Raises Refusal when there is none, or it is too big."""
    direct = content.get("ZipFile")
    if direct is not None:
        if content.get("S3Bucket") or content.get("S3Key"):
            raise invalid("Please do not provide other layer content parameters when providing a ZipFile.")
        if len(direct) > DIRECT_LIMIT:
            # As for functions; the service model does not have this error.
            text = f"Zipped size must be smaller than {DIRECT_LIMIT} bytes"
            raise Refusal("RequestEntityTooLargeException", 413, text)
        return lambda: bytes(direct)
    bucket, key, version = (content.get(name) for name in ("S3Bucket", "S3Key", "S3ObjectVersion"))
    if not bucket or not key:
        raise invalid("Please provide a source for layer content.")
    if content.get("S3ObjectStorageMode") == "REFERENCE" and not version:
        raise invalid("S3ObjectVersion is required when S3ObjectStorageMode is REFERENCE.")
    return region.world.read_object(region.account, region.region, str(bucket), str(key), version)


def _positive(request: Document) -> int:
    number = int(request["VersionNumber"])
    if number < 1:
        raise invalid("Layer Version Cannot be less than 1")
    return number


def _fits(version: dict[str, Any], request: Document) -> bool:
    """Tell whether a version is for the runtime and the architecture of a request."""
    runtime, architecture = request.get("CompatibleRuntime"), request.get("CompatibleArchitecture")
    return (not runtime or runtime in version.get("CompatibleRuntimes", [])) and (
        not architecture or architecture in version.get("CompatibleArchitectures", [])
    )


def _in_list(version: dict[str, Any]) -> Document:
    """Return the members that lists show of a version."""
    return {name: value for name, value in shown(version).items() if name not in ("Content", "LayerArn")}
