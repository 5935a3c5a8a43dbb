"""One folder per language family: from dependency inputs to a lock, and from a lock to members.

Nothing here knows manifests beyond the project it is given, AWS or a terminal.
"""
