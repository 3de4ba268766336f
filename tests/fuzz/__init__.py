"""Bad input of every kind: pictures, settings, packets, payloads. Seeded, so that every run sees the same.

MASKGATE_FUZZ_SCALE=10 makes ten times as many cases, MASKGATE_FUZZ_SEED=7 others than usual.
"""

from __future__ import annotations

import os

# Read at import: a fixture takes every MASKGATE_ variable away before a test begins.
SCALE = float(os.environ.get("MASKGATE_FUZZ_SCALE", "1"))
SEED = int(os.environ.get("MASKGATE_FUZZ_SEED", "20261123"))


def cases(usual: int) -> int:
    """How many cases to try where `usual` are tried by default."""
    return max(1, round(usual * SCALE))
