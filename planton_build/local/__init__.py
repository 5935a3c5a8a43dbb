"""An AWS for people without an account: a child process with Lambda and moto, and an invoker of functions.

Only the commands import this room; the core does not know whether its AWS is local.
"""
