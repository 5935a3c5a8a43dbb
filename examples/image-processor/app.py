"""Make a thumbnail: of pictures uploaded to S3, or of one in the event itself."""

import base64
import io
import os
from pathlib import PurePosixPath
from urllib.parse import unquote_plus

import boto3  # part of the Lambda runtime
from PIL import Image, ImageOps

s3 = boto3.client("s3")  # made once: warm invocations reuse its connections


def thumbnail(picture: bytes, width: int) -> bytes:
    """Return a picture as a JPEG of at most `width` pixels in either direction, the right way up."""
    with Image.open(io.BytesIO(picture)) as image:
        upright = ImageOps.exif_transpose(image)
        upright.thumbnail((width, width))
        out = io.BytesIO()
        upright.convert("RGB").save(out, format="JPEG", quality=85)
        return out.getvalue()


def from_s3(record: dict, width: int) -> dict:
    """Make the thumbnail of one uploaded object and put it into the other bucket."""
    bucket = record["s3"]["bucket"]["name"]
    key = unquote_plus(record["s3"]["object"]["key"])  # in S3's events, keys are URL-encoded
    small = thumbnail(s3.get_object(Bucket=bucket, Key=key)["Body"].read(), width)
    target, name = os.environ["TARGET_BUCKET"], str(PurePosixPath(key).with_suffix(".jpg"))
    s3.put_object(Bucket=target, Key=name, Body=small, ContentType="image/jpeg")
    return {"bucket": target, "key": name, "bytes": len(small)}


def handler(event: dict, context: object) -> dict | list:
    width = int(os.environ["THUMBNAIL_WIDTH"])
    if "Records" in event:
        return [from_s3(record, width) for record in event["Records"]]
    return {"jpeg": base64.b64encode(thumbnail(base64.b64decode(event["picture"]), width)).decode()}
