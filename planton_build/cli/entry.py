"""Where the two programs begin: nothing is imported before Ctrl-C is understood."""

from __future__ import annotations

import sys

_INTERRUPTED = 130  # as in `commands`, whose import is what may be interrupted


def build() -> None:
    """Run `planton-build`."""
    try:
        from planton_build.cli.build import main

        main()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def deploy() -> None:
    """Run `planton-deploy`."""
    try:
        from planton_build.cli.deploy import main

        main()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
