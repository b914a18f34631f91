"""Does an activation keep the temperature apart from the slopes? The independence conditions, decided numerically.

The logits (a(b_k'x) + b_0k) / tau have, in their parameters and up to a factor, the derivatives

    first order     1,  a(b_k'x),  x_u a'(b_k'x)
    second order    also  a^2,  x_u a a',  x_u x_v a'^2,  x_u x_v a''       at b_k'x

for distinct slopes b_1, ..., b_K. Where these functions of x are linearly independent the derivatives do not interact
and all parameters converge at polynomial rates; where the first-order ones are not, as for a(z) = z, temperature and
slopes cannot be told apart at any polynomial rate [Nguyen, Akbarian and Ho 2024, arXiv 2401.13875; the lists are
moestat's working form of their two conditions].

The functions are evaluated at random points for several draws of the slopes and scaled to length one; they are
dependent where the smallest singular value is rounding in every draw. So the verdict is about almost all slopes: where
b_2 = -b_1, an odd activation and the sigmoid are dependent, a(b_1'x) + a(b_2'x) being constant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from moestat.activations import activation_named
from moestat.errors import InputError
from moestat.typing import FloatArray

#: A smallest singular value (of at most the root of the number of functions) below this is rounding.
DEPENDENT = 1e-12

#: Points at which the functions are compared, draws of the slopes, and the seed of both.
POINTS, DRAWS, SEED = 2000, 5, 0

#: Standard deviation of the points: wide enough for an activation to show all of its shape.
SPREAD = 2.5

#: Loadings of a dependency below this share of the largest are rounding.
LOADING = 1e-6

Functions = Callable[[FloatArray], tuple[FloatArray, FloatArray, FloatArray]]


@dataclass(frozen=True)
class Independence:
    """Whether the functions of one order are linearly independent; ``print`` it.

    Parameters
    ----------
    activation : str
    order : int
    independent : bool
    dependency : str
        A vanishing combination in words, or empty.
    smallest : tuple of float
        Smallest singular value of the scaled functions, draw by draw.
    n_functions : int
    """

    activation: str
    order: int
    independent: bool
    dependency: str
    smallest: tuple[float, ...]
    n_functions: int

    def __str__(self) -> str:
        kind = {1: "first", 2: "second"}[self.order]
        verdict = "independent" if self.independent else f"dependent: {self.dependency}"
        return (
            f"{self.activation}, {kind}-order condition: the {self.n_functions} functions are linearly {verdict}\n"
            f"  smallest singular value {min(self.smallest):.1e} to {max(self.smallest):.1e} in {len(self.smallest)} "
            f"draws of the slopes (rounding below {DEPENDENT:.0e})"
        )


def monomial(degree: int) -> Functions:
    """a(z) = z^degree with its first two derivatives, for `independence`."""

    def functions(z: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        bend = degree * (degree - 1) * z ** max(degree - 2, 0)
        return z**degree, degree * z ** (degree - 1), bend

    functions.__name__ = f"monomial of degree {degree}"
    return functions


def independence(
    activation: str | Functions, order: int = 1, *, n_features: int = 2, n_experts: int = 2
) -> Independence:
    """Test an independence condition of an activation.

    Parameters
    ----------
    activation : str or callable
        A name of `moestat.activations.ACTIVATIONS`, or a function that returns a, a' and a'' at an array.
    order : {1, 2}
        The first-order condition, for models with as many experts as the truth, or the second-order one, for more.
    n_features, n_experts : int
        Dimension of x and number of distinct slopes in the test.

    Returns
    -------
    Independence

    Examples
    --------
    >>> from moestat.gates.independence import independence
    >>> independence("sigmoid").independent, independence("relu").independent
    (True, False)
    """
    if order not in (1, 2) or isinstance(order, bool):
        raise InputError(f"order must be 1 or 2; got {order!r}.")
    for setting, size in (("n_features", n_features), ("n_experts", n_experts)):
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
            raise InputError(f"{setting} must be a whole number of at least 1; got {size!r}.")
    name, functions = _functions(activation)
    rng = np.random.default_rng(SEED)
    smallest, dependency = [], ""
    for _ in range(DRAWS):
        X = SPREAD * rng.standard_normal((POINTS, n_features))
        slopes = _distinct(n_experts, n_features, rng)
        words, values = _derivatives(functions, X, slopes, order)
        size = np.linalg.norm(values, axis=0)
        unit = values / np.where(size > 0, size, 1.0)
        smallest.append(float(np.linalg.svd(unit, compute_uv=False)[-1]))
        dependency = dependency or _first_dependency(words, unit, size)
    independent = max(smallest) > DEPENDENT
    return Independence(name, order, independent, "" if independent else dependency, tuple(smallest), len(words))


def _functions(activation: Any) -> tuple[str, Functions]:
    if callable(activation):
        return getattr(activation, "__name__", "activation"), activation
    known = activation_named(activation)
    return known.name, lambda z: (known.value(z), known.slope(z), known.curvature(z))


def _distinct(n_experts: int, n_features: int, rng: np.random.Generator) -> FloatArray:
    """Slopes of lengths about one."""
    drawn = rng.standard_normal((n_experts, n_features))
    length = np.linalg.norm(drawn, axis=1, keepdims=True)
    return np.asarray(drawn / length * (0.6 + rng.random((n_experts, 1))))


def _derivatives(functions: Functions, X: FloatArray, slopes: FloatArray, order: int) -> tuple[list[str], FloatArray]:
    """Names and values (n, m) of the functions."""
    words, columns = ["1"], [np.ones(len(X))]
    features = range(X.shape[1])
    pairs = [(u, v) for u in features for v in range(u + 1)]
    for k, b in enumerate(slopes, start=1):
        a, s, t = functions(X @ b)
        at = f"(b{k}'x)"
        named = [*((f"x{u + 1} a'{at}", X[:, u] * s) for u in features), (f"a{at}", a)]
        if order == 2:
            named += [*((f"x{u + 1} a a'{at}", X[:, u] * a * s) for u in features), (f"a^2{at}", a * a)]
            named += [(f"x{u + 1} x{v + 1} a'^2{at}", X[:, u] * X[:, v] * s * s) for u, v in pairs]
            named += [(f"x{u + 1} x{v + 1} a''{at}", X[:, u] * X[:, v] * t) for u, v in pairs]
        words += [word for word, _ in named]
        columns += [values for _, values in named]
    return words, np.stack(columns, axis=1)


def _first_dependency(words: list[str], unit: FloatArray, size: FloatArray) -> str:
    """The first function that is a combination of those before it, and of which; empty where there is none."""
    for m in range(len(words)):
        if size[m] == 0.0:
            return f"{words[m]} = 0"
        before = unit[:, :m]
        share = np.linalg.lstsq(before, unit[:, m], rcond=DEPENDENT)[0] if m else np.zeros(0)
        if m and np.linalg.norm(unit[:, m] - before @ share) <= DEPENDENT * max(1.0, float(np.abs(share).max())):
            loadings = share * size[m] / size[:m]
            kept = [i for i in range(m) if abs(share[i]) > LOADING * np.abs(share).max()]
            return f"{words[m]} = " + " + ".join(f"{loadings[i]:.3g} {words[i]}" for i in kept).replace("+ -", "- ")
    return ""
