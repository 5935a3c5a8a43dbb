"""Readers of the locks that other tools made: each gives a `Lock` for one target, with all hashes it finds.

Nothing here writes a file or reaches the network.
"""
