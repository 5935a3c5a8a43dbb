"""From a manifest with a code source to a function in AWS: desired, observed, plan, apply.

Nothing here builds, packages or writes manifests.
"""
