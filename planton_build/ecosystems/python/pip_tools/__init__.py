"""pip-tools and pip, run by the target's own interpreter in its build container: resolving and fetching.

Nothing here builds what goes in; the host's resolver and downloads are a folder above.
"""
