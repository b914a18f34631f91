"""Which theorem a fit is set beside, and where there is none."""

from __future__ import annotations

from fractions import Fraction

import pytest

from moestat import montecarlo as mc
from moestat.montecarlo.predictions import predicted

STUDY = """
[study]
name = "predicted"
[truth]
gate_params = {{ intercepts = [0.0, 0.0], slopes = [[0.5], [-0.5]] }}
{truth}
[covariates]
law = "normal"
[design]
n = [100, 200]
replications = 2
[[fit]]
name = "exact"
{fit}
[[fit]]
name = "over"
n_experts = 3
{fit}
[[protocol]]
name = "mle"
[[protocol]]
name = "published"
{rest}
"""
GAUSSIAN = "expert_params = { intercepts = [1.5, -1.5], slopes = [[0.5], [-0.5]], variances = [1.0, 0.64] }"


def study(truth=GAUSSIAN, fit="", rest=""):
    return mc.Study.from_text(STUDY.format(truth=truth, fit=fit, rest=rest))


def test_the_clean_case():
    clean = study()
    exact, over = (predicted(clean, fit, "mle", "voronoi") for fit in ("exact", "over"))
    assert exact.rate.exponent == over.rate.exponent == Fraction(1, 2)
    assert (exact.bound, over.bound) == (False, True)
    assert "2305.03288" in exact.source
    assert predicted(clean, "over", "mle", "deviation/over-covered: gate.slopes").rate.exponent == Fraction(1, 8)
    assert predicted(clean, "over", "mle", "voronoi(r=2.0)").rate is None


def test_a_theorem_is_about_one_estimator():
    clean = study()
    assert not predicted(clean, "exact", "mle", "voronoi").note
    assert "maximum likelihood estimate" in predicted(clean, "exact", "published", "voronoi").note


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"fit": 'bounds = { "expert.variances" = [2.0, 4.0] }'}, "outside the bounds of expert.variances"),
        ({"fit": 'bounds = { "gate.slopes" = 0.3 }'}, "outside the bounds of gate.slopes"),
        ({"fit": 'fixed = { "gate.slopes" = 0.0 }'}, "holds gate.slopes elsewhere"),
        ({"truth": GAUSSIAN + "\nnoise_sd = 0.5"}, "not drawn from the model's density"),
        (
            {"truth": GAUSSIAN.replace("[1.5, -1.5]", "[1.5, 1.5]").replace("0.64", "1.0").replace("-0.5", "0.5")},
            None,
        ),
    ],
)
def test_no_theorem_where_the_model_does_not_hold_the_truth(change, reason):
    found = predicted(study(**change), "exact", "mle", "voronoi")
    if reason is None:  # experts are the same, but their gate tells them apart
        assert found.rate is not None
    else:
        assert found.rate is None
        assert reason in found.source


def test_experts_that_are_the_same():
    same = GAUSSIAN.replace("[1.5, -1.5]", "[1.5, 1.5]").replace("0.64", "1.0").replace("[-0.5]", "[0.5]")
    text = STUDY.format(truth=same, fit="", rest="").replace("[[0.5], [-0.5]] }\n", "[[0.5], [0.5]] }\n", 1)
    assert "the same" in predicted(mc.Study.from_text(text), "exact", "mle", "voronoi").source


def test_bounds_that_hold_the_truth_up_to_a_shift():
    held = study(fit='bounds = { "gate.slopes" = 0.5, "gate.intercepts" = 1.0 }')
    assert predicted(held, "exact", "mle", "voronoi").rate is not None


def test_the_truth_decides_the_case():
    params = "expert_params = {{ intercepts = [[0.0, 0.5], [0.3, 0.0]], slopes = [[[1.0], [-1.0]], [[{0}], [0.0]]] }}"
    multinomial = 'expert = "multinomial"\n'
    rates = [
        predicted(
            mc.Study.from_text(
                STUDY.format(truth=multinomial + params.format(slope), fit='expert = "multinomial"', rest="")
            ),
            "over",
            "mle",
            "voronoi",
        ).rate
        for slope in (0.7, 0.0)
    ]
    assert rates[0].exponent == Fraction(1, 2)
    assert rates[1].exponent is None


def test_what_the_study_states_comes_first():
    rest = '[[prediction]]\nmeasure = "voronoi"\nexponent = "1/4"\nlog_power = 1\nsource = "here"\nfit = "over"'
    stated = study(rest=rest)
    found = predicted(stated, "over", "mle", "voronoi")
    assert (found.rate.exponent, found.rate.log_power, found.source) == (Fraction(1, 4), 1, "here")
    assert predicted(stated, "exact", "mle", "voronoi").rate.exponent == Fraction(1, 2)
