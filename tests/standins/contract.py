"""What a tree needs to stand in for `public.ecr.aws/sam/build-python…` and `public.ecr.aws/lambda/python`."""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
RUNTIME_CLIENT = "awslambdaric==4.2.2"
EMULATOR = "aws-sam-cli==1.170.0"
"""Its wheel holds the Runtime Interface Emulator for both architectures."""
GLIBC = {"bookworm": "2.36", "trixie": "2.41"}

ENTRYPOINT = """\
#!/bin/sh
# As in AWS's image: the emulator unless there is a Runtime API already.
if [ $# -ne 1 ]; then
  echo "entrypoint requires the handler name to be the first argument" 1>&2
  exit 142
fi
export _HANDLER="$1"
if [ -z "${AWS_LAMBDA_RUNTIME_API}" ]; then
  exec /usr/local/bin/aws-lambda-rie /var/runtime/bootstrap
fi
exec /var/runtime/bootstrap
"""
BOOTSTRAP = """\
#!/bin/sh
export AWS_EXECUTION_ENV=AWS_Lambda_python{python}
layers=/opt/python/lib/python{python}/site-packages:/opt/python
export PYTHONPATH="${{PYTHONPATH:+$PYTHONPATH:}}$layers:/var/runtime"
exec /var/lang/bin/python3 -m awslambdaric "$_HANDLER"
"""


def add(root: Path, *, python: str, architecture: str, suite: str) -> None:
    """Add the paths, programs and files of AWS's images to a Debian tree that has this Python."""
    language = root / "var/lang/bin"
    language.mkdir(parents=True)
    for name in ("python3", f"python{python}"):
        (language / name).symlink_to(f"/usr/bin/python{python}")
    for name in ("var/task", "var/runtime", "var/lang/lib", "opt"):
        (root / name).mkdir(parents=True, exist_ok=True)
    # The second copy is what update-ca-certificates, run after `apt-get install`, makes the first one from.
    for name in ("etc/ssl/certs/ca-certificates.crt", "usr/local/share/ca-certificates/host.crt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(CERTIFICATES, root / name)
    (root / "etc/ca-certificates.conf").touch()
    (root / "etc/planton-standin").write_text(
        f"stand-in for public.ecr.aws/sam/build-python{python}: "
        f"Debian, glibc {GLIBC[suite]}; not Amazon Linux\n"
    )
    _program(root / "lambda-entrypoint.sh", ENTRYPOINT.encode())
    _program(root / "var/runtime/bootstrap", BOOTSTRAP.format(python=python).encode())
    with tempfile.TemporaryDirectory() as folder:
        _unpack_wheels(Path(folder), root / "var/runtime", python, architecture)
        _download(Path(folder), EMULATOR, "--no-deps")
        (wheel,) = Path(folder).glob("aws_sam_cli-*.whl")
        with zipfile.ZipFile(wheel) as opened:
            emulator = opened.read(f"samcli/local/rapid/aws-lambda-rie-{architecture}")
    _program(root / "usr/local/bin/aws-lambda-rie", emulator)
    _precompile(root, python)


def _program(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o755)


def _unpack_wheels(folder: Path, runtime: Path, python: str, architecture: str) -> None:
    machine = {"x86_64": "x86_64", "arm64": "aarch64"}[architecture]
    platforms = [
        part for tag in ("manylinux2014", "manylinux_2_28") for part in ("--platform", f"{tag}_{machine}")
    ]
    _download(
        folder,
        RUNTIME_CLIENT,
        "--only-binary=:all:",
        "--implementation=cp",
        f"--python-version={python}",
        *platforms,
    )
    for wheel in folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as opened:
            opened.extractall(runtime)


def _download(folder: Path, requirement: str, *options: str) -> None:
    """Let a pip of the host fetch wheels with the host's own settings."""
    for pip in ([sys.executable, "-m", "pip"], ["pip3"], ["pip"]):
        if (
            shutil.which(pip[0])
            and subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode == 0
        ):
            subprocess.run([*pip, "download", "-qq", "--dest", folder, requirement, *options], check=True)
            return
    sys.exit("tests/standins/make: no pip on this host (python3-pip)")


def _precompile(root: Path, python: str) -> None:
    """Compile the standard library: no user of the image may write it, and emulation makes compiling slow.

    Bytecode does not depend on the architecture: the host's Python does it when it is of the same version.
    """
    options = ["-m", "compileall", "-q", "-j0", "--invalidation-mode=unchecked-hash"]
    places = [f"usr/lib/python{python}", "usr/lib/python3/dist-packages", "var/runtime"]
    host = f"{sys.version_info.major}.{sys.version_info.minor}"
    environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "PYTHONHASHSEED": "0"}
    if host == python:
        paths = [str(root / place) for place in places]
        command = [sys.executable, *options, "-s", str(root), "-p", "/", *paths]
    else:
        (root / "dev/shm").mkdir(mode=0o1777, parents=True, exist_ok=True)  # for the semaphores of -j0
        paths = [f"/{place}" for place in places]
        command = ["chroot", str(root), f"/usr/bin/python{python}", *options, *paths]
    subprocess.run(command, check=True, env=environment)
