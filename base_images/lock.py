"""Lock the toolchain of the build images: `python base_images/lock.py [--upgrade]`, from a checkout.

Writes `python/toolchain/TARGET.lock` for every target of `images.toml`: by the resolver, from the indexes and
in the form of any function's lock. Commit them. Without `--upgrade`, versions stay where they still fit.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys

from planton_build.ecosystems.python.index import Index
from planton_build.ecosystems.python.inputs import DependencyInput
from planton_build.ecosystems.python.lock import read_lock, render
from planton_build.ecosystems.python.resolver import Upgrade, UvResolver
from planton_build.ecosystems.python.selection import narrow
from planton_build.ecosystems.python.settings import read_pip_settings
from planton_build.files import write_atomic
from planton_build.sandbox import pins


def main() -> int:
    """Make every lock anew and say which changed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions")
    upgrade = Upgrade(everything=parser.parse_args().upgrade)
    folder = pins.base_images_folder()
    path = folder / "python" / "toolchain.in"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    dependencies = DependencyInput("requirements", path, digest, is_locked=False)
    settings = read_pip_settings()
    index = Index(settings)
    resolver = UvResolver(os.environ)
    for target in pins.targets():
        if target.family != "python":
            continue
        place = pins.toolchain_lock(target)
        before = place.read_bytes() if place.is_file() else b""
        kept = {p.name: p.version for p in read_lock(place, target)[0].packages} if before else {}
        lock = narrow(resolver.resolve(dependencies, target, settings, pins=kept, upgrade=upgrade), index)
        # It is not `planton-build lock` that refreshes these.
        text = render(lock, digest, beside=place.parent).replace(
            "planton-build lock", "python base_images/lock.py"
        )
        write_atomic(place, text.encode())
        state = "unchanged" if text.encode() == before else "written"
        sys.stdout.write(f"{place.name}: {len(lock.packages)} packages, {state}\n")
    index.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
