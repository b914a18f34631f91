"""The smallest Voronoi loss over common translations, compiled.

For a translation t of the gate's coordinates, fitted atoms i = 1, ..., K and true ones j = 1, ..., J,

    L(t) = sum_j V_j(t) + inf_c sum_j | M_j - c m*_j |,    V_j(t) = sum_{i in A_j(t)} m_i sum_terms |Delta_ij(t)|^power

where each term is the norm of some coordinates, and powers depend on the size of the cell. Cells change with t and L
jumps where they do, so it has many minima. But along a line cells change at finitely many points that are known, and
between them L is convex: `_along` finds its infimum there, up to rounding. In one dimension that is all.

In several it is a search, which may miss the infimum. Translations are counted from the one that lays the centre of
mass of the fit on that of the truth, so that it is the same search wherever the fit is. Many starts are looked at: all
that put a fitted atom on a true one, points half-way, medians, and points at random, always the same ones. From the
best of every division into cells that was seen, lines are followed along the axes, the borders of cells, the last
move, towards pairs of atoms and at random, until none lowers L. Divisions whose losses cannot be as small as one that
was found are left out. Infima at a border are those of the side where they are.

All of it is in one file, as compiled code is kept by file: a change of what it calls elsewhere would go unseen.

The infimum over c is that of a convex function that is linear between known points, one of which is a minimum.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from moestat.kernels import jit
from moestat.typing import BoolArray, FloatArray, IntArray

#: What the translation of masses multiplies: the truth's, the fitted ones, or neither.
TRUTH, FITTED, NONE = 0, 1, 2

#: Most steps within an interval; those of a golden section leave 0.618 of it each, and in the end less than rounding.
STEPS = 76
GOLDEN = 0.6180339887498949

#: Rounds of line searches from one starting point, and the relative gain below which they end.
ROUNDS, GAIN = 200, 1e-13

#: In several dimensions: starts at random that are looked at for every pair of atoms, the most divisions into cells
#: whose best start is followed, lines at random in a round for every dimension, and rounds without a gain before the
#: descent from the best ends.
LOOKED_AT, FOLLOWED, AT_RANDOM, PATIENCE = 60, 64, 4, 4

#: Modulus and multiplier of Park and Miller's generator: a few numbers, the same at every call.
MODULUS, MULTIPLIER = 2147483647, 48271

#: Relative difference of distances below which two true atoms are equally near.
TIE = 1e-11

#: Sine below which a line follows a border. Where rounding lets it cross one, far out, all true atoms are equally near.
PARALLEL = 1e-8


class Rules(NamedTuple):
    """A loss for K fitted atoms with D coordinates, p of which may be translated, and J true ones.

    A term has coordinates ``still`` (T, D) and ``moving`` (T, p), the latter by their place in ``shift`` (p,); it
    belongs to cells of one atom or to those of more, ``over`` (T,), and has the exponents ``power`` (T, K, J).
    ``merged_still`` (S, D) and ``merged_moving`` (S, p) are norms of the difference of merged atoms, with the
    ``corrections`` (R, 3): to column 0 comes the covariance of columns 1 and 2 within the cell.
    """

    shift: IntArray
    still: BoolArray
    moving: BoolArray
    over: BoolArray
    power: FloatArray
    merged_still: BoolArray
    merged_moving: BoolArray
    corrections: IntArray
    cell_still: BoolArray
    cell_moving: BoolArray
    absolute: bool
    aligned: bool
    n_active: int
    translation: int


class Sides(NamedTuple):
    """A fitted and a true measure: atoms (K, D) and (J, D), masses (K,) and (J,), and what pairs (K, J) add.

    ``extra`` is added to the error of a pair, ``apart`` to its distance: infinity keeps it out of the cell.
    """

    atoms: FloatArray
    truth: FloatArray
    masses: FloatArray
    true_masses: FloatArray
    extra: FloatArray
    apart: FloatArray


@jit
def infimum(rules: Rules, sides: Sides) -> tuple[float, FloatArray, IntArray, float]:
    """The infimum, the translation (p,) and the cells (K,) where it is, and the factor c."""
    p = rules.shift.size
    rest, base, delta = _distances(rules, sides)
    t = np.zeros(p)
    nowhere = np.full(len(base), -1, dtype=np.int64)
    cells = _nearest(rules, base, delta, t, nowhere)
    if p == 0 or rules.translation == NONE:
        value, c = _valued(rules, sides, rest, delta, cells, t)
        return value, t, cells, c
    if p == 1:
        value, s, cells, c = _along(rules, sides, rest, base, delta, nowhere if rules.aligned else cells, t, np.ones(1))
        t[0] = s
        return value, t, cells, c
    best, found, cells, c = _in_space(rules, sides, cells)
    return best, found, cells, c


@jit
def infima(
    rules: Rules, atoms: FloatArray, masses: FloatArray, truth: FloatArray, true_masses: FloatArray
) -> FloatArray:
    """Infima (R,) of many fits, with atoms (R, K, D) and masses (R, K), and the truth's masses (R, J) beside each."""
    out = np.empty(len(atoms))
    nothing = np.zeros((atoms.shape[1], len(truth)))
    for r in range(len(atoms)):
        out[r] = infimum(rules, Sides(atoms[r], truth, masses[r], true_masses[r], nothing, nothing))[0]
    return out


# --------------------------------------------------------------------------------------- several dimensions
@jit
def _in_space(rules: Rules, sides: Sides, fixed: IntArray) -> tuple[float, FloatArray, IntArray, float]:
    """The smallest loss that is found in several dimensions; ``fixed`` are the cells where none are built."""
    origin = _origin(rules, sides)
    atoms = sides.atoms.copy()
    for u in range(origin.size):
        atoms[:, rules.shift[u]] -= origin[u]
    near = Sides(atoms, sides.truth, sides.masses, sides.true_masses, sides.extra, sides.apart)
    rest, base, delta = _distances(rules, near)
    lines = _lines(rules, near)
    starts = _starts(delta)
    found = np.zeros(origin.size)
    best, cells, c = np.inf, fixed, 1.0
    order = _chosen(rules, near, rest, base, delta, fixed, starts)
    nowhere = np.full(len(base), -1, dtype=np.int64)
    for k in range(order.size):
        begin = starts[order[k]]
        own = _nearest(rules, base, delta, begin, nowhere) if rules.aligned else fixed
        if _least(rules, near, rest, delta, own, begin) < best:
            value, end, own, factor = _descend(rules, near, rest, base, delta, fixed, begin, lines, k + 1, 2)
            if value < best:
                best, found, cells, c = value, end, own, factor
    value, end, own, factor = _descend(rules, near, rest, base, delta, cells, found, lines, MODULUS - 1, PATIENCE)
    if value < best:
        best, found, cells, c = value, end, own, factor
    return best, found + origin, cells, c


@jit
def _least(rules: Rules, sides: Sides, rest: FloatArray, delta: FloatArray, cells: IntArray, t: FloatArray) -> float:
    """What no loss with these cells is below: that of coordinates which are not moved."""
    if len(rules.merged_still):
        return 0.0
    value, _ = _valued(rules, sides, rest, np.zeros_like(delta), cells, np.zeros_like(t))
    return float(value)


@jit
def _origin(rules: Rules, sides: Sides) -> FloatArray:
    """The translation (p,) that lays the centre of mass of the fit on that of the truth."""
    out = np.empty(rules.shift.size)
    for u in range(out.size):
        column = rules.shift[u]
        fitted = (sides.masses * sides.atoms[:, column]).sum() / sides.masses.sum()
        out[u] = fitted - (sides.true_masses * sides.truth[:, column]).sum() / sides.true_masses.sum()
    return out


@jit
def _drawn(state: int) -> tuple[int, float]:
    """The next state, from 1 to the modulus, and a number from -1 to 1."""
    state = state * MULTIPLIER % MODULUS
    return state, 2.0 * state / MODULUS - 1.0


@jit
def _starts(delta: FloatArray) -> FloatArray:
    """Translations (n, p): those of pairs of atoms first, then none, their median, points half-way, and at random."""
    p = delta.shape[2]
    pairs = delta.reshape(-1, p)
    n = len(pairs)
    out = np.zeros((n + 2 + n * (n - 1) // 2 + LOOKED_AT * n, p))
    out[:n] = pairs
    at = n + 2
    for a in range(n):
        for b in range(a):
            out[at] = 0.5 * (pairs[a] + pairs[b])
            at += 1
    state = 1
    spread = np.empty(p)
    for u in range(p):
        out[n + 1, u] = np.median(pairs[:, u])
        spread[u] = pairs[:, u].max() - pairs[:, u].min()
    for k in range(LOOKED_AT * n):
        width = 2.0 ** -(k // n % 6)
        for u in range(p):
            state, x = _drawn(state)
            out[at, u] = pairs[k % n, u] + width * spread[u] * x
        at += 1
    return out


@jit
def _chosen(
    rules: Rules,
    sides: Sides,
    rest: FloatArray,
    base: FloatArray,
    delta: FloatArray,
    fixed: IntArray,
    starts: FloatArray,
) -> IntArray:
    """Places of the starts to follow, best first: the best of every division into cells."""
    K, J = base.shape
    n = len(starts)
    values, codes = np.empty(n), np.zeros(n, dtype=np.int64)
    nowhere = np.full(K, -1, dtype=np.int64)
    for k in range(n):
        cells = _nearest(rules, base, delta, starts[k], nowhere) if rules.aligned else fixed
        values[k], _ = _valued(rules, sides, rest, delta, cells, starts[k])
        for i in range(K):
            codes[k] = codes[k] * J + cells[i]  # of very many atoms codes may meet, which costs a start
    out = np.empty(FOLLOWED, dtype=np.int64)
    at = 0
    for k in np.argsort(values):
        taken = False
        for one in out[:at]:
            taken = taken or codes[one] == codes[k]
        if not taken and at < FOLLOWED:
            out[at] = k
            at += 1
    return out[:at]


# --------------------------------------------------------------------------------------- geometry
@jit
def _distances(rules: Rules, sides: Sides) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Of all pairs: still squares by term (T, K, J), still distances for cells (K, J), and what moves (K, J, p)."""
    atoms, truth = sides.atoms, sides.truth
    K, D = atoms.shape
    J, T, p = len(truth), len(rules.over), rules.shift.size
    rest, base, delta = np.zeros((T, K, J)), sides.apart.copy(), np.empty((K, J, p))
    for i in range(K):
        for j in range(J):
            for d in range(D):
                x = atoms[i, d] - truth[j, d]
                if rules.cell_still[d]:
                    base[i, j] += abs(x) if rules.absolute else x * x
                for term in range(T):
                    if rules.still[term, d]:
                        rest[term, i, j] += x * x
            for u in range(p):
                delta[i, j, u] = atoms[i, rules.shift[u]] - truth[j, rules.shift[u]]
    return rest, base, delta


@jit
def _nearest(rules: Rules, base: FloatArray, delta: FloatArray, t: FloatArray, kept: IntArray) -> IntArray:
    """The cell (K,) of every fitted atom; of those that are equally near the one in ``kept``, or else the first.

    A search that follows the border of a cell stays in it, whatever rounding makes of the distances.
    """
    K, J = base.shape
    cells = np.zeros(K, dtype=np.int64)
    for i in range(K):
        least, own = np.inf, np.inf
        for j in range(J):
            x = base[i, j]
            for u in range(t.size):
                if rules.cell_moving[u]:
                    y = delta[i, j, u] - t[u]
                    x += abs(y) if rules.absolute else y * y
            if x < least:
                least = x
                cells[i] = j
            if j == kept[i]:
                own = x
        if kept[i] >= 0 and own <= least * (1.0 + TIE):
            cells[i] = kept[i]
    return cells


@jit
def _lines(rules: Rules, sides: Sides) -> FloatArray:
    """Directions (n, p): the axes, and each made parallel to the border between two true atoms."""
    p, J = rules.shift.size, len(sides.truth)
    lines = np.zeros((p + p * J * (J - 1) // 2, p))
    n = p
    for u in range(p):
        lines[u, u] = 1.0
    for j in range(J):
        for l in range(j):
            normal = np.empty(p)
            for u in range(p):
                normal[u] = sides.truth[j, rules.shift[u]] - sides.truth[l, rules.shift[u]]
            square = (normal * normal).sum()
            for u in range(p):
                if square > 0.0:
                    lines[n] = -normal * normal[u] / square
                    lines[n, u] += 1.0
                    length = np.sqrt((lines[n] * lines[n]).sum())
                    if length > 1e-8:
                        lines[n] /= length
                        n += 1
    return lines[:n]


# --------------------------------------------------------------------------------------- value
@jit
def _raised(square: float, power: float) -> float:
    """square^(power / 2)."""
    if power == 1.0:
        return float(np.sqrt(square))
    if power == 2.0:
        return square
    if power == 4.0:
        return square * square
    if power == 6.0:
        return square * square * square
    return float(square ** (0.5 * power))


@jit
def _cell_terms(
    rules: Rules, sides: Sides, rest: FloatArray, delta: FloatArray, cells: IntArray, t: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """V (J,) and fitted masses M (J,) of the cells at a translation."""
    K, J = delta.shape[0], delta.shape[1]
    V, M, sizes = np.zeros(J), np.zeros(J), np.zeros(J, dtype=np.int64)
    for i in range(K):
        sizes[cells[i]] += 1
    for i in range(K):
        j = cells[i]
        m = sizes[j]
        x = sides.extra[i, j]
        for term in range(len(rules.over)):
            if rules.over[term] == (m > 1):
                square = rest[term, i, j]
                for u in range(t.size):
                    if rules.moving[term, u]:
                        y = delta[i, j, u] - t[u]
                        square += y * y
                x += _raised(square, rules.power[term, m - 1, j])
        V[j] += sides.masses[i] * x
        M[j] += sides.masses[i]
    if len(rules.merged_still):
        for j in range(J):
            if sizes[j] > 1 and M[j] > 0.0:
                V[j] += M[j] * _merged_error(rules, sides, cells, j, M[j], t)
    return V, M


@jit
def merged(
    corrections: IntArray, atoms: FloatArray, masses: FloatArray, cells: IntArray, j: int, mass: float
) -> FloatArray:
    """The atom (D,) into which those of a cell merge: their mean, with what their spread adds to it."""
    K, D = atoms.shape
    mean = np.zeros(D)
    for i in range(K):
        if cells[i] == j:
            mean += masses[i] / mass * atoms[i]
    out = mean.copy()
    for row in range(len(corrections)):
        a, b, c = corrections[row]
        for i in range(K):
            if cells[i] == j:
                out[a] += masses[i] / mass * (atoms[i, b] - mean[b]) * (atoms[i, c] - mean[c])
    return out


@jit
def _merged_error(rules: Rules, sides: Sides, cells: IntArray, j: int, mass: float, t: FloatArray) -> float:
    apart = merged(rules.corrections, sides.atoms, sides.masses, cells, j, mass) - sides.truth[j]
    total = 0.0
    for term in range(len(rules.merged_still)):
        square = 0.0
        for d in range(apart.size):
            if rules.merged_still[term, d]:
                square += apart[d] * apart[d]
        for u in range(t.size):
            if rules.merged_moving[term, u]:
                y = apart[rules.shift[u]] - t[u]
                square += y * y
        total += np.sqrt(square)
    return total


@jit
def _valued(
    rules: Rules, sides: Sides, rest: FloatArray, delta: FloatArray, cells: IntArray, t: FloatArray
) -> tuple[float, float]:
    """The loss with these cells at a translation, smallest over the factor c."""
    V, M = _cell_terms(rules, sides, rest, delta, cells, t)
    value, c = _factored(V, M, sides.true_masses, rules.n_active, rules.translation)
    return value, c


@jit
def _total(V: FloatArray, M: FloatArray, m: FloatArray, n: int, translation: int, c: float) -> float:
    """Sum of the n largest cells at a factor c."""
    J = V.size
    total = 0.0
    if n >= J:
        for j in range(J):
            total += c * V[j] + abs(c * M[j] - m[j]) if translation == FITTED else V[j] + abs(M[j] - c * m[j])
        return total
    values = np.empty(J)
    for j in range(J):
        values[j] = c * V[j] + abs(c * M[j] - m[j]) if translation == FITTED else V[j] + abs(M[j] - c * m[j])
    values.sort()
    for j in range(J - n, J):
        total += values[j]
    return total


@jit
def _factored(V: FloatArray, M: FloatArray, m: FloatArray, n: int, translation: int) -> tuple[float, float]:
    """The smallest total over c >= 0, and the c that has it: at a kink of a cell, or where two cells are equal."""
    J = V.size
    if translation == NONE:
        return _total(V, M, m, n, translation, 1.0), 1.0
    best, at = _total(V, M, m, n, translation, 0.0), 0.0
    for j in range(J):
        c = m[j] / M[j] if translation == FITTED else M[j] / m[j]
        if c < np.inf:
            value = _total(V, M, m, n, translation, c)
            if value < best:
                best, at = value, c
    if n < J:
        for j in range(J):
            for l in range(j):
                for signs in range(4):
                    a = 1.0 if signs % 2 else -1.0
                    b = 1.0 if signs // 2 else -1.0
                    if translation == FITTED:  # V_j c + a (c M_j - m_j) = V_l c + b (c M_l - m_l)
                        c = (a * m[j] - b * m[l]) / (V[j] - V[l] + a * M[j] - b * M[l])
                    else:  # V_j + a (M_j - c m_j) = V_l + b (M_l - c m_l)
                        c = (V[j] - V[l] + a * M[j] - b * M[l]) / (a * m[j] - b * m[l])
                    if c > 0.0 and c < np.inf:
                        value = _total(V, M, m, n, translation, c)
                        if value < best:
                            best, at = value, c
    return best, at


# --------------------------------------------------------------------------------------- lines
@jit
def _along(
    rules: Rules,
    sides: Sides,
    rest: FloatArray,
    base: FloatArray,
    delta: FloatArray,
    kept: IntArray,
    t: FloatArray,
    v: FloatArray,
) -> tuple[float, float, IntArray, float]:
    """The infimum over s of the loss at t + s v: its value, s, the cells and the factor.

    Cells are ``kept`` where they do not change, and at borders that the line follows.
    """
    if not rules.aligned:
        value, s, c = _convex(rules, sides, rest, delta, kept, t, v, -np.inf, np.inf)
        return value, s, kept, c
    borders = _borders(rules, base, delta, t, v)
    n = borders.size
    low = -np.inf
    cells = _nearest(rules, base, delta, t + v * (borders[0] - 1.0 - abs(borders[0]) if n else 0.0), kept)
    best, at, found, factor = np.inf, 0.0, cells, 1.0
    for b in range(n):
        # at a border itself several atoms may be equally near, which is a division of its own
        between = _nearest(rules, base, delta, t + v * borders[b], kept)
        value, c = _valued(rules, sides, rest, delta, between, t + v * borders[b])
        if value < best:
            best, at, found, factor = value, borders[b], between, c
        right = 0.5 * (borders[b] + borders[b + 1]) if b + 1 < n else borders[b] + 1.0 + abs(borders[b])
        beyond = _nearest(rules, base, delta, t + v * right, kept)
        if not _same(cells, beyond):
            value, s, c = _convex(rules, sides, rest, delta, cells, t, v, low, borders[b])
            if value < best:
                best, at, found, factor = value, s, cells, c
            low, cells = borders[b], beyond
    value, s, c = _convex(rules, sides, rest, delta, cells, t, v, low, np.inf)
    if value < best:
        best, at, found, factor = value, s, cells, c
    return best, at, found, factor


@jit
def _same(a: IntArray, b: IntArray) -> bool:
    differ = 0
    for i in range(a.size):
        differ += a[i] != b[i]
    return differ == 0


@jit
def _borders(rules: Rules, base: FloatArray, delta: FloatArray, t: FloatArray, v: FloatArray) -> FloatArray:
    """Where on the line a fitted atom is equally near to two true ones, in order."""
    K, J = base.shape
    p = t.size
    found = np.empty(K * J * J * (2 * p + 1))
    n = 0
    for i in range(K):
        for j in range(J):
            for l in range(j):
                if rules.absolute:
                    n = _absolute_borders(rules, base[i, j] - base[i, l], delta[i, j] - t, delta[i, l] - t, v, found, n)
                else:
                    gap, slope, size = base[i, j] - base[i, l], 0.0, 0.0
                    for u in range(p):
                        if rules.cell_moving[u]:
                            x, y = delta[i, j, u] - t[u], delta[i, l, u] - t[u]
                            gap += (x - y) * (x + y)
                            slope += 2.0 * v[u] * (x - y)
                            size += (x - y) * (x - y)
                    if np.isfinite(gap) and abs(slope) > PARALLEL * np.sqrt(size):
                        found[n] = gap / slope
                        n += 1
    out = found[:n]
    out.sort()
    return out


@jit
def _absolute_borders(
    rules: Rules, gap: float, x: FloatArray, y: FloatArray, v: FloatArray, found: FloatArray, n: int
) -> int:
    """The same for sums of absolute differences, whose difference is linear between its kinks."""
    p = v.size
    kinks = np.empty(2 * p)
    k = 0
    for u in range(p):
        if rules.cell_moving[u] and abs(v[u]) > PARALLEL:
            kinks[k] = x[u] / v[u]
            kinks[k + 1] = y[u] / v[u]
            k += 2
    ends = kinks[:k]
    ends.sort()
    for e in range(k - 1):
        a, b = ends[e], ends[e + 1]
        left, right = gap, gap
        for u in range(p):
            if rules.cell_moving[u]:
                left += abs(x[u] - a * v[u]) - abs(y[u] - a * v[u])
                right += abs(x[u] - b * v[u]) - abs(y[u] - b * v[u])
        if (left < 0.0) != (right < 0.0):
            found[n] = a + (b - a) * left / (left - right)
            n += 1
    return n


@jit
def _convex(
    rules: Rules,
    sides: Sides,
    rest: FloatArray,
    delta: FloatArray,
    cells: IntArray,
    t: FloatArray,
    v: FloatArray,
    low: float,
    high: float,
) -> tuple[float, float, float]:
    """The smallest loss with these cells for s in [low, high], where it is, and the factor."""
    K = delta.shape[0]
    sizes = np.zeros(delta.shape[1], dtype=np.int64)
    for i in range(K):
        sizes[cells[i]] += 1
    kinks = np.empty(K)
    first, last = np.inf, -np.inf
    square = (v * v).sum()
    for i in range(K):
        kinks[i] = ((delta[i, cells[i]] - t) * v).sum() / square
        first, last = min(first, kinks[i]), max(last, kinks[i])
    # each norm is smallest at its kink, so beyond all of them the sum only grows; terms of some of the coordinates
    # have kinks of their own, which the widened interval holds
    if v.size > 1:
        first, last = _widened(delta, cells, t, v, first, last)
    a, b = min(max(first, low), high), max(min(last, high), low)
    for i in range(K):
        kinks[i] = min(max(kinks[i], a), b)
    if len(rules.merged_still) or rules.n_active < sizes.size:
        at = _by_sections(rules, sides, rest, delta, cells, t, v, a, b, kinks)
    else:
        at = _by_slopes(rules, sides, rest, delta, cells, sizes, t, v, a, b, kinks)
    value, c = _valued(rules, sides, rest, delta, cells, t + at * v)
    return value, at, c


@jit
def _by_slopes(
    rules: Rules,
    sides: Sides,
    rest: FloatArray,
    delta: FloatArray,
    cells: IntArray,
    sizes: IntArray,
    t: FloatArray,
    v: FloatArray,
    a: float,
    b: float,
    kinks: FloatArray,
) -> float:
    """Where the sum of all cells is smallest in [a, b]: at an end, at a kink, or between two where its slope is zero.

    Whatever the factor of the masses is, it follows this sum, for all cells count.
    """
    best, slope = _sum_and_slope(rules, sides, rest, delta, cells, sizes, t, v, a)
    at, down = a, slope
    value, up = _sum_and_slope(rules, sides, rest, delta, cells, sizes, t, v, b)
    if value < best:
        best, at = value, b
    for s in kinks:
        if a < s < b:
            value, slope = _sum_and_slope(rules, sides, rest, delta, cells, sizes, t, v, s)
            if value < best:
                best, at = value, s
            if slope > 0.0:
                b, up = s, slope
            else:
                a, down = s, slope
    for step in range(STEPS):
        if not b - a > 2e-16 * (abs(a) + abs(b)):
            break
        s = 0.5 * (a + b)
        if step % 2 == 0 and down < 0.0 < up:
            secant = a - down * (b - a) / (up - down)
            s = secant if a < secant < b else s
        value, slope = _sum_and_slope(rules, sides, rest, delta, cells, sizes, t, v, s)
        if value < best:
            best, at = value, s
        if slope > 0.0:
            b, up = s, slope
        elif slope < 0.0:
            a, down = s, slope
        else:
            break
    return at


@jit
def _sum_and_slope(
    rules: Rules,
    sides: Sides,
    rest: FloatArray,
    delta: FloatArray,
    cells: IntArray,
    sizes: IntArray,
    t: FloatArray,
    v: FloatArray,
    s: float,
) -> tuple[float, float]:
    """The sum of all norms at t + s v, and its derivative in s; a norm at its kink has none, and adds nothing."""
    total, slope = 0.0, 0.0
    for i in range(cells.size):
        j = cells[i]
        m = sizes[j]
        for term in range(len(rules.over)):
            if rules.over[term] == (m > 1):
                square, along = rest[term, i, j], 0.0
                for u in range(t.size):
                    if rules.moving[term, u]:
                        y = delta[i, j, u] - t[u] - s * v[u]
                        square += y * y
                        along += y * v[u]
                power = rules.power[term, m - 1, j]
                x = sides.masses[i] * _raised(square, power)
                total += x
                if square > 0.0:
                    slope -= power * x / square * along
    return total, slope


@jit
def _by_sections(
    rules: Rules,
    sides: Sides,
    rest: FloatArray,
    delta: FloatArray,
    cells: IntArray,
    t: FloatArray,
    v: FloatArray,
    a: float,
    b: float,
    kinks: FloatArray,
) -> float:
    """Where the loss itself is smallest in [a, b], by golden section, which asks for no slopes."""
    at = a
    best, _ = _valued(rules, sides, rest, delta, cells, t + a * v)
    for i in range(kinks.size + 1):
        s = b if i == kinks.size else kinks[i]
        value, _ = _valued(rules, sides, rest, delta, cells, t + s * v)
        if value < best:
            best, at = value, s
    x, y = b - GOLDEN * (b - a), a + GOLDEN * (b - a)
    fx, _ = _valued(rules, sides, rest, delta, cells, t + x * v)
    fy, _ = _valued(rules, sides, rest, delta, cells, t + y * v)
    for _step in range(STEPS):
        if not b - a > 1e-15 * (abs(a) + abs(b)):
            break
        if fx <= fy:
            if fx < best:
                best, at = fx, x
            b, y, fy = y, x, fx
            x = b - GOLDEN * (b - a)
            fx, _ = _valued(rules, sides, rest, delta, cells, t + x * v)
        else:
            if fy < best:
                best, at = fy, y
            a, x, fx = x, y, fy
            y = a + GOLDEN * (b - a)
            fy, _ = _valued(rules, sides, rest, delta, cells, t + y * v)
    return at


@jit
def _widened(
    delta: FloatArray, cells: IntArray, t: FloatArray, v: FloatArray, first: float, last: float
) -> tuple[float, float]:
    """The same interval with the kinks of single coordinates."""
    for i in range(len(cells)):
        for u in range(v.size):
            if abs(v[u]) > 1e-8:
                s = (delta[i, cells[i], u] - t[u]) / v[u]
                first, last = min(first, s), max(last, s)
    return first, last


@jit
def _descend(
    rules: Rules,
    sides: Sides,
    rest: FloatArray,
    base: FloatArray,
    delta: FloatArray,
    fixed: IntArray,
    begin: FloatArray,
    lines: FloatArray,
    state: int,
    patience: int,
) -> tuple[float, FloatArray, IntArray, float]:
    """Line searches from one point until none gains."""
    p = begin.size
    pairs = delta.reshape(-1, p)
    t = begin.copy()
    cells = _nearest(rules, base, delta, t, np.full(len(base), -1, dtype=np.int64)) if rules.aligned else fixed
    best, c = _valued(rules, sides, rest, delta, cells, t)
    v = np.empty(p)
    idle = 0
    for _ in range(ROUNDS):
        old, before = best, t.copy()
        towards = len(lines) + len(pairs)
        for line in range(towards + 1 + AT_RANDOM * p):
            if line < len(lines):
                v = lines[line].copy()
            elif line < towards:
                v = pairs[line - len(lines)] - t
            elif line == towards:
                v = t - before
            else:
                for u in range(p):
                    state, v[u] = _drawn(state)
            length = np.sqrt((v * v).sum())
            if length > 0.0:
                value, s, own, factor = _along(rules, sides, rest, base, delta, cells, t, v / length)
                if value < best:
                    best, cells, c = value, own, factor
                    t = t + s * v / length
        idle = 0 if best < old - GAIN * abs(old) else idle + 1
        if idle == patience:
            break
    return best, t, cells, c
