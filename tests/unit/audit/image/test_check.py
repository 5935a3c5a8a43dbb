"""One broken image for each rule, beside the whole one that they are made of."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from planton_build.audit.image.check import ImageReport, check_image, raise_for
from planton_build.cache import Store
from planton_build.errors import (
    HandlerMissing,
    ImageInvalid,
    ImageMismatch,
    NativeCodeUnloadable,
    PlantonError,
    SizeLimitExceeded,
)
from planton_build.oci.image import Image
from planton_build.oci.media_types import DOCKER_CONFIG, DOCKER_LAYER, DOCKER_MANIFEST, OCI_INDEX
from planton_build.runtimes.catalog import target_for

X86 = target_for("python3.12", "x86_64")
ARM = target_for("python3.12", "arm64")
MODULE = "var/task/fast.cpython-312-x86_64-linux-gnu.so"

Craft = Callable[..., bytes]
Make = Callable[..., Image]


@pytest.fixture
def check(store: Store) -> Callable[..., ImageReport]:
    def checked(image: Image, **options: Any) -> ImageReport:
        return check_image(image, store, **{"target": X86, **options})

    return checked


def failures(report: ImageReport) -> list[tuple[str, str]]:
    return [(one.rule, one.subject) for one in report.audit.findings]


def notes(report: ImageReport) -> list[str]:
    return [one.rule for one in report.audit.notes]


def raised(report: ImageReport) -> PlantonError:
    with pytest.raises(PlantonError) as caught:
        raise_for(report)
    return caught.value


def test_a_whole_image_has_no_finding(check: Any, make: Make) -> None:
    report = check(make())
    assert (report.audit.findings, report.audit.notes) == ((), ())
    assert (report.glibc, report.complete, len(report.layers)) == ("2.34", True, 2)
    assert report.unpacked == sum(layer.unpacked for layer in report.layers)
    assert report.layers[1].created_by == "step 1"
    raise_for(report)


def test_a_docker_image_has_no_finding(check: Any, make: Make, by_hand: ModuleType) -> None:
    image = make()
    layers = [
        replace(one, descriptor=replace(one.descriptor, media_type=DOCKER_LAYER)) for one in image.layers
    ]
    config = {"mediaType": DOCKER_CONFIG, "digest": image.config_digest, "size": len(image.config)}
    docker = by_hand.with_manifest(image.config, layers, mediaType=DOCKER_MANIFEST, config=config)
    assert check(docker).audit.findings == ()


# Documents.


@pytest.mark.parametrize(
    ("media_type", "words"),
    [
        ("application/vnd.oci.image.layer.v1.tar", "uncompressed"),
        ("application/vnd.docker.image.rootfs.diff.tar", "uncompressed"),
        ("application/vnd.oci.image.layer.v1.tar+zstd", "only gzip"),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "somewhere else"),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "somewhere else"),
        ("application/vnd.in-toto+json", "no layer of files"),
    ],
)
def test_layers_of_kinds_that_lambda_refuses(
    check: Any, make: Make, by_hand: ModuleType, media_type: str, words: str
) -> None:
    image = make()
    layers = [replace(one, descriptor=replace(one.descriptor, media_type=media_type)) for one in image.layers]
    report = check(by_hand.with_manifest(image.config, layers))
    assert failures(report) == [("media-type", "layer 1")]  # both layers, told as one
    assert words in report.audit.findings[0].message
    assert type(raised(report)) is ImageInvalid


def test_an_archive_s_layers_may_be_uncompressed(check: Any, make: Make, by_hand: ModuleType) -> None:
    image = make()
    kind = "application/vnd.oci.image.layer.v1.tar"
    layers = [by_hand.layer_of(tar, tar, media_type=kind) for tar in map(unpacked, image.layers)]
    plain = by_hand.with_manifest(image.config, layers)
    assert failures(check(plain)) == [("media-type", "layer 1")]
    report = check(plain, archived=True)
    assert (failures(report), notes(report)) == ([], ["media-type"])


def unpacked(layer: Any) -> bytes:
    import gzip

    return gzip.decompress(b"".join(layer.content.chunks()))


def test_a_layer_that_only_says_to_be_gzipped(check: Any, make: Make, by_hand: ModuleType) -> None:
    image = make()
    tar = unpacked(image.layers[1])
    lying = by_hand.with_manifest(image.config, [image.layers[0], by_hand.layer_of(tar, tar)])
    assert failures(check(lying)) == [("media-type", "layer 2")]


@pytest.mark.parametrize("kind", [OCI_INDEX, "application/vnd.docker.distribution.manifest.v1+prettyjws"])
def test_a_manifest_of_another_kind(check: Any, make: Make, kind: str) -> None:
    image = make()
    document = {**json.loads(image.manifest), "mediaType": kind}
    report = check(replace(image, manifest=json.dumps(document).encode(), media_type=kind))
    assert failures(report) == [("manifest", kind)]
    assert type(raised(report)) is ImageInvalid


def test_an_artifact_that_is_no_image(check: Any, make: Make, by_hand: ModuleType) -> None:
    image = make()
    kind = "application/vnd.cncf.helm.config.v1+json"
    config = {"mediaType": kind, "digest": image.config_digest, "size": len(image.config)}
    report = check(by_hand.with_manifest(image.config, image.layers, config=config))
    assert failures(report) == [("manifest", kind)]


def test_documents_that_do_not_belong_together(check: Any, make: Make) -> None:
    image = make()
    other = make(Cmd=["other.handler"])
    assert ("manifest", "config") in failures(check(replace(image, config=other.config)))
    assert ("manifest", "layers") in failures(check(replace(image, layers=image.layers[:1])))


def test_missing_history_many_layers_and_vain_settings_are_notes(
    check: Any, make: Make, by_hand: ModuleType
) -> None:
    image = make()
    extra = [by_hand.layer_of(by_hand.tar_of([by_hand.File(f"n{index}")])) for index in range(126)]
    changes = {"User": "app", "Volumes": {"/data": {}}, "Healthcheck": {"Test": ["CMD", "true"]}}
    report = check(by_hand.image_of(*image.layers, *extra, history=None, **changes))
    assert failures(report) == []
    assert sorted(notes(report)) == ["history", "ignored", "layers"]
    said = next(one.message for one in report.audit.notes if one.rule == "ignored")
    assert "User, Volumes, Healthcheck" in said


# Size.


def test_an_image_over_the_limit_is_not_read_to_its_end(check: Any, make: Make, by_hand: ModuleType) -> None:
    image = make(by_hand.File("var/task/large", bytes(3 << 20)))
    total = check(image).unpacked
    assert check(image, limit=total).complete
    report = check(image, limit=total - 1)
    assert (report.complete, failures(report)) == (False, [("size", "size")])
    assert type(raised(report)) is SizeLimitExceeded


# Platform.


def test_an_image_for_another_architecture(check: Any, make: Make) -> None:
    report = check(make(architecture="arm64"))
    assert failures(report)[0] == ("image-architecture", "architecture")
    assert type(raised(report)) is ImageMismatch
    report = check(make(architecture="s390x"), target=None)
    assert failures(report) == [("image-architecture", "architecture")]
    assert failures(check(make(), target=None, architecture="arm64"))[0][0] == "image-architecture"


def test_an_image_for_another_system(check: Any, make: Make) -> None:
    assert failures(check(make(os="windows"))) == [("os", "os")]


def test_an_image_whose_files_are_for_another_machine_than_it_says(check: Any, make: Make) -> None:
    report = check(make(machine="aarch64"))
    assert ("architecture", "usr/bin/bash") in failures(report)
    assert type(raised(report)) is NativeCodeUnloadable
    assert failures(check(make(machine="aarch64", architecture="arm64"), target=ARM)) == []


def test_native_code_of_another_machine(check: Any, make: Make, by_hand: ModuleType, elf: Craft) -> None:
    foreign = elf("aarch64")
    assert failures(check(make(by_hand.File("var/task/lib/libx.so", foreign)))) == [
        ("architecture", "var/task/lib/libx.so")
    ]
    cross = make(by_hand.File("usr/aarch64-linux-gnu/lib/libc.so.6", foreign))
    assert (failures(check(cross)), notes(check(cross))) == ([], ["architecture"])
    chosen = make(
        by_hand.File("var/task/p/linux-arm64/libx.so", foreign)
    )  # packages bring several on purpose
    assert (failures(check(chosen)), notes(check(chosen))) == ([], ["architecture"])


def test_a_file_that_a_higher_layer_removes_is_not_judged(
    check: Any, make: Make, by_hand: ModuleType, elf: Craft
) -> None:
    image = make(by_hand.File("var/task/lib/libx.so", elf("aarch64")))
    above = by_hand.layer_of(by_hand.tar_of([by_hand.File("var/task/lib/.wh.libx.so")]))
    assert failures(check(by_hand.image_of(*image.layers, above))) == []


# Start.


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({"Entrypoint": None, "Cmd": None}, "failure"),
        ({"Entrypoint": ["/absent"]}, "failure"),
        ({"Entrypoint": ["absent"]}, "failure"),
        ({"Entrypoint": ["/usr/bin"]}, "failure"),
        ({"Entrypoint": ["/var/task/app.py"]}, "failure"),
        ({"Entrypoint": ["bash"]}, "note"),
        ({"Entrypoint": ["/bin/bash"]}, "note"),
        ({"Entrypoint": None, "Cmd": ["/usr/bin/sh"]}, "note"),
        ({"Entrypoint": ["/usr/bin/bash"]}, None),
    ],
)
def test_the_entrypoint_must_be_there_to_run(
    check: Any, make: Make, changes: dict[str, Any], level: str | None
) -> None:
    report = check(make(**changes))
    assert [one[0] for one in failures(report)] == (["entrypoint"] if level == "failure" else [])
    assert notes(report) == (["entrypoint"] if level == "note" else [])
    if level == "failure":
        assert type(raised(report)) is ImageInvalid


def test_a_script_needs_its_interpreter(check: Any, make: Make) -> None:
    report = check(make(without=["usr/bin/sh"]))
    assert failures(report) == [("entrypoint", "/lambda-entrypoint.sh")]
    assert "'/bin/sh'" in report.audit.findings[0].message


@pytest.mark.parametrize(
    ("kind", "mode", "fails"), [("f", 0o600, True), ("f", 0o604, False), ("d", 0o750, True)]
)
def test_the_function_s_files_are_for_everybody(
    check: Any, make: Make, by_hand: ModuleType, kind: str, mode: int, fails: bool
) -> None:
    report = check(make(by_hand.File("var/task/part", kind=kind, mode=mode)))
    assert failures(report) == ([("permissions", "var/task/part")] if fails else [])
    assert failures(check(make(by_hand.File("root/part", kind=kind, mode=mode)))) == []


def test_the_folders_above_the_function_s_are_for_everybody(
    check: Any, make: Make, by_hand: ModuleType
) -> None:
    assert failures(check(make(by_hand.File("var", kind="d", mode=0o700)))) == [("permissions", "var")]


# Handler.


@pytest.mark.parametrize(
    ("command", "fails"),
    [
        (["app.handler"], False),
        (["pkg.mod.handler"], False),
        (["pkg.handler"], False),
        (["fast.handler"], False),
        (["installed.handler"], False),
        ([], True),
        (["app.handler", "more"], True),
        (["handler"], True),
        (["app." + "x" * 300], True),
        (["absent.handler"], True),
    ],
)
def test_the_command_names_a_module_that_is_there(
    check: Any, make: Make, by_hand: ModuleType, elf: Craft, command: list[str], fails: bool
) -> None:
    files = [
        "var/task/pkg/__init__.py",
        "var/task/pkg/mod.py",
        "var/lang/lib/python3.12/site-packages/installed.py",
    ]
    image = make(*map(by_hand.File, files), by_hand.File(MODULE, elf()), Cmd=command)
    report = check(image)
    assert [one[0] for one in failures(report)] == (["handler"] if fails else [])
    assert [one[0] for one in failures(check(image, target=None))] == (["handler"] if fails else [])
    if fails:
        assert type(raised(report)) is HandlerMissing


def test_the_function_s_handler_wins_over_the_command(check: Any, make: Make) -> None:
    assert failures(check(make(), handler="apps.handler")) == [("handler", "apps.handler")]
    assert "did you mean app.handler?" in check(make(), handler="apps.handler").audit.findings[0].hint
    assert failures(check(make(Cmd=None), handler="app.handler")) == []


def test_the_runtime_client_as_entrypoint_takes_a_handler_too(check: Any, make: Make) -> None:
    words = ["/var/lang/bin/python3.12", "-m", "awslambdaric"]
    assert failures(check(make(Entrypoint=words))) == []
    assert failures(check(make(Entrypoint=words, Cmd=["no.handler"]))) == [("handler", "no.handler")]


def test_other_entrypoints_take_what_they_like(check: Any, make: Make) -> None:
    assert (
        failures(check(make(Entrypoint=["/usr/bin/bash"], Cmd=["-c", "exec /opt/server"], app=False))) == []
    )


# glibc, libraries, Python.


def test_native_code_that_needs_a_newer_glibc(
    check: Any, make: Make, by_hand: ModuleType, elf: Craft
) -> None:
    new = by_hand.File(MODULE, elf(versions=[("libc.so.6", "GLIBC_2.34")]))
    assert failures(check(make(new))) == []
    report = check(make(new, glibc="2.26"))
    assert (failures(report), notes(report)) == ([("glibc", MODULE)], ["base-glibc"])
    assert type(raised(report)) is NativeCodeUnloadable
    assert "has glibc 2.26" in report.audit.findings[0].message


def test_glibc_counts_for_layers_over_the_base(
    check: Any, make: Make, by_hand: ModuleType, elf: Craft
) -> None:
    image = make(by_hand.File("usr/local/bin/tool", elf(versions=[("libc.so.6", "GLIBC_2.38")]), 0o755))
    assert failures(check(image)) == []
    assert failures(check(image, base_layers=2)) == []
    assert failures(check(image, base_layers=1)) == [("glibc", "usr/local/bin/tool")]


def test_an_image_without_glibc(check: Any, make: Make, by_hand: ModuleType, elf: Craft) -> None:
    new = by_hand.File(MODULE, elf(versions=[("libc.so.6", "GLIBC_2.17")]))
    musl = by_hand.File("lib/ld-musl-x86_64.so.1", elf())
    report = check(make(new, musl, without=["usr/lib64/libc.so.6"]))
    assert failures(report) == [("glibc", "usr/bin/bash"), ("library", "libc.so.6")]
    assert report.audit.findings[0].files == ("usr/bin/bash", "var/lang/bin/python3.12", MODULE)
    assert "no glibc but musl" in report.audit.findings[0].message


def test_a_library_that_is_nowhere(check: Any, make: Make, by_hand: ModuleType, elf: Craft) -> None:
    module = by_hand.File(MODULE, elf(needed=["libpq.so.5", "libc.so.6"]))
    report = check(make(module))
    assert failures(report) == [("library", "libpq.so.5")]
    assert failures(check(make(module, by_hand.File("usr/lib64/libpq.so.5", elf())))) == []
    assert failures(check(make(module, by_hand.File("usr/lib64/libpq.so.5", elf("aarch64"))))) != []
    allowed = check(make(module), allow={"libpq.so.5": "never used"})
    assert (failures(allowed), notes(allowed)) == ([], ["library"])


def test_a_plugin_that_nothing_is_linked_with_is_a_note(
    check: Any, make: Make, by_hand: ModuleType, elf: Craft
) -> None:
    plugin = by_hand.File("var/task/p/plugins/libgui.so", elf(needed=["libX11.so.6"]))
    assert notes(check(make(plugin))) == ["library"]
    module = by_hand.File(MODULE, elf(needed=["libgui.so"]))
    assert failures(check(make(plugin, module))) == [("library", "libX11.so.6")]


def test_an_image_with_another_python(check: Any, make: Make) -> None:
    report = check(make(), target=target_for("python3.13", "x86_64"))
    assert failures(report) == [("python", "python")]
    assert failures(check(make(), target=target_for("nodejs22.x", "x86_64"))) == []


def test_modules_for_another_python(check: Any, make: Make, by_hand: ModuleType, elf: Craft) -> None:
    other = by_hand.File("var/task/p/x.cpython-311-x86_64-linux-gnu.so", elf())
    assert failures(check(make(other))) == [("python-abi", other.path)]
    fitting = by_hand.File("var/task/p/x.cpython-312-x86_64-linux-gnu.so", elf())
    assert failures(check(make(other, fitting))) == []


def test_a_damaged_library(check: Any, make: Make, by_hand: ModuleType, elf: Craft) -> None:
    damaged = elf(needed=["libc.so.6"])[:150]
    assert failures(check(make(by_hand.File("var/task/x.so", damaged)))) == [("unreadable", "var/task/x.so")]
    assert notes(check(make(by_hand.File("usr/share/x.so", damaged)))) == ["unreadable"]


# Together.


def test_the_most_basic_fault_decides_and_all_are_told(check: Any, make: Make, by_hand: ModuleType) -> None:
    report = check(make(by_hand.File("var/task/x", mode=0o600), Cmd=["no.handler"], architecture="arm64"))
    error = raised(report)
    assert type(error) is ImageMismatch
    assert {"image_mismatch", "handler_missing", "image_invalid"} <= {one.code for one in error.findings}
    assert error.message.startswith(f"{len(error.findings)} faults in the image; first, ")


def test_what_a_hostile_configuration_says_is_told_in_part(check: Any, make: Make) -> None:
    report = check(
        make(Entrypoint=["/\x1b[31m" + "x" * 9_000], Cmd=["\x07." + "y" * 9_000], architecture="z" * 9_000)
    )
    assert all(len(one.message) < 600 for one in report.audit.findings)
