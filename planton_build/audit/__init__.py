"""Checks on a finished artifact: size, handler. Each check returns findings or raises one typed error.

Nothing here changes an artifact.
"""
