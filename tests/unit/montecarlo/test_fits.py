"""Models that are fitted, and grids of them."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import moestat as ms
from moestat.data import Schema
from moestat.errors import InputError
from moestat.montecarlo import FittedModel
from moestat.montecarlo.fits import read_fits
from moestat.montecarlo.reading import Table

SCHEMA = Schema(("x1",), ("x1",), ("y",), None)


def read(*tables):
    return read_fits([Table(values, f"fit[{i}]") for i, values in enumerate(tables)])


def test_defaults():
    (fitted,) = read({})
    assert fitted.name == "K2"
    assert fitted.words == "softmax, 2 x gaussian"
    assert fitted.bounds is None


def test_a_grid_is_the_product_of_its_lists():
    found = read({"name": "a", "n_experts": [2, 3, 4], "gate": ["softmax", "laplace"]})
    assert len(found) == 6
    assert len({fitted.name for fitted in found}) == 6
    assert {(f.model.n_experts, f.model.gate.name) for f in found} == {
        (K, gate) for K in (2, 3, 4) for gate in ("softmax", "laplace")
    }


def test_a_grid_of_numbers_of_experts_is_named_by_them():
    assert [fitted.name for fitted in read({"n_experts": [2, 3]})] == ["K2", "K3"]
    assert [fitted.name for fitted in read({"n_experts": [2, 3], "name": "a"})] == ["a-K2", "a-K3"]


def test_a_grid_of_bounds():
    found = read({"bounds": [{"gate.slopes": 1.0}, {"gate.slopes": [-2.0, 3]}]})
    lows, highs = zip(*(f.checked_bounds(SCHEMA)["gate.slopes"] for f in found), strict=True)
    assert [low.ravel()[0] for low in lows] == [-1.0, -2.0]
    assert [high.ravel()[0] for high in highs] == [1.0, 3.0]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"n_experts": 0}, r"^fit\[0\].n_experts must be a whole number from 1"),
        ({"n_experts": [2, 2.5]}, r"^fit\[0\].n_experts must be"),
        ({"n_experts": []}, r"^fit\[0\].n_experts is an empty list"),
        ({"n_experts": {}}, r"^fit\[0\].n_experts must be"),
        ({"gate": 3}, r"^fit\[0\].gate must be text"),
        ({"gate": ["softmax", {}]}, r"^fit\[0\].gate must be text"),
        ({"gate": "__import__('os')"}, r"^fit\[0\]: gate"),
        ({"gate": "a" * 5000}, r"^fit\[0\]: gate"),
        ({"expert": "gausian"}, r"^fit\[0\]: expert .*gaussian"),
        ({"objective": "bayes"}, r"^fit\[0\].objective must be one of"),
        ({"objective": ["likelihood", []]}, r"^fit\[0\].objective must be text"),
        ({"bounds": 3}, r"^fit\[0\].bounds must be a table"),
        ({"bounds": "3"}, r"^fit\[0\].bounds must be a number"),
        ({"bounds": {}}, r"^fit\[0\].bounds must be a table"),
        ({"bounds": {"gate.slopes": True}}, r"^fit\[0\].bounds.gate.slopes must be a number"),
        ({"bounds": {"gate.slopes": 10**400}}, r"^fit\[0\].bounds.gate.slopes must be a number"),
        ({"bounds": {"gate.slopes": float("nan")}}, r"^fit\[0\].bounds.gate.slopes must be a number"),
        ({"fixed": 3}, r"^fit\[0\]: fixed must map"),
        ({"fixed": {"gate.slopes": [[1.0], [1.0, 2.0]]}}, r"^fit\[0\]: fixed must hold numbers"),
        ({"fixed": {"gate.slopes": "x"}}, r"^fit\[0\].fixed.gate.slopes must be a number"),
        ({"losses": "voronoi"}, r"^fit\[0\].losses must be a list of texts"),
        ({"name": "a b"}, r"^fit\[0\].name must be a name"),
        ({"n_exprts": 3}, r"^fit\[0\].n_exprts is not known.*n_experts"),
        ({"n_experts": [2] * 40, "gate": ["softmax"] * 40}, r"^fit\[0\] stands for 1600 models"),
    ],
)
def test_models_that_are_none(values, said):
    with pytest.raises(InputError, match=said):
        read(values)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bounds": {"gate.slopes": (2.0, 1.0)}}, "exclude each other"),
        ({"bounds": {"gate.x": 1.0}}, "unknown field"),
        ({"bounds": {"expert.variances": 1.0}}, "must be a pair"),
    ],
)
def test_bounds_that_a_model_cannot_have(changes, said):
    with pytest.raises(InputError, match=said):
        FittedModel("a", ms.MixtureOfExperts(n_experts=2), **changes).check(SCHEMA)


@pytest.mark.parametrize(
    ("fixed", "said"),
    [
        ({"gate.x": 1.0}, "unknown parameter field"),
        ({"gate.slopes": [1.0, 2.0, 3.0]}, "must be a number or have shape"),
        ({"gate.slopes": 10**400}, "must be a number or have shape"),
        ({"gate.slopes": np.nan}, "fixed"),
        ({"expert.variances": -1.0}, "fixed"),
    ],
)
def test_held_values_that_a_model_cannot_have(fixed, said):
    with pytest.raises(InputError, match=said):
        FittedModel("a", ms.MixtureOfExperts(n_experts=2, fixed=fixed)).check(SCHEMA)


def test_the_digest_is_of_what_estimates_depend_on():
    plain = {"n_experts": 2, "name": "a"}
    (once,) = read(plain | {"bounds": {"gate.slopes": 2}, "fixed": {"gate.intercepts": 0}})
    (again,) = read(plain | {"bounds": {"gate.slopes": 2.0}, "fixed": {"gate.intercepts": 0.0}, "losses": []})
    assert once.digest == again.digest
    assert read(plain)[0].digest != once.digest
    assert read(plain | {"objective": "least_squares"})[0].digest != read(plain)[0].digest


def test_what_is_prepared_stays_at_home():
    (fitted,) = read({"bounds": {"gate.slopes": 2.0}})
    assert fitted.prepared(SCHEMA) is fitted.prepared(SCHEMA)
    other = pickle.loads(pickle.dumps(fitted))
    assert other.digest == fitted.digest
    assert other.prepared(SCHEMA).compiled
