"""What a deployment does that no manifest says: the `[deploy]` tables, read, checked and merged.

Nothing here speaks to AWS, and nothing here knows how a setting is carried out.
"""
