"""Finding the values of `valueFrom`: other manifests, files, CloudFormation, SSM, Terraform, Pulumi.

The sources of `[[deploy.references]]` are asked in their order, and the first that knows the value gives it.
Nothing is guessed: what nobody knows, what two places know differently, and what does not look like the thing
that the field takes, is an error that says where it was looked for.
"""
