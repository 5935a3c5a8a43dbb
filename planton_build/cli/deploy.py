"""`planton-deploy`: the group of its commands, each of which is in a module of its own."""

from __future__ import annotations

import click

from planton_build import __version__
from planton_build.cli.adopt import adopt
from planton_build.cli.applying import apply, plan
from planton_build.cli.commands import DefaultCommandGroup, completion_command
from planton_build.cli.destroy import destroy
from planton_build.cli.drift import drift
from planton_build.cli.invoke import invoke
from planton_build.cli.local_aws import local_group
from planton_build.cli.logs import logs
from planton_build.cli.prune import prune
from planton_build.cli.role import role
from planton_build.cli.rollback import rollback
from planton_build.cli.status import status
from planton_build.cli.versions import versions

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class DeployGroup(DefaultCommandGroup):
    """`planton-deploy PATH` means `planton-deploy apply PATH`."""

    default = "apply"


@click.group(
    cls=DeployGroup,
    context_settings=_CONTEXT,
    epilog="Example: planton-deploy functions/ --region eu-west-1",
)
@click.version_option(__version__, prog_name="planton-deploy")
def main() -> None:
    """Deploy AwsLambda manifests: the manifest says what should be, AWS says what is.

    Without a command, `apply` is meant: `planton-deploy functions/` deploys everything below that folder.
    """


for command in (
    apply,
    plan,
    rollback,
    status,
    versions,
    drift,
    invoke,
    logs,
    role,
    adopt,
    prune,
    destroy,
    local_group,
    completion_command("planton-deploy"),
):
    main.add_command(command)
