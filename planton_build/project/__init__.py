"""Projects: configuration, discovery in a monorepo, and which source files belong in an artifact.

Nothing here knows how dependencies are resolved or how archives are written to disk.
"""
