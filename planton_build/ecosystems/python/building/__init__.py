"""From sources to members, in the target's build container: wheels, commands, bytecode, and the build lock.

What is resolved and fetched with pip is next door; engines and images are the sandbox's.
"""
