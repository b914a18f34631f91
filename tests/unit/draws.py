"""Random inputs and the settings of drawn examples that several tests share."""

from __future__ import annotations

import numpy as np
from hypothesis import settings

#: A few examples, the same on every machine and in every run.
few = settings(derandomize=True, max_examples=30, deadline=None, database=None)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)
