"""The two commands: thin click layers over the core, and the only place that knows a terminal.

No build or deploy logic lives here; nothing below imports from here.
"""

import os

# pydantic looks for plugins in the metadata of every installed package: 6 ms for 100 packages, for nothing.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
