"""Scripts that are copied into a build container and run there by its own interpreter, Python 3.8 and newer.

Standard library and the pinned tools only. Nothing here is imported by this package: it is read as text.
"""
