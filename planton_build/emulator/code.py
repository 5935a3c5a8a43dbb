"""A function's code: from where it comes, what Lambda checks of it, and how it is shown."""

from __future__ import annotations

import base64
import hashlib
import io
import uuid
import zipfile
from collections.abc import Mapping
from typing import Any

from planton_build.emulator.account import CODE_SIZE_UNZIPPED, CODE_SIZE_ZIPPED, code_size
from planton_build.emulator.layers import unzipped_size
from planton_build.emulator.operations import Document
from planton_build.emulator.refusal import Refusal, invalid
from planton_build.emulator.state import Code, Function, Region

_ZIP_MEMBERS = ("ZipFile", "S3Bucket", "S3Key", "S3ObjectVersion", "S3ObjectStorageMode")
_SIGNATURE = "META-INF/aws_signer_signature_v1.0.SF"
"""The member that AWS Signer puts into the ZIPs that it signs."""


def check_source(package: str, source: Mapping[str, Any], verb: str) -> None:
    """Raise Refusal unless the members of FunctionCode fit the package type (`Zip` or `Image`).

    `verb` is `creating` or `updating`, for the messages.
    """
    if package == "Image":
        if not source.get("ImageUri") or any(source.get(name) for name in _ZIP_MEMBERS):
            raise invalid(f"Please provide ImageUri when {verb} a function with packageType Image.")
        return
    if source.get("ImageUri"):
        raise invalid(f"Please don't provide ImageUri when {verb} a function with packageType Zip.")
    direct = source.get("ZipFile")
    if direct is not None and (source.get("S3Bucket") or source.get("S3Key")):
        raise invalid("Please do not provide other FunctionCode parameters when providing a ZipFile.")
    if direct is None and not (source.get("S3Bucket") and source.get("S3Key")):
        raise invalid("Please provide a source for function code.")
    if direct is not None and len(direct) > CODE_SIZE_ZIPPED:
        text = f"Zipped size must be smaller than {CODE_SIZE_ZIPPED} bytes"
        raise Refusal("RequestEntityTooLargeException", 413, text)
    if source.get("S3ObjectStorageMode") == "REFERENCE" and not source.get("S3ObjectVersion"):
        # The rule is AWS's, the words are ours.
        raise invalid("S3ObjectVersion is required when S3ObjectStorageMode is REFERENCE.")


def read_code(
    region: Region, name: str, package: str, source: Mapping[str, Any], *, layers: int, signing: str
) -> Code:
    """Return the code that a checked source means.

    `layers` is what the function's layers unpack to, in bytes: so much less may the ZIP. `signing` is the ARN
    of its code signing configuration, or "". Raises Refusal when S3 or ECR has no such thing, and for ZIPs
    that Lambda refuses.
    """
    if package == "Image":
        uri = str(source["ImageUri"])
        digest = region.world.image_digest(region.account, region.region, uri)
        return Code("Image", digest, 0, 0, image_uri=uri, kms_key=str(source.get("SourceKMSKeyArn") or ""))
    referenced, stored = None, None
    if (direct := source.get("ZipFile")) is not None:
        content = bytes(direct)
    else:
        bucket, key = str(source["S3Bucket"]), str(source["S3Key"])
        version = source.get("S3ObjectVersion")
        stored = region.world.read_object(region.account, region.region, bucket, key, version)
        content = stored()
        if source.get("S3ObjectStorageMode") == "REFERENCE":
            referenced = (bucket, key, str(version))
    unzipped = unzipped_size(content)
    if unzipped + layers >= CODE_SIZE_UNZIPPED:
        raise invalid(f"Unzipped size must be smaller than {CODE_SIZE_UNZIPPED - layers} bytes")
    if referenced is None and code_size(region) + len(content) > region.behaviour.code_size_limit:
        raise Refusal("CodeStorageExceededException", 400, "Code storage limit exceeded.", {"Type": "User"})
    _check_signature(region, name, content, signing)
    return Code(
        "Zip",
        hashlib.sha256(content).hexdigest(),
        len(content),
        unzipped,
        location=_location(region, name),
        kms_key=str(source.get("SourceKMSKeyArn") or ""),
        referenced=referenced,
        read=stored or (lambda: content),
    )


def check_with_layers(code: Code, layers: int) -> None:
    """Raise Refusal when a function and its layers unpack to too much. `layers` is in bytes."""
    if code.package == "Zip" and layers and code.unzipped + layers >= CODE_SIZE_UNZIPPED:
        raise invalid(
            f"Function code combined with layers exceeds the maximum allowed size of {CODE_SIZE_UNZIPPED} "
            f"bytes. The actual size is {code.unzipped + layers} bytes."
        )


def code_sha256(code: Code) -> str:
    """Return CodeSha256: Base64 of a ZIP's digest, hex of an image's."""
    if code.package == "Image":
        return code.sha256
    return base64.b64encode(bytes.fromhex(code.sha256)).decode()


def location_answer(code: Code) -> Document:
    """Return `GetFunction.Code`."""
    if code.package == "Image":
        repository, _, last = code.image_uri.partition("@")[0].rpartition("/")
        resolved = f"{repository}/{last.partition(':')[0]}" if repository else last.partition(":")[0]
        answer: Document = {
            "RepositoryType": "ECR",
            "ImageUri": code.image_uri,
            "ResolvedImageUri": f"{resolved}@sha256:{code.sha256}",
        }
    else:
        answer = {"RepositoryType": "S3", "Location": code.location}
    if code.referenced is not None:
        names = ("S3Bucket", "S3Key", "S3ObjectVersion")
        answer["ResolvedS3Object"] = dict(zip(names, code.referenced, strict=True))
    if code.kms_key:
        answer["SourceKMSKeyArn"] = code.kms_key
    return answer


def function_signing(region: Region, function: Function) -> str:
    """Return the ARN of a function's code signing configuration when that is still there, else ""."""
    return function.code_signing if function.code_signing in region.code_signing_configs else ""


def _location(region: Region, name: str) -> str:
    host = f"awslambda-{region.region}-tasks.s3.{region.region}.amazonaws.com"
    return f"https://{host}/snapshots/{region.account}/{name}-{uuid.uuid4()}"


def _check_signature(region: Region, name: str, content: bytes, signing: str) -> None:
    """Refuse an unsigned ZIP where signatures are enforced. Whose signature it is cannot be checked here."""
    policies = region.code_signing_configs.get(signing, {}).get("CodeSigningPolicies") or {}
    if policies.get("UntrustedArtifactOnDeployment") != "Enforce":
        return
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        signed = _SIGNATURE in archive.namelist()
    if not signed:
        raise Refusal(
            "CodeVerificationFailedException",
            400,
            "Lambda cannot deploy the function. The function or layer might be signed using a signature that "
            f"the client is not configured to accept. Check the provided signature for {name}.",
            {"Type": "User"},
        )
