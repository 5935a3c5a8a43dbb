"""The life of a function after its deployment: status, versions, drift, adopting, logs, pruning, the end.

One module for each command. AWS is asked each time; nothing is remembered between two commands.
"""
