"""`commands`: run once in the build container, with the same bytes each time, or explained."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [pytest.mark.xdist_group("containers"), pytest.mark.network]

OPTIONS = """\
[function.web]
commands = ["sh build.sh"]
"""
BUILD = """\
set -e
mkdir -p "$PLANTON_OUT/static"
sed "s/NAME/$PLANTON_RUNTIME $PLANTON_ARCHITECTURE/" template.txt >"$PLANTON_OUT/static/index.txt"
printf '#!/bin/sh\\nexec date\\n' >"$PLANTON_OUT/tool"
chmod +x "$PLANTON_OUT/tool"
for name in b a C; do echo $name >"$PLANTON_OUT/static/$name"; done
id -un; ls -A /sys/class/net
"""
FILES = {"planton.toml": OPTIONS, "build.sh": BUILD, "template.txt": "made for NAME\n"}


def test_what_commands_make_is_in_the_artifact_and_made_once(site: Any, nowhere: dict[str, str]) -> None:
    folder = site.function("web", FILES)
    first = site.build(folder)
    assert first.members["static/index.txt"] == b"made for python3.11 x86_64\n"
    assert {"static/a", "static/b", "static/C", "app.py", "tool"} <= set(first.members)
    lock = folder / "web.python3.11-x86_64.build.lock"
    assert 'name = "planton-standin/build-python3.11:latest-x86_64"' in lock.read_text()
    again = site.build(folder, "--locked", env=nowhere)
    assert (again.function["cached"], again.function["sha256"]) == (True, first.function["sha256"])
    elsewhere = site.build(folder, "--locked", cache="another")
    assert elsewhere.function["sha256"] == first.function["sha256"]
    (folder / "template.txt").write_text("changed for NAME\n")
    site.build(folder, "--locked", env=nowhere, expect=80)
    assert site.build(folder).members["static/index.txt"] == b"changed for python3.11 x86_64\n"
    lock.unlink()
    refused = site.run(folder, "--no-publish", "--locked", expect=32)
    assert "web.python3.11-x86_64.build.lock is missing" in refused.err


def test_a_command_that_fails_is_told_with_its_output(site: Any) -> None:
    options = 'commands = ["echo first", "echo to say >&2; exit 3", "echo never"]\n'
    folder = site.function("web", {"planton.toml": f"[function.web]\n{options}"})
    failed = site.run(folder, "--no-publish", expect=88)
    assert "error[commands_failed]" in failed.err
    assert "`echo to say >&2; exit 3` (exit code 3) of web failed" in failed.err
    assert "to say" in failed.err.splitlines()
    assert "never" not in failed.err


def test_commands_that_make_nothing_are_refused(site: Any) -> None:
    folder = site.function("web", {"planton.toml": '[function.web]\ncommands = ["true"]\n'})
    failed = site.run(folder, "--no-publish", expect=88)
    assert "left nothing in $PLANTON_OUT" in failed.err


def test_commands_have_no_network_and_no_rights(site: Any) -> None:
    commands = (
        """commands = ["id -u >$PLANTON_OUT/user; ls -A /sys/class/net | tr '\\\\n' ' ' >$PLANTON_OUT/net"]"""
    )
    folder = site.function("web", {"planton.toml": f"[function.web]\n{commands}\n"})
    members = site.build(folder).members
    assert (members["user"], members["net"].split()) == (b"1000\n", [b"lo"])


def test_commands_are_refused_where_containers_are(site: Any, nowhere: dict[str, str]) -> None:
    folder = site.function("web", FILES)
    refused = site.run(folder, "--no-publish", "--container", "never", env=nowhere, expect=38)
    assert "web has `commands`" in refused.err
