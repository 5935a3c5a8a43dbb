"""Python: dependency inputs, locks per target, the wheelhouse, and wheels as members.

Archive writing, uploads and terminals do not belong here.
"""
