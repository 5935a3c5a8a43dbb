"""Where artifacts go: S3. Sessions and clients of the AWS SDK are made here.

Nothing here builds or deploys.
"""
