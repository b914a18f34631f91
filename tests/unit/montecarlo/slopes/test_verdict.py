"""Verdicts: each by a study that must end there, their order, and sentences that are true."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from moestat.errors import InputError
from moestat.montecarlo.slopes import Gain, Measured, Ruling, effective_slope, judge
from moestat.theory.rates import ROOT, SLOW, Rate
from simulations.slopes.coverage import Case
from tests.unit.montecarlo.slopes.exact import SIZES, exact

HALF = Rate(Fraction(1, 2))
MOVED = Gain.of({n: np.full(20, 5.0) for n in SIZES})
STILL = Gain.of({n: np.full(20, 5.0 if n < 9e4 else 0.01) for n in SIZES})


def slope_of(exponent, **options):
    return effective_slope(exact(lambda n: n**-exponent, **options))


def bending(a, h):
    return effective_slope(exact(lambda n: n**-0.5 * (1 + a * n**-h), replications=2000))


def zigzag(n):
    return n**-0.5 * np.exp(0.4 * np.cos(np.arange(len(n)) * 2.4))


CASES = [
    (slope_of(0.5), HALF, {}, Ruling.CONSISTENT),
    (effective_slope(exact(lambda n: (np.log(n) / n) ** 0.5)), ROOT, {}, Ruling.CONSISTENT),
    (slope_of(0.5), ROOT, {"bound": True}, Ruling.CONSISTENT),
    (slope_of(0.5), HALF, {"gain": MOVED}, Ruling.CONSISTENT),
    (slope_of(0.7), HALF, {}, Ruling.FASTER),
    (slope_of(0.7), HALF, {"bound": True}, Ruling.WITHIN_BOUND),
    (slope_of(0.56, replications=20), HALF, {"bound": True}, Ruling.WITHIN_BOUND),
    (slope_of(0.3), HALF, {}, Ruling.SLOWER),
    (slope_of(0.3), HALF, {"bound": True}, Ruling.SLOWER),
    (slope_of(0.5, sizes=np.geomspace(1e3, 1e4, 12)), HALF, {}, Ruling.TOO_SHORT),
    (slope_of(0.5, sizes=[1e3, 1e4, 1e5]), HALF, {}, Ruling.TOO_SHORT),
    (bending(30, 0.5), HALF, {}, Ruling.NOT_YET),
    (effective_slope(exact(lambda n: n**-0.5 + 0.01, replications=2000)), HALF, {}, Ruling.NO_POWER_LAW),
    (effective_slope(exact(lambda n: n**-0.5 + 0.01, replications=2000)), None, {}, Ruling.NO_POWER_LAW),
    (effective_slope(exact(zigzag)), HALF, {}, Ruling.NO_POWER_LAW),
    (slope_of(0.5), HALF, {"identified": False}, Ruling.NOT_IDENTIFIED),
    (slope_of(0.5), HALF, {"gain": STILL}, Ruling.DID_NOT_MOVE),
    (slope_of(0.5, replications=10), HALF, {}, Ruling.TOO_NOISY),
    (slope_of(0.57, replications=20), HALF, {}, Ruling.TOO_NOISY),
    (slope_of(0.5), None, {}, None),
    (slope_of(0.5), SLOW, {}, None),
]


@pytest.mark.parametrize(("slope", "predicted", "options", "ruling"), CASES)
def test_rulings(slope, predicted, options, ruling):
    verdict = judge(slope, predicted, **options)
    assert verdict.ruling is ruling, verdict
    assert str(verdict) == f"{verdict.name}: {verdict.sentence}"


def test_each_ruling_has_a_case():
    assert {ruling for *_, ruling in CASES} == {None, *Ruling}


def test_names():
    assert [one.value for one in Ruling] == [
        *("consistent", "within the bound", "faster", "slower", "window too short", "not yet asymptotic"),
        *("no power law", "not identified", "did not move", "too noisy"),
    ]


@pytest.mark.parametrize(("slope", "predicted", "options", "ruling"), CASES)
def test_sentences_speak_of_the_slope_on_the_window(slope, predicted, options, ruling):
    sentence = judge(slope, predicted, **options).sentence
    low, high = slope.window
    assert sentence.startswith(
        f"The effective slope of the mean loss on [{low:.12g}, {high:.12g}] is {slope.slope:.3f} ("
    )
    assert "the rate" not in sentence
    assert sentence.endswith(".")


def test_the_order_of_rules():
    """All of them apply at once but for the window; taken away one by one, the next one speaks."""
    plateau = effective_slope(exact(lambda n: n**-0.5 + 0.01, sizes=np.geomspace(1e3, 1e4, 8), replications=2000))
    options = {"identified": False, "gain": STILL_TOO, "min_decades": 1.5}
    assert judge(plateau, HALF, **options).ruling is Ruling.NOT_IDENTIFIED
    options |= {"identified": True}
    assert judge(plateau, HALF, **options).ruling is Ruling.DID_NOT_MOVE
    options |= {"gain": None}
    assert judge(plateau, HALF, **options).ruling is Ruling.TOO_SHORT
    options |= {"min_decades": 1.0}
    assert judge(plateau, HALF, **options).ruling is Ruling.NO_POWER_LAW


STILL_TOO = Gain.of({2000.0: [0.0, 0.0, 0.0, 0.0, 3.0]})


def test_the_band_is_that_of_the_rate_widened():
    low, high = judge(slope_of(0.5), ROOT, margin=0.1).predicted_interval
    assert np.isclose(low, -0.6)
    assert np.isclose(high, ROOT.effective_slope(1e3, 1e5) + 0.1)
    assert judge(slope_of(0.5), None).predicted_interval is None


@pytest.mark.parametrize("exponent", [0.5, 0.52, 0.57, 0.42])
def test_needed_replications_settle_it(exponent):
    """With so many, and without luck, the verdict is no longer noisy; with a few per cent fewer it still is."""
    verdict = judge(slope_of(exponent, replications=10), HALF)
    assert verdict.ruling is Ruling.TOO_NOISY
    # Quantiles of 10 values are a little less spread than those of many.
    spread = effective_slope(exact(lambda n: n**-exponent, replications=10)).points.variances[0] * 10
    many = effective_slope(exact(lambda n: n**-exponent, replications=verdict.needed_replications))
    ratio = many.points.variances[0] * verdict.needed_replications / spread
    enough, few = (int(verdict.needed_replications * ratio * factor) for factor in (1.03, 0.93))
    assert judge(slope_of(exponent, replications=enough), HALF).ruling is not Ruling.TOO_NOISY
    assert judge(slope_of(exponent, replications=few), HALF).ruling is Ruling.TOO_NOISY


def test_an_estimate_at_an_edge_needs_no_number():
    slope = slope_of(0.5, replications=20)
    rate = Rate(Fraction(-slope.slope).limit_denominator(10**12) - Fraction(1, 20))
    verdict = judge(slope, rate)
    assert verdict.ruling is Ruling.TOO_NOISY
    assert verdict.needed_replications is None or verdict.needed_replications > 10**9


def test_scatter_that_replications_do_not_lessen_is_not_called_noise():
    rng = np.random.default_rng(3)
    curve = SIZES**-0.5 * np.exp(0.1 * rng.standard_normal(12))
    slope = effective_slope(exact(lambda n: curve, replications=2000))
    verdict = judge(slope, HALF, margin=0.01)
    assert verdict.ruling is Ruling.NO_POWER_LAW
    assert verdict.needed_replications is None


def test_a_window_of_exactly_the_shortest_length_is_enough():
    sizes = np.geomspace(1e3, 1e3 * 10**1.5, 5)
    assert judge(slope_of(0.5, sizes=sizes, replications=5000), HALF).ruling is Ruling.CONSISTENT


def test_heavy_tails_are_noise():
    """Means of 40 nested heavy-tailed losses: the lack of fit rejects a third of exact power laws, a verdict few."""
    slopes = list(Case("mean", "lognormal 1.2", 12, 40, True).slopes(60))
    rulings = [judge(slope, HALF).ruling for slope in slopes]
    assert sum(slope.fit.strays for slope in slopes) >= 10
    assert sum(ruling is Ruling.NO_POWER_LAW for ruling in rulings) <= 6


def test_gains_outside_the_window_do_not_count():
    gain = Gain.of({100.0: np.zeros(20)})
    assert judge(slope_of(0.5), HALF, gain=gain).ruling is Ruling.CONSISTENT


def test_half_of_the_gains_may_be_nothing():
    """A maximum at a boundary gains nothing half of the time."""
    gain = Gain.of({n: [0.0, 0.0, 2.0, np.nan, 3.0] for n in SIZES})
    assert np.allclose(gain.still, 0.5)
    assert np.allclose(gain.medians, 1.0)
    assert judge(slope_of(0.5), HALF, gain=gain).ruling is Ruling.CONSISTENT


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"margin": 0.0}, "margin must be a positive number; got 0.0"),
        ({"margin": np.nan}, "margin must be a positive number; got nan"),
        ({"min_sizes": 2}, "min_sizes must be at least 3; got 2"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(InputError, match=message):
        judge(slope_of(0.5), HALF, **options)


def test_gains_without_numbers():
    with pytest.raises(InputError, match="gains of n=1000 must hold a number"):
        Gain.of({1000: [np.nan]})


def test_the_bootstrap_is_judged_by_its_own_interval():
    rng = np.random.default_rng(0)
    measured = Measured(SIZES, tuple(n**-0.5 * rng.lognormal(size=50) for n in SIZES))
    slope = effective_slope(measured, interval="bootstrap")
    assert judge(slope, HALF).interval == slope.interval_at(0.95)


@pytest.mark.parametrize(("gain", "words"), [(0.01, "they are next to it"), (-400.0, "they are below it")])
def test_where_a_fit_lies_that_gained_nothing(gain, words):
    verdict = judge(slope_of(0.5), HALF, gain=Gain.of({n: np.full(20, gain) for n in SIZES}))
    assert verdict.ruling is Ruling.DID_NOT_MOVE
    assert verdict.sentence.endswith(f"{words}.")


def test_the_factor_of_log_n_is_told():
    verdict = judge(slope_of(0.5), Rate(Fraction(1, 2), Fraction(3)), bound=True)
    assert "n^(-1/2) (log n)^(3)" in verdict.sentence
