"""Make a thumbnail: of an uploaded S3 object, or of a picture in the event itself."""

import base64
import io
import os

from PIL import Image, ImageOps


def thumbnail(picture: bytes, width: int) -> bytes:
    with Image.open(io.BytesIO(picture)) as image:
        upright = ImageOps.exif_transpose(image)
        upright.thumbnail((width, width))
        out = io.BytesIO()
        upright.convert("RGB").save(out, format="JPEG", quality=85)
        return out.getvalue()


def from_s3(record: dict, width: int) -> dict:
    import boto3  # part of the Lambda runtime

    s3 = boto3.client("s3")
    bucket, key = record["s3"]["bucket"]["name"], record["s3"]["object"]["key"]
    small = thumbnail(s3.get_object(Bucket=bucket, Key=key)["Body"].read(), width)
    target = os.environ["TARGET_BUCKET"]
    s3.put_object(Bucket=target, Key=key, Body=small, ContentType="image/jpeg")
    return {"bucket": target, "key": key, "bytes": len(small)}


def handler(event, context):
    width = int(os.environ.get("THUMBNAIL_WIDTH", "320"))
    if "Records" in event:
        return [from_s3(record, width) for record in event["Records"]]
    small = thumbnail(base64.b64decode(event["picture"]), width)
    with Image.open(io.BytesIO(small)) as image:
        return {"width": image.width, "height": image.height, "bytes": len(small)}
