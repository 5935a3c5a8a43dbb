"""Checks on an artifact: size, handler, native code, required packages. Each returns findings or raises.

Nothing here changes an artifact.
"""
