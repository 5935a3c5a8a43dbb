"""The two commands: thin click layers over the core, and the only place that knows a terminal.

No build or deploy logic lives here; nothing below imports from here.
"""
