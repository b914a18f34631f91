"""The polynomial systems of Gaussian and softmax-gated experts: what is proved, and what is numerical."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import factorial

import numpy as np
import pytest

from moestat.errors import InputError
from moestat.theory import gaussian_system, polynomial, rbar, softmax_system
from moestat.theory.polynomial import SOLUTIONS, Atoms, certify, generating_coefficients, least_residual


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def random_atoms(rng, m):
    return Atoms(rng.uniform(0.2, 1, m), rng.normal(size=m), rng.normal(size=m))


@pytest.mark.parametrize("m", [1, 2, 3, 5])
def test_two_ways_to_sum_the_system(rng, m):
    atoms = random_atoms(rng, m)
    np.testing.assert_allclose(gaussian_system(atoms, 8), generating_coefficients(atoms, 8), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("m", [2, 3, 4])
def test_polished_solutions(m):
    """To order rbar(m) - 1, and not to the next."""
    values = gaussian_system(SOLUTIONS[m], rbar(m))
    assert np.abs(values[:-1]).max() < 1e-14
    assert abs(values[-1]) > 1e-4


def test_the_known_residual_of_two_atoms():
    assert gaussian_system(SOLUTIONS[2], 4)[-1] == pytest.approx(-1 / 12, rel=1e-14)


@pytest.mark.parametrize(("m", "least"), [(2, 3), (3, 5), (4, 7)])
def test_solutions_exist_by_interval_arithmetic(m, least):
    """A proof that rbar(m) > least."""
    assert 0 < certify(m, least) < 1e-10


def test_no_proof_where_there_is_no_solution():
    with pytest.raises(InputError, match="no proof of a solution for m=2 to order 4"):
        certify(2, 4)


def test_two_atoms_have_none_to_order_four():
    """The proof in the module's text, in rational numbers: the fourth equation is p s^4 (p - 1) / 36.

    Both sides are polynomials in w and s of degree at most eight in w and four in s, so they agree everywhere once they
    agree on 9 x 5 points.
    """
    for w, s in product([Fraction(n, 10) for n in range(1, 10)], [Fraction(n) for n in range(1, 6)]):
        v, p = 1 - w, w * (1 - w)
        q = s**2 * (v - w) / 3
        a, c = (s * v, -s * w), (q * v, -q * w)
        atoms = [(mass, ai, ci - ai**2 / 2) for mass, ai, ci in zip((w, v), a, c, strict=True)]
        equations = [
            sum(
                mass * sum(ai ** (l - 2 * n) * bi**n / (factorial(l - 2 * n) * factorial(n)) for n in range(l // 2 + 1))
                for mass, ai, bi in atoms
            )
            for l in (1, 2, 3, 4)
        ]
        assert equations[:3] == [0, 0, 0]
        assert equations[3] == p * s**4 * (p - 1) / 36
        assert equations[3] != 0


def test_two_atoms_by_algebra():
    """The first three equations, solved symbolically, leave no real solution of the fourth with positive masses."""
    sympy = pytest.importorskip("sympy")
    w, s, q = sympy.symbols("w s q", positive=True)
    q = sympy.Symbol("q", real=True)
    a, c = (s * (1 - w), -s * w), (q * (1 - w), -q * w)
    atoms = [(mass, ai, ci - ai**2 / 2) for mass, ai, ci in zip((w, 1 - w), a, c, strict=True)]
    t = sympy.Symbol("t")
    series = sum(mass * sympy.series(sympy.exp(ai * t + bi * t**2), t, 0, 5).removeO() for mass, ai, bi in atoms)
    coefficients = sympy.Poly(sympy.expand(series), t).all_coeffs()[::-1]
    (root,) = sympy.solve(coefficients[3], q)
    rest = sympy.factor(coefficients[4].subs(q, root))
    p = w * (1 - w)
    assert sympy.simplify(rest - p * s**4 * (p - 1) / 36) == 0


@pytest.mark.parametrize(("m", "order", "least"), [(2, 4, 0.5 / 72), (3, 6, 4.9e-5), (4, 8, 1.7e-7)])
def test_no_solution_is_found_at_rbar(m, order, least):
    """Numerical evidence, no proof. For two atoms the least is that of the stored solution: (1 / 12)^2."""
    assert least_residual(m, order) == pytest.approx(least, rel=0.02)


@pytest.mark.parametrize(("m", "order"), [(2, 3), (3, 5), (4, 7)])
def test_the_solver_finds_what_there_is(m, order):
    assert least_residual(m, order) < 1e-20


# --------------------------------------------------------------------------------------- softmax
def test_the_softmax_system_by_brute_force(rng):
    """All exponents that satisfy the two conditions, one by one."""
    m, d, order = 2, 2, 4
    atoms, gate, expert = random_atoms(rng, m), rng.normal(size=(m, d)), rng.normal(size=(m, d))
    system = softmax_system(atoms, gate, expert, order)
    assert len(system) == sum(1 for l in product(range(order + 1), repeat=d + 1) if 1 <= sum(l) <= order)
    for (l1, l2), value in system.items():
        total = 0.0
        for alpha in product(range(order + 1), repeat=2 * d + 2):
            a1, a2, a3, a4 = alpha[:d], alpha[d : 2 * d], alpha[-2], alpha[-1]
            if tuple(np.add(a1, a2)) != l1 or a3 + 2 * a4 != l2 - sum(a2):
                continue
            bottom = np.prod([factorial(n) for n in alpha])
            top = np.prod(gate ** np.array(a1) * expert ** np.array(a2), axis=1)
            total += float(atoms.masses @ (top * atoms.locations**a3 * atoms.scales**a4)) / bottom
        assert value == pytest.approx(total, rel=1e-10, abs=1e-12)


def test_the_softmax_system_collapses(rng):
    """Squares of gate slopes stand alone, then those of expert slopes, and the Gaussian system is left."""
    atoms, gate, expert = random_atoms(rng, 3), rng.normal(size=(3, 1)), rng.normal(size=(3, 1))
    none = np.zeros((3, 1))
    assert softmax_system(atoms, gate, expert, 4)[(2,), 0] == pytest.approx(float(atoms.masses @ gate[:, 0] ** 2 / 2))
    assert softmax_system(atoms, none, expert, 4)[(2,), 2] == pytest.approx(float(atoms.masses @ expert[:, 0] ** 2 / 2))
    left = softmax_system(atoms, none, none, 6)
    np.testing.assert_allclose([left[(0,), l] for l in range(1, 7)], gaussian_system(atoms, 6), rtol=1e-12)
    assert all(value == 0.0 for (l1, _), value in left.items() if l1 != (0,))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Atoms(np.ones(2), np.ones(3), np.ones(2)), "vectors of one length"),
        (lambda: gaussian_system(SOLUTIONS[2], 0), "order must be a whole number of at least 1; got 0"),
        (lambda: softmax_system(SOLUTIONS[2], np.ones((3, 1)), np.ones((3, 1)), 2), r"must both have shape \(2, d\)"),
        (lambda: certify(5), r"m must be one of \[2, 3, 4\]"),
    ],
)
def test_bad_arguments(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_certify_says_what_it_needs(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mpmath", None)
    with pytest.raises(InputError, match=r"moestat\[theory\]"):
        polynomial.certify(3)
