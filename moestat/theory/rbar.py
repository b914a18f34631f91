"""The order of the polynomial system of Gaussian mixtures, of which exponents of losses and rates are made.

    rbar(m) = the smallest r for which   sum_i c_i^2 sum_{n1 + 2 n2 = l} a_i^n1 b_i^n2 / (n1! n2!) = 0,   l = 1, ..., r

has no solution with all c_i different from zero and some a_i different from zero, i = 1, ..., m. An atom that m fitted
ones share is estimated at n^{-1/(2 rbar(m))} in its location and n^{-1/rbar(m)} in its variance.

Proved are rbar(2) = 4, rbar(3) = 6 and rbar(m) >= 7 beyond [Ho and Nguyen 2016, Ann. Statist. 44, prop. 2.1, as quoted
by arXiv 2505.10860 and 2402.03226]; `moestat.theory.polynomial` proves the first, and that rbar(m) >= 8 beyond three.
One atom is regular, and takes the exponent 1.
"""

from __future__ import annotations

import numpy as np

from moestat.errors import InputError

#: Largest m whose value is a theorem.
PROVED_UP_TO = 3

_PROVED = {1: 1, 2: 4, 3: 6}


def rbar(m: int) -> int:
    """Order of the polynomial system of m atoms that share one true atom.

    Parameters
    ----------
    m : int
        Number of fitted atoms in the cell, at least 1.

    Returns
    -------
    int
        1, 4 and 6 for m = 1, 2 and 3. From four on it is 2 m, a conjecture: proved is that it is at least 8.

    Raises
    ------
    InputError
        When m is no whole number of at least 1.

    See Also
    --------
    is_conjecture : whether the value is a theorem.
    """
    if isinstance(m, bool) or not isinstance(m, int | np.integer) or m < 1:
        raise InputError(f"m must be a whole number of at least 1, the fitted atoms that share a true one; got {m!r}.")
    return _PROVED.get(int(m), 2 * int(m))


def is_conjecture(m: int) -> bool:
    """Whether rbar(m) is a conjecture, and no theorem."""
    rbar(m)
    return m > PROVED_UP_TO
