"""An AWS for people without an account: moto as a child process, and an invoker on the Runtime API.

Only the commands import this room; the core does not know whether its AWS is local.
"""
