"""Two experts with logits that are odd in their scores have a mirror image.

    h_1 - h_2 = g(s_1) - g(s_2) = g(-s_2) - g(-s_1)        where g(-s) = c - g(s)

The scores (s_1, s_2) and (-s_2, -s_1) have the same weights: not a relabelling, as nobody changes places.
"""

from __future__ import annotations

import numpy as np

from moestat.typing import FloatArray, IntArray


def upright(theta: FloatArray, scores: IntArray) -> FloatArray:
    """Of two such scores and their image the ones whose sum has a positive first entry that is not zero.

    ``scores`` (2, m) are the flat positions of the coefficients, score by score.
    """
    total = theta[scores].sum(axis=0)
    out = theta.copy()
    if total[np.flatnonzero(total)[:1]].sum() < 0:
        out[scores] = -theta[scores[::-1]]
    return out
