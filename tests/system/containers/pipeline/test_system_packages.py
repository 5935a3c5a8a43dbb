"""`system-packages`: installed in the build image, locked with versions, and copied in as far as needed."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [pytest.mark.xdist_group("containers"), pytest.mark.network]

SETUP = """\
from setuptools import Extension, setup

setup(ext_modules=[Extension("sampleyaml", ["sample.c"], libraries=["yaml"])])
"""
MODULE = """\
#include <Python.h>
#include <yaml.h>
static PyObject *version(PyObject *self, PyObject *none) {
    return PyUnicode_FromString(yaml_get_version_string());
}
static PyMethodDef methods[] = {{"version", version, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "sampleyaml", NULL, -1, methods};
PyMODINIT_FUNC PyInit_sampleyaml(void) { return PyModule_Create(&module); }
"""
APP = """\
import sampleyaml

def handler(event, context):
    return sampleyaml.version()
"""
LIBRARY = {"X86_64": b"\x3e\x00", "ARM64": b"\xb7\x00"}


@pytest.mark.parametrize("architecture", ["X86_64", "ARM64"])
def test_a_system_library_is_copied_in_and_loads(
    site: Any, nowhere: dict[str, str], architecture: str
) -> None:
    site.sdist("sampleyaml", {"setup.py": SETUP, "sample.c": MODULE})
    files = {
        "app.py": APP,
        "event.json": "{}",
        "requirements.txt": "sampleyaml\n",
        "planton.toml": '[function.reader]\nsystem-packages = ["libyaml-dev"]\nexclude = ["event.json"]\n',
    }
    folder = site.function("reader", files, architecture=architecture)
    built = site.build(folder)
    (library,) = (name for name in built.members if name.startswith("sampleyaml.libs/"))
    assert library.startswith("sampleyaml.libs/libyaml-0")
    assert built.members[library][18:20] == LIBRARY[architecture]
    (build_lock,) = folder.glob("*.build.lock")
    locked = build_lock.read_text()
    assert 'asked-packages = [\n    "libyaml-dev",\n]' in locked
    assert '"libyaml-dev=0.2.' in locked
    seen = site.run(folder, "verify", "--event", "event.json", "--json")
    assert seen.function["invocation"]["payload"].startswith("0.2.")
    again = site.build(folder, "--locked", "--container", "never", env=nowhere)
    assert again.function["cached"]
    elsewhere = site.build(folder, "--locked", cache="elsewhere")
    assert elsewhere.function["sha256"] == built.function["sha256"]


def test_other_system_packages_are_locked_anew(site: Any) -> None:
    options = "[function.sums]\nsystem-packages = [{}]\n"
    folder = site.function(
        "sums", {"requirements.txt": "crcmod==1.7\n", "planton.toml": options.format('"libyaml-dev"')}
    )
    first = site.build(folder)
    (build_lock,) = folder.glob("*.build.lock")
    assert '"libyaml-dev=' in build_lock.read_text()
    (folder / "planton.toml").write_text(options.format(""))
    refused = site.run(folder, "--no-publish", "--locked", expect=32)
    assert f"{build_lock.name} is outdated" in refused.err
    second = site.build(folder)
    assert not second.function["cached"]
    assert "libyaml" not in build_lock.read_text()
    assert second.function["sha256"] == first.function["sha256"]
    assert site.build(folder, "--locked").function["cached"]


def test_an_unknown_system_package_is_refused_in_the_managers_words(site: Any) -> None:
    folder = site.function(
        "sums",
        {
            "requirements.txt": "crcmod==1.7\n",
            "planton.toml": '[function.sums]\nsystem-packages = ["libnowhere-dev"]\n',
        },
    )
    refused = site.run(folder, "--no-publish", expect=89)
    assert "the system packages libnowhere-dev cannot be installed" in refused.err
    assert "E: Unable to locate package libnowhere-dev" in refused.err
    assert not list(folder.glob("*.build.lock"))
