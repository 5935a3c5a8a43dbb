"""Image registries, by the OCI distribution protocol: names, logins, pulling and pushing.

No container engine and no AWS in here: where a repository's login comes from is the caller's business.
"""
