"""A Debian tree without emulation: packages are unpacked, their maintainer scripts are not run.

debootstrap only downloads (and checks signatures). What the few scripts that matter would have done is done
here, and dpkg's database is written, so that `apt-get install` works in the image on both architectures.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ARCHITECTURES = {"x86_64": "amd64", "arm64": "arm64"}
"""Lambda's name of an architecture, and Debian's (and OCI's)."""
PACKAGES = (
    "python3",
    "python3-venv",
    "python3-dev",
    "gcc",
    "g++",
    "make",
    "libc6-dev",
    "ca-certificates",
    "xz-utils",
)
LINKS = {
    "etc/alternatives/awk": "/usr/bin/mawk",
    "etc/alternatives/cc": "/usr/bin/gcc",
    "etc/alternatives/c++": "/usr/bin/g++",
    "usr/bin/awk": "/etc/alternatives/awk",
    "usr/bin/cc": "/etc/alternatives/cc",
    "usr/bin/c++": "/etc/alternatives/c++",
}
"""What update-alternatives would have made."""
USELESS = (
    *("usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian"),
    *(
        "usr/share/gcc",
        "usr/share/pixmaps",
        "usr/share/python-wheels",
        "usr/share/i18n",
        "usr/share/zoneinfo",
    ),
    *(
        "usr/bin/lto-dump*",
        "usr/bin/*-lto-dump*",
        "usr/lib/gcc/*/*/lib*san.a",
        "usr/lib/python3*/config-*/*.a",
    ),
    *("usr/lib/*/libpython*.a", "usr/lib/python3*/EXTERNALLY-MANAGED", "usr/lib/python3*/test"),
    *(
        "var/cache/apt/*",
        "var/cache/debconf/*",
        "var/cache/ldconfig/*",
        "var/log/*",
        "usr/lib/*/gconv/I[BS]*",
    ),
)
"""What makes an image large and is of no use in it. AWS's Python has no EXTERNALLY-MANAGED either."""


def mirrors() -> dict[str, str]:
    """Return the host's own Debian mirrors: codename, with `-security` or `-updates`, to address."""
    command = ["apt-get", "indextargets", "--format", "$(CODENAME) $(SITE)"]
    wanted = ["Component: main", "Created-By: Packages"]
    output = subprocess.run([*command, *wanted], check=True, capture_output=True, text=True).stdout
    return dict(line.split(" ", 1) for line in reversed(output.splitlines()) if " " in line)


def sources(suite: str) -> str:
    """Return the text of an apt sources list for a suite, from the mirrors that the host uses for its own."""
    host = _host_codename()
    lines = [
        f"deb {site} {codename.replace(host, suite)} main\n"
        for codename, site in sorted(mirrors().items())
        if codename in (host, f"{host}-updates", f"{host}-security")
    ]
    if not lines:
        sys.exit(f"the apt sources of this host name no Debian mirror for {host}")
    return "".join(lines)


def _host_codename() -> str:
    release = Path("/etc/os-release").read_text(encoding="utf-8")
    found = re.search(r'^VERSION_CODENAME="?(\w+)', release, re.MULTILINE)
    return found[1] if found else "stable"


def tree(suite: str, architecture: str, work: Path) -> Path:
    """Make a tree of `PACKAGES` and what they need under `work`, and return its folder."""
    packages = _downloaded(suite, ARCHITECTURES[architecture], work)
    root = work / "tree"
    # /usr is merged: `bin`, `lib` and `sbin` must be links beforehand, and tar must respect them.
    for name in ("bin", "lib", "sbin", *(["lib64"] if architecture == "x86_64" else [])):
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(f"usr/{name}")
    for package in packages:
        _unpack(package, root)
    _database(packages, root, work / "control")
    _as_scripts_would(root)
    (root / "etc/apt/sources.list").write_text(sources(suite), encoding="utf-8")
    (root / "etc/apt/apt.conf.d/99standin").write_text(
        'Acquire::Check-Valid-Until "false";\nAcquire::Languages "none";\n'
        'APT::Install-Recommends "false";\nAPT::Sandbox::User "root";\n',
        encoding="utf-8",
    )
    (root / "etc/dpkg/dpkg.cfg.d/99standin").write_text(
        "".join(f"path-exclude=/{folder}/*\n" for folder in USELESS[:4]), encoding="utf-8"
    )
    subprocess.run(["chroot", root, "/sbin/ldconfig"], check=True)
    return root


def _downloaded(suite: str, machine: str, work: Path) -> list[Path]:
    mirror = mirrors().get(_host_codename(), "")
    command = [
        *("debootstrap", f"--arch={machine}", "--variant=minbase", f"--include={','.join(PACKAGES)}"),
        *("--keyring=/usr/share/keyrings/debian-archive-keyring.gpg", "--download-only"),
        *(suite, str(work / "packages"), mirror),
    ]
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"PATH": path}
    )
    if done.returncode != 0:
        sys.exit("\n".join(["debootstrap failed:", *done.stdout.splitlines()[-20:], done.stderr]))
    return sorted((work / "packages/var/cache/apt/archives").glob("*.deb"))


def _unpack(package: Path, root: Path) -> None:
    """Unpack one package, and leave the list of its files beside it."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as opened:
        listing = subprocess.run(
            [
                "tar",
                "-xv",
                "-C",
                root,
                "--keep-directory-symlink",
                "--numeric-owner",
                "--quoting-style=literal",
            ],
            stdin=opened.stdout,
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
    if opened.returncode != 0:
        sys.exit(f"{package.name} cannot be unpacked")
    names = [line.removeprefix(b".").rstrip(b"/") for line in listing.splitlines()]
    package.with_suffix(".list").write_bytes(b"".join((name or b"/.") + b"\n" for name in names))


def _database(packages: list[Path], root: Path, work: Path) -> None:
    """Write dpkg's database as if dpkg had installed everything."""
    dpkg = root / "var/lib/dpkg"
    info = dpkg / "info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "format").write_text("1\n")
    status, file_triggers = [], []
    work.mkdir()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(
            pool.map(
                lambda deb: subprocess.run(["dpkg-deb", "-e", deb, work / deb.stem], check=True), packages
            )
        )
    for package in packages:
        folder = work / package.stem
        control = (folder / "control").read_text(encoding="utf-8").rstrip("\n")
        fields = dict(re.findall(r"^(\S+): (.*)$", control, re.MULTILINE))
        name = fields["Package"]
        shared = fields.get("Multi-Arch") == "same"
        stem = f"{name}:{fields['Architecture']}" if shared else name
        shutil.copyfile(package.with_suffix(".list"), info / f"{stem}.list")
        for part in folder.iterdir():
            if part.name != "control":
                shutil.copy2(part, info / f"{stem}.{part.name}")
        status.append(f"{_installed(control, folder, root)}\n")
        file_triggers += _triggers(folder / "triggers", stem, dpkg / "triggers")
    (dpkg / "status").write_text("\n".join(status), encoding="utf-8")
    (dpkg / "available").touch()
    (dpkg / "triggers/File").write_text("".join(file_triggers))
    machines = re.findall(r"^Architecture: (?!all)(\S+)", "\n".join(status), re.MULTILINE)
    (dpkg / "arch").write_text(f"{machines[0]}\n")


def _installed(control: str, folder: Path, root: Path) -> str:
    """Return the entry of one package in dpkg's `status`."""
    first, _, rest = control.partition("\n")
    conffiles = []
    if (listed := folder / "conffiles").exists():
        for line in listed.read_text(encoding="utf-8").split("\n"):
            path = root / line.lstrip("/")
            if line.startswith("/") and path.is_file():
                conffiles.append(
                    f"\n {line} {hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}"
                )
    tail = f"\nConffiles:{''.join(conffiles)}" if conffiles else ""
    return f"{first}\nStatus: install ok installed\n{rest}{tail}\n"


def _triggers(declared: Path, package: str, folder: Path) -> list[str]:
    """Register the triggers a package waits for (deb-triggers(5)): a named one has a file of its own."""
    if not declared.exists():
        return []
    folder.mkdir(exist_ok=True)
    lines = []
    for kind, name in re.findall(r"^(interest\S*)\s+(\S+)", declared.read_text(), re.MULTILINE):
        waiting = f"{package}/noawait" if kind == "interest-noawait" else package
        if name.startswith("/"):
            lines.append(f"{name} {waiting}\n")
        else:
            with (folder / name).open("a") as file:
                file.write(f"{waiting}\n")
    return lines


def _as_scripts_would(root: Path) -> None:
    """Do what the maintainer scripts of base-passwd, base-files, apt, mawk and gcc would have done."""
    for name in ("passwd", "group"):
        shutil.copyfile(root / f"usr/share/base-passwd/{name}.master", root / "etc" / name)
    with (root / "etc/passwd").open("a") as file:
        file.write("_apt:x:42:65534::/nonexistent:/usr/sbin/nologin\n")
    for name, shadow, tail in (("passwd", "shadow", ":*:19000:0:99999:7:::"), ("group", "gshadow", ":*::")):
        users = [line.split(":")[0] for line in (root / "etc" / name).read_text().splitlines()]
        (root / "etc" / shadow).write_text("".join(f"{user}{tail}\n" for user in users))
        (root / "etc" / shadow).chmod(0o640)
    for name in ("nsswitch.conf", "profile"):
        if (kept := root / "usr/share/base-files" / name).exists():
            shutil.copyfile(kept, root / "etc" / name)
    for name in ("mnt", "opt", "srv", "run/lock", "var/mail", "var/opt", "var/local", "root"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in ("bin", "etc", "include", "lib", "sbin", "share", "src"):
        (root / "usr/local" / name).mkdir(parents=True, exist_ok=True)
    for name in ("tmp", "var/tmp"):
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name).chmod(0o1777)
    for link, goal in LINKS.items():
        if not (root / link).is_symlink():
            (root / link).symlink_to(goal)


def tidy(root: Path) -> None:
    """Remove what makes an image large and is of no use in it."""
    for pattern in USELESS:
        for path in root.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    for name in (
        "var/cache/apt/archives/partial",
        "var/cache/debconf",
        "var/log/apt",
        "usr/share/doc",
        "usr/share/man/man1",
    ):
        (root / name).mkdir(parents=True, exist_ok=True)
