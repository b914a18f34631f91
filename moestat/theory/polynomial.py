"""Polynomial systems behind the rates of over-specified Gaussian experts.

Fitted atoms i = 1, ..., m with masses w_i = c_i^2 and deviations a_i of locations, b_i of (half) variances share a
true one. To order r they are not told from it if

    sum_i w_i sum_{n1 + 2 n2 = l} a_i^n1 b_i^n2 / (n1! n2!) = 0,      l = 1, ..., r,                            (r_1)

that is, if sum_i w_i exp(a_i t + b_i t^2) = W + O(t^{r+1}): a mixture of Gaussians that matches one to order r. The
smallest r without a solution with all w_i > 0 and some a_i different from zero is rbar(m). What is known:

    rbar(2) = 4     proved here, below
    rbar(3) >= 6    proved here: a solution to order 5 exists, by interval arithmetic (`certify`)
    rbar(3) = 6     proved by Ho and Nguyen (2016), Ann. Statist. 44, prop. 2.1; here only numerical (`least_residual`)
    rbar(4) >= 8    proved here, in the same way; the published bound is 7
    rbar(4) = 8     a CONJECTURE: no solution to order 8 was found

Proof of rbar(2) = 4. Let w_1 + w_2 = 1, p = w_1 w_2 <= 1/4 and c_i = a_i^2 / 2 + b_i. The first two equations say that
a = s (w_2, -w_1) and c = q (w_2, -w_1). The third is p s (q - s^2 (w_2 - w_1) / 3) = 0, so q = s^2 (w_2 - w_1) / 3 for
s not 0, and the fourth is then p s^4 (2 (1 - 4 p) - 3 (1 - 3 p)) / 36 = p s^4 (p - 1) / 36, which is not 0.

With a softmax gate there are deviations of gate and expert slopes as well, and equations for every power of x (r_2).
The equation (2 e_u, 0) is the sum of w_i times squares of gate slopes, which vanish for r >= 2; then (2 e_u, 2) does
the same for expert slopes, r >= 4, and the system of the Gaussians is left: r_2(m) = r_1(m) [derived here].
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import factorial
from typing import Any

import numpy as np
from scipy.linalg import qr
from scipy.optimize import least_squares

from moestat.errors import InputError
from moestat.theory.rbar import rbar
from moestat.typing import FloatArray

#: Smallest mass that `least_residual` allows, when all add up to one.
LEAST_MASS = 1e-3


@dataclass(frozen=True, eq=False)
class Atoms:
    """Masses w (m,), deviations a (m,) of locations and b (m,) of half variances."""

    masses: FloatArray
    locations: FloatArray
    scales: FloatArray

    def __post_init__(self) -> None:
        shapes = {np.shape(part) for part in (self.masses, self.locations, self.scales)}
        if len(shapes) != 1 or len(next(iter(shapes))) != 1:
            raise InputError(f"masses, locations and scales must be vectors of one length; got {sorted(shapes)}.")


#: Solutions to order 3, 5 and 7, polished: residuals are rounding. That of m = 2 is exact.
SOLUTIONS = {
    2: Atoms(np.array([0.5, 0.5]), np.array([1.0, -1.0]), np.array([-0.5, -0.5])),
    3: Atoms(
        np.array([0.43027889074226056, 0.35536170173684895, 0.2143694053306368]),
        np.array([-1.0384708583886957, 1.2275226281505822, 0.04952926439850335]),
        np.array([-0.3704070435868067, -0.4249256381945178, -0.8845710264396365]),
    ),
    4: Atoms(
        np.array([0.18033765873081797, 0.5349008833493721, 0.24542906734191933, 0.03932454109874927]),
        np.array([1.4624701641076692, -0.660242956115368, 0.759742631918298, -2.4675896467671787]),
        np.array([-0.3450259498213918, -0.4844197291873694, -0.6423081746334542, -0.5344919478084486]),
    ),
}


def gaussian_system(atoms: Atoms, order: int) -> FloatArray:
    """Left-hand sides of (r_1) for l = 1, ..., order, summed as they are written.

    Parameters
    ----------
    atoms : Atoms
    order : int
        r, at least 1.

    Returns
    -------
    ndarray (order,)
    """
    return np.array([_equation(atoms, l) for l in range(1, _positive("order", order) + 1)])


def _equation(atoms: Atoms, l: int) -> float:
    terms = (
        atoms.locations ** (l - 2 * n) * atoms.scales**n / (factorial(l - 2 * n) * factorial(n))
        for n in range(l // 2 + 1)
    )
    return float(atoms.masses @ sum(terms))


def generating_coefficients(atoms: Atoms, order: int) -> FloatArray:
    """The same as coefficients of t, ..., t^order of sum_i w_i exp(a_i t + b_i t^2), by their recursion.

    With e_l the coefficient of one exponential, l e_l = a e_{l-1} + 2 b e_{l-2}.
    """
    before, last = np.zeros_like(atoms.locations), np.ones_like(atoms.locations)
    out = []
    for l in range(1, _positive("order", order) + 1):
        before, last = last, (atoms.locations * last + 2.0 * atoms.scales * before) / l
        out.append(float(atoms.masses @ last))
    return np.array(out)


def softmax_system(
    atoms: Atoms, gate_slopes: FloatArray, expert_slopes: FloatArray, order: int
) -> dict[tuple[tuple[int, ...], int], float]:
    """Left-hand sides of the system (r_2) of a softmax gate with linear Gaussian experts.

    Parameters
    ----------
    atoms : Atoms
    gate_slopes, expert_slopes : ndarray (m, d)
        Deviations of the slopes of gate and experts.
    order : int

    Returns
    -------
    dict
        From (l1, l2), l1 a power of each covariate, with a sum of all powers from 1 to ``order``, to

            sum_i w_i sum t1^alpha1 t2^alpha2 a^alpha3 b^alpha4 / (alpha1! alpha2! alpha3! alpha4!)

        over alpha1 + alpha2 = l1 and alpha3 + 2 alpha4 = l2 - (the sum of alpha2).
    """
    gate, expert = np.atleast_2d(gate_slopes), np.atleast_2d(expert_slopes)
    if gate.shape != expert.shape or len(gate) != len(atoms.masses):
        m = len(atoms.masses)
        raise InputError(
            f"gate_slopes and expert_slopes must both have shape ({m}, d); got {gate.shape} and {expert.shape}."
        )
    d = gate.shape[1]
    return {
        (l1, l2): float(sum(_mixed_terms(atoms, gate, expert, l1, l2)))
        for l1 in product(range(_positive("order", order) + 1), repeat=d)
        for l2 in range(order + 1)
        if 1 <= sum(l1) + l2 <= order
    }


def _mixed_terms(atoms: Atoms, gate: FloatArray, expert: FloatArray, l1: tuple[int, ...], l2: int) -> Iterator[float]:
    for alpha2 in product(*(range(l + 1) for l in l1)):
        left = l2 - sum(alpha2)
        if left < 0:
            continue
        slopes = np.ones_like(atoms.masses)
        for u, (l, n) in enumerate(zip(l1, alpha2, strict=True)):
            slopes = slopes * gate[:, u] ** (l - n) * expert[:, u] ** n / (factorial(l - n) * factorial(n))
        weighted = Atoms(atoms.masses * slopes, atoms.locations, atoms.scales)
        yield _equation(weighted, left) if left else float(weighted.masses.sum())


# --------------------------------------------------------------------------------------- what is proved
def certify(m: int, order: int | None = None) -> float:
    """Prove that the system (r_1) of m atoms has a solution, next to the stored one, by interval arithmetic.

    All but ``order`` of the unknowns are held at their stored values. The Krawczyk operator of the rest maps a box into
    its inside; so the box holds a solution, by Brouwer's theorem. In it masses are positive and locations not zero.

    Parameters
    ----------
    m : int
        2, 3 or 4.
    order : int, optional
        By default rbar(m) - 1, the largest that is possible (m = 2, 3) or believed to be (4).

    Returns
    -------
    float
        Half the width of the box.

    Raises
    ------
    InputError
        When mpmath is missing, when there is no stored solution, or when the proof fails.
    """
    if m not in SOLUTIONS:
        raise InputError(f"m must be one of {sorted(SOLUTIONS)}, for which solutions are stored; got {m!r}.")
    order = rbar(m) - 1 if order is None else _positive("order", order)
    iv = _intervals()
    start = np.concatenate([SOLUTIONS[m].masses, SOLUTIONS[m].locations, SOLUTIONS[m].scales])
    jacobian = _jacobian(start, order, 1.0)
    free = np.sort(qr(jacobian, mode="r", pivoting=True)[1][:order])
    inverse = np.linalg.inv(jacobian[:, free])
    radius = 1e-11
    box: list[Any] = [iv.mpf(float(v)) for v in start]
    centre = list(box)
    for i in free:
        box[i] = centre[i] + iv.mpf([-radius, radius])
    values = _values(centre, order, iv.mpf(1))
    slopes = _jacobian(np.array(box, dtype=object), order, iv.mpf(1))[:, free]
    for row in range(order):
        newton = -sum((iv.mpf(float(inverse[row, l])) * values[l] for l in range(order)), iv.mpf(0))
        spread = iv.mpf(0)
        for j in range(order):
            entry = sum((iv.mpf(float(inverse[row, l])) * slopes[l, j] for l in range(order)), iv.mpf(0))
            spread += ((1 if row == j else 0) - entry) * iv.mpf([-radius, radius])
        if not float(abs(newton + spread).b) < radius:
            raise InputError(f"no proof of a solution for m={m} to order {order}: the box is not mapped into itself.")
    inside = all(float(w.a) > 0 for w in box[:m]) and any(abs(float(a.mid)) > radius for a in box[m : 2 * m])
    if not inside:
        raise InputError(f"no proof for m={m}: masses in the box may vanish.")
    return radius


def _values(unknowns: Any, order: int, one: Any) -> list[Any]:
    """Left-hand sides of (r_1) in any arithmetic; unknowns are masses, locations, scales one after the other."""
    m = len(unknowns) // 3
    return [
        sum((unknowns[i] * e for i, e in enumerate(row)), 0 * one)
        for row in _exponentials(unknowns[m : 2 * m], unknowns[2 * m :], order, one)[1:]
    ]


def _exponentials(a: Any, b: Any, order: int, one: Any) -> list[list[Any]]:
    """Coefficients of t^0, ..., t^order of exp(a_i t + b_i t^2), in any arithmetic."""
    rows: list[list[Any]] = [[one for _ in a]]
    for l in range(1, order + 1):
        before = rows[l - 2] if l > 1 else [0 * one for _ in a]
        rows.append([(ai * e + 2 * bi * f) / l for ai, bi, e, f in zip(a, b, rows[l - 1], before, strict=True)])
    return rows


def _jacobian(unknowns: Any, order: int, one: Any) -> Any:
    """Derivatives (order, 3 m) of the left-hand sides: of e_l in a it is e_{l-1}, in b e_{l-2}."""
    m = len(unknowns) // 3
    w, rows = unknowns[:m], _exponentials(unknowns[m : 2 * m], unknowns[2 * m :], order, one)
    out = np.empty((order, 3 * m), dtype=np.float64 if isinstance(one, float) else object)
    for l in range(1, order + 1):
        for i in range(m):
            out[l - 1, i] = rows[l][i]
            out[l - 1, m + i] = w[i] * rows[l - 1][i]
            out[l - 1, 2 * m + i] = w[i] * rows[l - 2][i] if l > 1 else 0 * one
    return out


def _intervals() -> Any:
    try:
        from mpmath import iv
    except ImportError:
        raise InputError("certify needs mpmath, which comes with moestat[theory]. Install that extra.") from None
    return iv


# --------------------------------------------------------------------------------------- what is numerical
def least_residual(m: int, order: int, n_starts: int = 20, seed: int = 0) -> float:
    """Smallest sum of squares of (r_1) that was found, sum_i w_i = sum_i w_i a_i^2 = 1 and masses at least 1e-3.

    Rounding where there is a solution; no proof that there is none where it is not.

    Parameters
    ----------
    m, order : int
    n_starts : int
        Random starts of a least-squares solver.
    seed : int

    Returns
    -------
    float
    """
    m, order = _positive("m", m), _positive("order", order)
    rng = np.random.default_rng(seed)

    def residuals(unknowns: FloatArray) -> FloatArray:
        shares = np.exp(unknowns[:m] - unknowns[:m].max())
        masses = LEAST_MASS + (1.0 - m * LEAST_MASS) * shares / shares.sum()
        scale = float(np.sqrt(masses @ unknowns[m : 2 * m] ** 2)) or 1e-300
        return gaussian_system(Atoms(masses, unknowns[m : 2 * m] / scale, unknowns[2 * m :] / scale**2), order)

    best = np.inf
    for _ in range(_positive("n_starts", n_starts)):
        fit = least_squares(residuals, rng.normal(size=3 * m), xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=500)
        best = min(best, 2.0 * float(fit.cost))
    return best


def _positive(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise InputError(f"{name} must be a whole number of at least 1; got {value!r}.")
    return int(value)
