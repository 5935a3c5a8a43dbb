"""The main job on an embedded AWS: build, publish, deploy and invoke `examples/price-tag`. No account, no Docker.

Works on a copy in a temporary folder, with a cache and a local AWS of its own, and leaves nothing behind.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAYLOAD = '{"price": "1299.9", "currency": "EUR", "locale": "de_DE"}'


def run(*command: str, folder: Path) -> None:
    """Show a command, then run it as the user would."""
    print(f"\n$ {' '.join(command)}", flush=True)
    scripts = Path(sys.executable).parent
    program = shutil.which(command[0], path=os.pathsep.join([str(scripts), os.environ["PATH"]]))
    subprocess.run([program or command[0], *command[1:]], cwd=folder, check=True)


def main() -> None:
    """Run the demo."""
    with tempfile.TemporaryDirectory(prefix="planton-demo-") as name:
        folder = Path(name) / "price-tag"
        shutil.copytree(HERE / "price-tag", folder)
        os.environ["PLANTON_STATE_DIR"] = str(Path(name) / "state")
        os.environ.setdefault("PLANTON_CACHE_DIR", str(Path(name) / "cache"))
        try:
            run("planton-build", "--local", folder=folder)
            run("planton-build", "check", folder=folder)
            run("planton-deploy", "plan", "--local", folder=folder)
            run("planton-deploy", "--local", folder=folder)
            run("planton-deploy", "--local", folder=folder)
            run(
                "planton-deploy", "invoke", "price-tag", "--local", "--any-python", "--payload", PAYLOAD,
                folder=folder,
            )
        finally:
            run("planton-deploy", "local", "stop", folder=folder)


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
