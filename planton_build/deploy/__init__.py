"""From a manifest with a code source to a function in AWS and its life there: plan, apply, undo, roll back.

Nothing here builds or packages.
"""
