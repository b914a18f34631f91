"""Laws of covariates: draws, population moments, points that stand for the population."""

from __future__ import annotations

import numpy as np
import pytest

from moestat.errors import InputError
from moestat.montecarlo import FromDataset, Grid, Mixture, Normal, Uniform
from moestat.montecarlo.covariates import read_covariates
from moestat.montecarlo.reading import Table

LAWS = {
    "uniform": (Uniform(-1.0, 3.0), 2),
    "normal": (Normal(1.0, 2.0), 3),
    "one normal": (Normal(-1.0, 0.5), 1),
    "mixture": (Mixture((Normal(-2.0, 0.5), Uniform(0.0, 4.0)), (1.0, 3.0)), 2),
    "one mixture": (Mixture((Normal(-2.0, 0.5), Normal(1.0, 1.0), Uniform(3.0, 4.0)), (2.0, 1.0, 1.0)), 1),
    "dataset": (FromDataset("ais", ("bmi", "ht")), 2),
    "one column": (FromDataset("ais", ("bmi",)), 1),
}


@pytest.fixture(params=LAWS)
def law(request):
    return LAWS[request.param]


def test_draws_have_the_moments_of_the_population(law):
    law, d = law
    n = 200_000
    X = law.draw(np.random.default_rng(1), n, d)
    assert X.shape == (n, d)
    moments = law.moments(d)
    sd = np.broadcast_to(moments.sd, (d,))
    assert (np.abs(X.mean(axis=0) - moments.mean) < 5 * sd / np.sqrt(n)).all()
    assert X.std(axis=0) == pytest.approx(sd, rel=0.01)


def test_points_integrate_moments(law):
    law, d = law
    moments = law.moments(d)
    points = law.points(1024, d)
    assert points.shape == (1024, d)
    assert np.isfinite(points).all()
    sd = np.broadcast_to(moments.sd, (d,))
    assert (np.abs(points.mean(axis=0) - moments.mean) < 0.01 * sd).all()
    assert points.std(axis=0) == pytest.approx(sd, rel=0.02)


def test_points_are_the_same_every_time_and_better_with_more(law):
    law, d = law
    assert (law.points(64, d) == law.points(64, d)).all()
    mean, sd = (np.broadcast_to(m, (d,)) for m in (law.moments(d).mean, law.moments(d).sd))
    errors = [np.abs((law.points(m, d).mean(axis=0) - mean) / sd).max() for m in (32, 4096)]
    assert errors[1] < max(0.3 * errors[0], 1e-9)


def test_columns_and_rows_are_independent():
    for law, d in LAWS.values():
        X = law.draw(np.random.default_rng(2), 20_000, d)
        assert abs(np.corrcoef(X[1:, 0], X[:-1, 0])[0, 1]) < 0.04
    X = Normal().draw(np.random.default_rng(2), 20_000, 3)
    assert np.abs(np.corrcoef(X.T) - np.eye(3)).max() < 0.04


def test_points_of_several_covariates_are_uncorrelated():
    points = Normal().points(1024, 3)
    assert np.abs(np.corrcoef(points.T) - np.eye(3)).max() < 0.01


def test_a_mixture_draws_from_its_components_by_weight():
    X = Mixture((Uniform(0.0, 1.0), Uniform(10.0, 11.0)), (1.0, 3.0)).draw(np.random.default_rng(0), 40_000, 1)
    assert (X > 5).mean() == pytest.approx(0.75, abs=0.01)


def test_a_data_set_is_drawn_by_rows():
    law = FromDataset("ais", ("bmi", "ht"))
    X = law.draw(np.random.default_rng(0), 1000, 2)
    known = {tuple(row) for row in law.rows}
    assert {tuple(row) for row in X} <= known
    assert len({tuple(row) for row in X}) > 0.9 * len(known)


def test_a_grid_has_both_its_ends_whatever_the_seed():
    X = Grid(-1.0, 3.0).draw(np.random.default_rng(0), 5, 1)
    assert X.ravel().tolist() == [-1.0, 0.0, 1.0, 2.0, 3.0]
    assert not Grid.nests
    with pytest.raises(InputError, match="a grid has one covariate; the truth has 2"):
        Grid().check(2)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "^covariates.law is missing"),
        ({"law": "gaussian"}, "^covariates.law must be one of"),
        ({"law": "normal", "sd": 0.0}, "^covariates.sd must be a finite number larger than 0"),
        ({"law": "normal", "mean": "0"}, "^covariates.mean must be a finite number"),
        ({"law": "normal", "mean": 1e60}, "^covariates.mean must be a finite number"),
        ({"law": "uniform", "low": 1.0, "high": 1.0}, "^covariates.high must be larger than low=1"),
        ({"law": "grid", "low": 2.0}, "^covariates.high must be larger"),
        ({"law": "uniform", "mean": 0.0}, "^covariates.mean is not known"),
        ({"law": "mixture"}, "^covariates.components is missing"),
        ({"law": "mixture", "components": [{"law": "normal"}]}, r"^covariates.components\[0\].weight is missing"),
        ({"law": "mixture", "components": [{"law": "grid", "weight": 1}]}, r"^covariates.components\[0\].law must"),
        ({"law": "mixture", "components": [{"law": "normal", "weight": 0}]}, r"^covariates.components\[0\].weight"),
        ({"law": "dataset", "dataset": "ais"}, "^covariates.columns is missing"),
        ({"law": "dataset", "dataset": "none", "columns": ["a"]}, "^covariates"),
        ({"law": "dataset", "dataset": "../../etc/passwd", "columns": ["a"]}, "^covariates"),
        ({"law": "dataset", "dataset": "ais", "columns": ["a"]}, "^covariates: columns must be some of"),
        ({"law": "dataset", "dataset": "ais", "columns": []}, "^covariates: columns must be some of"),
        ({"law": "dataset", "dataset": "ais", "columns": ["sport"]}, "^covariates: columns .* numbers"),
    ],
)
def test_laws_that_are_none(values, said):
    with pytest.raises(InputError, match=said):
        read_covariates(Table(values, "covariates"))


def test_laws_as_they_are_read():
    component = {"law": "normal", "mean": 1, "weight": 2}
    law = read_covariates(Table({"law": "mixture", "components": [component, {"law": "uniform", "weight": 1}]}, "c"))
    assert law == Mixture((Normal(1.0, 1.0), Uniform()), (2.0, 1.0))
    assert law.shares.tolist() == pytest.approx([2 / 3, 1 / 3])
    assert law.to_plain() == read_covariates(Table(law.to_plain(), "c")).to_plain()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Mixture((), ()),
        lambda: Mixture((Normal(),), (0.0,)),
        lambda: Mixture((Normal(),), (1.0, 2.0)),
        lambda: Mixture((Grid(),), (1.0,)),
        lambda: Normal(sd=-1.0),
        lambda: Uniform(1.0, 0.0),
    ],
)
def test_laws_made_in_python_are_checked_too(make):
    with pytest.raises(InputError):
        make()
