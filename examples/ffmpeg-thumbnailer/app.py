"""Make a thumbnail of a video with ffmpeg: of one in the event, or of one uploaded to S3."""

import base64
import os
import subprocess
import tempfile
from pathlib import Path, PurePosixPath
from urllib.parse import unquote_plus

FFMPEG = ("ffmpeg", "-nostdin", "-loglevel", "error", "-y")


def thumbnail(video: Path, seconds: float, width: int) -> bytes:
    """Return the picture at `seconds` of a video as a JPEG that is `width` pixels wide."""
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "picture.jpg"
        command = [*FFMPEG, "-ss", str(seconds), "-i", str(video)]
        command += ["-frames:v", "1", "-vf", f"scale={width}:-2", str(picture)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ValueError(f"ffmpeg cannot read the video: {done.stderr.strip()}")
        return picture.read_bytes()


def from_s3(record: dict, seconds: float, width: int) -> dict:
    """Make the thumbnail of one uploaded video and put it into the other bucket."""
    import boto3  # part of the Lambda runtime

    s3, bucket = boto3.client("s3"), record["s3"]["bucket"]["name"]
    key = unquote_plus(record["s3"]["object"]["key"])  # in S3's events, keys are URL-encoded
    target, name = os.environ["TARGET_BUCKET"], str(PurePosixPath(key).with_suffix(".jpg"))
    with tempfile.NamedTemporaryFile() as video:
        s3.download_fileobj(bucket, key, video)
        video.flush()
        small = thumbnail(Path(video.name), seconds, width)
    s3.put_object(Bucket=target, Key=name, Body=small, ContentType="image/jpeg")
    return {"bucket": target, "key": name, "bytes": len(small)}


def handler(event: dict, context: object) -> dict | list:
    seconds, width = float(event.get("seconds", 1)), int(os.environ.get("THUMBNAIL_WIDTH", "320"))
    if "Records" in event:
        return [from_s3(record, seconds, width) for record in event["Records"]]
    with tempfile.NamedTemporaryFile() as video:
        video.write(base64.b64decode(event["video"]))
        video.flush()
        return {"jpeg": base64.b64encode(thumbnail(Path(video.name), seconds, width)).decode()}
