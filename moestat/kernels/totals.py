"""Compensated addition of small arrays, one tile after another."""

from __future__ import annotations

from moestat.kernels.compile import jit_exact
from moestat.typing import FloatArray


@jit_exact
def absorb(rows: FloatArray) -> None:
    """Add the part to the total, entry by entry, then clear it: Kahan's summation in Neumaier's form.

    rows (3, n) are the part, the plain sum of the parts so far, and what its roundings have dropped.

    References
    ----------
    Neumaier (1974), Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen, ZAMM 54.
    """
    part = rows[0]
    total = rows[1]
    lost = rows[2]
    for i in range(part.size):
        x = part[i]
        old = total[i]
        new = old + x
        # both are computed and one is kept: without a branch the loop is vectorised
        of_part = (old - new) + x
        of_total = (x - new) + old
        lost[i] += of_part if abs(old) >= abs(x) else of_total
        total[i] = new
        part[i] = 0.0
