"""YAML text as nodes with character offsets, composed under limits. The only place that calls the parser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

MAX_BYTES = 1 << 20
"""Largest manifest file, in bytes. Kubernetes' API server takes 1.5 MiB per object; manifests are a few KB."""
MAX_DEPTH = 32
"""Deepest nesting. The schema needs 6."""
MAX_NODES = 50_000
"""Most nodes of one file, counted before aliases are expanded."""
