"""Members and the deterministic archives made of them: a strict ZIP reader, a splicing ZIP writer, digests.

Nothing here knows manifests, Python packages, AWS or a terminal.
"""
