"""Kernels are compiled once: a warm-up, or a first fit, leaves nothing to the compiler, whatever the rows look like."""

from __future__ import annotations

import warnings
from contextlib import suppress
from itertools import product

import numpy as np
import pandas as pd
import pytest

import moestat as ms
from moestat.errors import InputError, MoestatError
from moestat.experts import EXPERTS
from moestat.gates import GATES
from moestat.kernels.compile import KERNELS, kept_in
from moestat.solvers import SOLVERS
from moestat.warming import ALL_EXPERTS, ALL_GATES, COMMON_EXPERTS, COMMON_GATES, warmup
from tests.conformance import problems

N = 120


def versions():
    """How many sets of argument types each kernel has been compiled for, or loaded."""
    return {f"{k.py_func.__module__}.{k.py_func.__name__}": len(k.signatures) for k in KERNELS}


def new_since(before):
    return {name: count for name, count in versions().items() if count > before.get(name, 0)}


def rows(n=N, d=2, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    line = X.sum(axis=1)
    return X, np.where(rng.random(n) < 0.5, 1.0 + line, -1.0 - line) + 0.3 * rng.normal(size=n)


def fitted(X, y, *args, n_experts=2, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ms.MoestatWarning)  # where such fits end is not the question
        results = ms.fit(ms.MixtureOfExperts(n_experts=n_experts), X, y, *args, n_starts=1, **options)
    results.summary()
    results.predict()
    return results


@pytest.fixture(scope="module")
def warm():
    """Kernels of Gaussian experts behind softmax gates, and behind the temperature of annealing, all in use."""
    warmup(["softmax", "temperature"], ["gaussian"])
    return versions()


# ------------------------------------------------------------------------------------- nothing compiles twice
@pytest.mark.parametrize(
    ("n", "d", "K"), [(30, 1, 1), (50, 2, 3), (3000, 3, 2), (5000, 12, 2), (300, 40, 2), (200, 2, 7)]
)
def test_other_sizes_compile_nothing(warm, n, d, K):
    fitted(*rows(n, d), n_experts=K)
    assert new_since(warm) == {}


def read_only(array):
    array = array.copy()
    array.setflags(write=False)
    return array


LAYOUTS = {
    "by columns": np.asfortranarray,
    "every second row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "backwards": lambda a: a[::-1],
    "read-only": read_only,
    "a view of a wider array": lambda a: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim == 2 else a,
    "float32": lambda a: a.astype(np.float32),
    "long double": lambda a: a.astype(np.longdouble),
    "other bytes": lambda a: a.astype(">f8"),
    "whole numbers": lambda a: (10 * a).astype(np.int64),
    "small whole numbers": lambda a: (10 * a).astype(np.int8),
    "objects": lambda a: a.astype(object),
    "lists": lambda a: a.tolist(),
    "frames": lambda a: pd.DataFrame(a, columns=["a", "b"]) if a.ndim == 2 else pd.Series(a, name="y"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_other_layouts_compile_nothing(warm, layout):
    X, y = (LAYOUTS[layout](array) for array in rows())
    results = fitted(X, y)
    results.predict(X)
    results.responsibilities(X, y)
    assert new_since(warm) == {}


@pytest.mark.parametrize(
    "known",
    [
        {"sample_weight": np.arange(N) % 3},
        {"sample_weight": np.linspace(0.5, 2.0, N, dtype=np.float32)},
        {"offset": np.arange(N)[::-1]},
        {"Z": rows(seed=1)[0][:, :1]},
        {"Z": np.empty((N, 0))},
        {"bounds": {"gate.slopes": 3.0}},
        {"objective": "least_squares"},
        *({"solver": solver} for solver in SOLVERS),
    ],
    ids=lambda known: "-".join(map(str, known)),
)
def test_other_arguments_compile_nothing(warm, known):
    fitted(*rows(), **known)
    assert new_since(warm) == {}


def test_other_doors_compile_nothing(warm):
    X, y = rows()
    frame = pd.DataFrame({"y": y, "a": X[:, 0], "b": X[:, 1]})
    ms.moe("y ~ a | b", frame).fit(n_starts=1).predict(frame)
    ms.MoERegressor(n_starts=1).fit(X, y).predict(X)
    assert new_since(warm) == {}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_after_a_full_warm_up_no_gate_and_no_expert_compiles(recwarn):
    warmup(ALL_GATES, ALL_EXPERTS)
    before = versions()
    X, y = rows(84, 5)
    counts, labels = 1 + np.arange(84) % 4, np.arange(84) % 3
    models = [ms.MixtureOfExperts(gate=g, n_experts=problems.n_experts(g)) for g in problems.ALL_GATES.values()]
    cases = [(model, (y,)) for model in models]
    for make in problems.ALL_EXPERTS.values():
        model = ms.MixtureOfExperts(expert=make(3), n_experts=3)
        cases.append((model, (labels,) if model.expert.categorical else (y, np.column_stack([y, y**2]), counts)))
    for model, responses in cases:
        for response, objective in product(responses, ("likelihood", "least_squares")):
            with suppress(MoestatError):  # not every response is one of every family
                ms.fit(model, X, response, n_starts=1, objective=objective).summary()
    assert new_since(before) == {}


def test_a_second_layout_would_be_seen(warm):
    """The count sees what these tests are about."""
    from moestat.kernels import totals

    totals.absorb(np.asfortranarray(np.zeros((3, 2))))
    assert new_since(warm) == {"moestat.kernels.totals.absorb": 2}
    warm["moestat.kernels.totals.absorb"] = 2


# ------------------------------------------------------------------------------------- the warm-up itself
def test_every_gate_is_on_the_list():
    assert {text.partition("(")[0] for text in ALL_GATES} == set(GATES)
    assert set(COMMON_GATES) <= set(ALL_GATES)


def test_every_expert_with_kernels_is_on_the_list():
    assert {text.partition("(")[0] for text in ALL_EXPERTS} == set(EXPERTS) - {"known", "noise", "zero"}
    assert set(COMMON_EXPERTS) <= set(ALL_EXPERTS)


def test_it_says_what_it_did(tmp_path, warm):
    warmth = warmup(["softmax"], ["gaussian"])
    assert (warmth.n_compiled, warmth.n_loaded, warmth.folder) == (0, 0, kept_in())
    assert str(warmth).startswith("0 kernels compiled, 0 were there, in ")


def test_progress_is_told(warm):
    reports = []
    warmup(["softmax"], ["gaussian"], progress=lambda *report: reports.append(report))
    assert reports == [("kernels", 0, 2), ("kernels", 1, 2), ("kernels", 2, 2)]


def test_unknown_components_are_refused():
    with pytest.raises(InputError, match="softmaxx"):
        warmup(["softmaxx"])
    with pytest.raises(InputError, match=r"gates must be a list, as \['softmax', 'laplace'\]; got 'softmax'"):
        warmup("softmax")
    with pytest.raises(InputError, match="n_active"):
        warmup(["topk(n_active=5)"], [])
