"""Runtimes as data (`runtimes.toml`) and `Target`, the pair of runtime and architecture.

Nothing here knows manifests, packages or AWS calls.
"""
