"""The configured sources, made from their tables; and the one there is when none is configured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from planton_build.deploy.references.answers import Source, Wanted
from planton_build.deploy.references.cloud import Cloud
from planton_build.deploy.references.cloudformation import CloudFormation
from planton_build.deploy.references.kinds import folded_kind, kind_name
from planton_build.deploy.references.manifests import Manifests
from planton_build.deploy.references.options import Options
from planton_build.deploy.references.outputs import Outputs
from planton_build.deploy.references.pulumi import Pulumi
from planton_build.deploy.references.ssm import Ssm
from planton_build.deploy.references.terraform import Terraform
from planton_build.errors import ConfigInvalid, Finding
from planton_build.settings.model import ReferenceSource

DEFAULT = ReferenceSource("manifests")
"""What is asked when the configuration names no source."""


@dataclass(frozen=True, slots=True)
class Configured:
    """A source, its name for people, and the references it is for: empty means all."""

    source: Source
    title: str
    kinds: frozenset[str] = frozenset()
    env: str = ""

    def skips(self, wanted: Wanted) -> str:
        """Return why the source is not for a reference, or ""."""
        if self.kinds and folded_kind(wanted.kind) not in self.kinds:
            return f"it is not for {wanted.kind}"
        return f"it is for the environment {self.env}" if self.env and self.env != wanted.env else ""


def configured(
    sources: Sequence[ReferenceSource], cloud: Cloud, manifests: Sequence[Path]
) -> tuple[Configured, ...]:
    """Return the sources, ready to be asked. Nothing is read yet.

    Raises ConfigInvalid with the mistakes of all of them.
    """
    makers: Mapping[str, Callable[[Options], Source]] = {
        "manifests": lambda options: Manifests(options, manifests),
        "outputs": Outputs,
        "cloudformation": lambda options: CloudFormation(options, cloud),
        "ssm": lambda options: Ssm(options, cloud),
        "terraform": lambda options: Terraform(options, cloud),
        "pulumi": Pulumi,
    }
    found: list[Configured] = []
    findings: list[Finding] = []
    for one in sources or (DEFAULT,):
        options = Options(one)
        if one.type in makers:
            source = makers[one.type](options)
            kinds = frozenset(folded_kind(kind_name(kind)) for kind in one.kinds)
            found.append(Configured(source, options.title, kinds, one.env))
        else:
            options.fault("there is no such type", f"the types are {', '.join(makers)}")
        findings += options.findings
    if findings:
        more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
        raise ConfigInvalid(findings[0].message + more, hint=findings[0].hint, findings=findings)
    return tuple(found)
