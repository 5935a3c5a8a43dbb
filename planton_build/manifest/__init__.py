"""`AwsLambda` manifests: reading them with positions, their rules, and byte-exact write-back.

Nothing here knows builds, packages, AWS or a terminal.
"""
