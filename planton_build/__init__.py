"""Build, check, publish and deploy AWS Lambda functions that `AwsLambda` manifests describe.

The public surface is the two commands; the rooms below are typed and documented, and may be imported.
"""

__version__ = "0.1.0"
