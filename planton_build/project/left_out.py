"""What stays out of every artifact unless it is asked for by name, as gitignore patterns with reasons."""

from __future__ import annotations

from planton_build.project.patterns import Patterns

LEFT_OUT = """
# Version control
.git
.hg/
.svn/
.bzr/
.jj/
CVS/
.gitignore
.gitattributes
.gitmodules
.gitkeep
.github/
.gitlab/
.gitlab-ci.yml

# Caches and byproducts. Bytecode of another Python, or with other timestamps, would change the artifact.
__pycache__/
*.py[co]
*$py.class
.cache/
.hypothesis/
.ipynb_checkpoints/
.mypy_cache/
.nox/
.pytest_cache/
.pytype/
.ruff_cache/
.tox/
.coverage
.coverage.*
htmlcov/
*.egg-info/
*.egg-link
.eggs/
.planton/
*.planton-tmp

# Other ways to deploy, and what they leave behind
.aws-sam/
.serverless/
.terraform/
*.tfstate
*.tfstate.*
cdk.out/
Dockerfile
.dockerignore

# Virtual environments by name; those of other names are known by their pyvenv.cfg
.venv/
.pixi/

# Packages of another language
node_modules/

# Secrets. A .pem that holds only certificates, such as a CA bundle, is no secret and goes in.
.env*
.netrc
.pypirc
.npmrc
.aws/
.ssh/
.gnupg/
*.key
*.p12
*.pfx
*.jks
*.keystore
*.kdbx
*.ppk
id_rsa*
id_dsa*
id_ecdsa*
id_ed25519*

# Dependency inputs and configuration: their result is in the artifact
requirements*.txt
requirements*.in
pyproject.toml
pylock.toml
pylock.*.toml
*.lock
Pipfile
planton.toml
.lambdaignore
.python-version
.tool-versions
.editorconfig
.pre-commit-config.yaml

# Editors and desktops
.idea/
.vscode/
*.swp
*~
.DS_Store
Thumbs.db
desktop.ini
"""
"""README, LICENSE and tests go in: a package may read or import any of them, and `exclude` says otherwise."""

PRIVATE_KEY = b"PRIVATE KEY-----"
"""Ends the first line of every PEM text that holds a private key (RFC 7468, sections 10 and 11)."""

DEFAULTS = Patterns(LEFT_OUT.splitlines())
