"""Studies whose parts do not go together, and cells that hang on what they depend on."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

import moestat as ms
from moestat.errors import InputError
from moestat.montecarlo import MLE, Design, FittedModel, Grid, Published, Record, StatedRate, Study, Truth
from tests.unit.montecarlo.written import TEXT


def edited(*pairs: tuple[str, str]) -> str:
    text = TEXT
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text


K3 = ("n_experts = 3\n", 'n_experts = 3\ngate = "laplace"\n')
NO_TRUTH = ('polish_from = ["published", "truth"]', "")
BOUNDS = 'bounds = { "gate.slopes" = 2.0, "expert.variances" = [0.09, 4.0] }'
TWO = [
    ("slopes = [[0.5], [-0.5]] }", "slopes = [[0.5, 0.0], [-0.5, 0.0]] }"),
    ("slopes = [[0.5], [-0.5]], v", "slopes = [[0.5, 0.0], [-0.5, 0.0]], v"),
]
NORMAL = 'law = "normal"\nmean = 0.0\nsd = 1.0'
GRID = (NORMAL, 'law = "grid"')

IMPOSSIBLE = {
    "more experts than rows": ([("[100, 200]", "[2, 200]")], r"^fit\[0\]: n_experts=3 are more than the 2 rows"),
    "bounds exclude each other": ([("[0.09, 4.0]", "[4.0, 0.09]")], r"^fit\[0\]: bounds.*exclude each other"),
    "bounds of no field": ([('"gate.slopes" = 2.0', '"gate.slops" = 2.0')], r"^fit\[0\]: bounds name the unknown"),
    "bounds of a held field": (
        [(BOUNDS, BOUNDS + '\nfixed = { "gate.slopes" = 0.0 }')],
        r"^fit\[0\]: .*holds fixed",
    ),
    "an unknown held field": ([(BOUNDS, 'fixed = { "gate.x" = 0.0 }')], r"^fit\[0\]: unknown parameter field 'gate.x'"),
    "a held value of another shape": ([(BOUNDS, 'fixed = { "gate.slopes" = [1, 2] }')], r"^fit\[0\]: fixed"),
    "a held value that is none": ([(BOUNDS, 'fixed = { "gate.slopes" = "0" }')], r"^fit\[0\].fixed.gate.slopes must"),
    "truth as a start of another gate": ([K3, (BOUNDS, "")], r"^protocol\[0\]: .*another gate"),
    "recipe near the truth for another gate": ([K3, NO_TRUTH, (BOUNDS, "")], r"^protocol\[1\]: .*another gate"),
    "truth as a start of a smaller model": (
        [("n_experts = 2", "n_experts = 1")],
        r"^protocol\[0\]: .*truth has 2 experts",
    ),
    "a grid of two covariates": ([*TWO, GRID], r"^covariates: a grid has one covariate; the truth has 2"),
    "a grid within a grid": (
        [GRID, ("replications = 4", 'replications = 4\nsamples = "nested"')],
        r"^design.samples: a grid of more points",
    ),
    "columns of a data set": (
        [(NORMAL, 'law = "dataset"\ndataset = "ais"\ncolumns = ["bmi", "ht"]')],
        r"^covariates: the truth has 1 covariates; columns names 2",
    ),
    "starts from oneself": ([('["published", "truth"]', '["mle"]')], r"^protocol\[0\].polish_from names 'mle'"),
    "starts from nobody": ([('["published", "truth"]', '["publish"]')], r"^protocol\[0\].polish_from names 'publish'"),
    "a protocol for no model": ([("n_starts = 2", 'n_starts = 2\nfits = ["K4"]')], r"^protocol\[0\].fits names 'K4'"),
    "a protocol for none": ([("n_starts = 2", "n_starts = 2\nfits = []")], r"^protocol\[0\].fits names no model"),
    "a part larger than the whole": ([("n_starts = 2", "screen_from = 9")], r"^protocol\[0\]: screen_rows=10000"),
    "two models of one name": ([('"K3"', '"K2"')], r"^fit: two models are called 'K2'"),
    "two protocols of one name": (
        [('"published"\nstart', '"mle"\nkind = "published"\nstart')],
        "^protocol: names must",
    ),
    "a protocol of no kind": ([('name = "mle"', 'name = "map"')], r"^protocol\[0\].name: 'map' is no kind"),
    "noise of no size": ([('"0.005 * n**-0.083"', "-1")], r"^protocol\[1\]: start: sd must be"),
    "noise of no size for some": ([("0.005 * n**-0.083", "150 - n")], r"^protocol\[1\]: start: sd must be"),
    "noise of no number for some": ([("0.005 * n**-0.083", "1 / (200 - n)")], r"^protocol\[1\]: start: the formula"),
    "noise of no field": (
        [('"0.005 * n**-0.083"', '{ "gate.slop" = 1 }')],
        r"^protocol\[1\]: start.sd names the unknown",
    ),
    "a loss of another gate": (
        [K3, NO_TRUTH, (BOUNDS, ""), ("tries = 2", 'tries = 2\nfits = ["K2"]')],
        r"^fit\[0\]: .*Fit a model with the gate",
    ),
    "another kind of response": (
        [("n_experts = 3\n" + BOUNDS, 'n_experts = 3\nexpert = "multinomial"')],
        r"^fit\[0\]: 'K3' and the truth must describe the same kind of response",
    ),
    "truth of a gate without a density": ([('gate = "softmax"', 'gate = "topk"')], "^(truth|fit|protocol)"),
    "a reference that is none": (
        [('reference = "K2"', 'reference = "K4"')],
        "^record.reference must be the name of a fit",
    ),
    "a prediction of nothing": (
        [('measure = "voronoi"', 'measure = "voroni"')],
        r"^prediction\[0\].measure.*mean 'voronoi'",
    ),
    "a prediction for no model": (
        [('exponent = "1/2"', 'exponent = "1/2"\nfit = "K"')],
        r"^prediction\[0\].fit must be",
    ),
    "an exponent that is none": ([('"1/2"', '"1/0"')], r"^prediction\[0\].exponent: must be a number"),
    "a recipe without a likelihood": (
        [("n_experts = 2\n", 'n_experts = 2\nobjective = "least_squares"\n')],
        r"^protocol\[\d\]: .*maximises the likelihood",
    ),
    "a rule that is none": ([('rule = "relative"', 'rule = "gradient"')], r"^protocol\[1\].solver.rule must be one of"),
    "a solver without rules": ([('kind = "em"', 'kind = "default"')], r"^protocol\[1\].solver.kind must be one of"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_impossible_designs_name_the_path(name):
    pairs, said = IMPOSSIBLE[name]
    with pytest.raises(InputError, match=said):
        Study.from_text(edited(*pairs))


def test_a_circle_of_protocols_is_refused():
    third = '[[protocol]]\nname = "a"\nkind = "mle"\npolish_from = ["mle"]\n\n[record]'
    with pytest.raises(InputError, match=r"^protocol\[\d\].polish_from leads back to 'mle' itself"):
        Study.from_text(edited(("[record]", third), ('["published", "truth"]', '["a"]')))


# --------------------------------------------------------------------------------------- in Python
MODEL = ms.MixtureOfExperts(n_experts=2)
PARAMS = MODEL.params(
    gate={"intercepts": [0.0, 0.0], "slopes": [[0.5], [-0.5]]},
    expert={"intercepts": [1.5, -1.5], "slopes": [[0.5], [-0.5]], "variances": [0.3, 0.2]},
)
STUDY = Study("s", Truth(MODEL, PARAMS), Design([50, 100], 2), [FittedModel("K2", MODEL)])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fits": []}, "^fit: names"),
        ({"fits": [FittedModel("a", MODEL)] * 2}, "^fit: names"),
        ({"protocols": []}, "^protocol: names"),
        ({"protocols": [MLE(fits=("K3",))]}, r"^protocol\[0\].fits names 'K3'"),
        ({"protocols": [MLE(polish_from=("a",))]}, r"^protocol\[0\].polish_from names 'a'"),
        ({"record": Record(reference="K3")}, "^record.reference"),
        ({"covariates": Grid(), "design": Design([50], 2, "nested")}, "^design.samples"),
        ({"fits": [FittedModel("K2", MODEL, bounds={"gate.x": 1.0})]}, r"^fit\[0\]: bounds name"),
        ({"fits": [FittedModel("K2", MODEL, bounds={"gate.slopes": 10**400})]}, r"^fit\[0\]: bounds"),
        ({"predictions": [StatedRate("x", None)]}, r"^prediction\[0\].measure"),
    ],
)
def test_parts_that_do_not_go_together(change, said):
    with pytest.raises(InputError, match=said):
        replace(STUDY, **change)


def test_a_study_of_python_says_the_same_as_its_file():
    text = edited((BOUNDS, ""), NO_TRUTH)
    text = re.sub(r"\[\[fit\]\]\nname = \"K3\".*?\n\n", "", text, flags=re.DOTALL)
    text = re.sub(r"\[\[protocol\]\]\nname = \"published\".*?\n\n", "", text, flags=re.DOTALL)
    text = re.sub(r"\[record\].*", "", text, flags=re.DOTALL)
    made = replace(STUDY, design=Design([100, 200], 4), seed=7, protocols=[MLE(n_starts=2)], text="")
    assert [c.digest for c in made.cells] == [c.digest for c in Study.from_text(text).cells]


# --------------------------------------------------------------------------------------- cells
def digests(text: str) -> dict[str, str]:
    return {cell.label: cell.digest for cell in Study.from_text(text).cells}


@pytest.mark.parametrize(
    ("pairs", "prefix"),
    [
        ([("[0.09, 4.0]", "[0.09, 5.0]")], "K3/"),
        ([("n_starts = 2", "n_starts = 3")], "K[23]/"),  # the estimate of K2 is what gains are reckoned from
        ([("tries = 2", "tries = 3")], "K[23]/"),
        ([("seed = 7", "seed = 8")], "K[23]/"),
        ([("[0.3, 0.2]", "[0.3, 0.21]")], "K[23]/"),
        ([("sd = 1.0", "sd = 1.1")], "K[23]/"),
        ([("distance_points = 16", "distance_points = 32")], "K[23]/"),
        ([("replications = 4", "replications = 4\nsamples = 'nested'")], "K[23]/"),
        ([("replications = 4", "replications = 9")], "nothing"),
        ([("0.05", "0.06")], "nothing"),
        ([("title = ", "aims = ")], "nothing"),
        ([("[100, 200]", "[100, 200, 300]")], "K[23]/.*/n=300"),
    ],
)
def test_a_cell_changes_with_what_it_depends_on_and_with_nothing_else(pairs, prefix):
    before, after = digests(TEXT), digests(edited(*pairs))
    changed = {label for label, digest in after.items() if before.get(label) != digest}
    assert changed == {label for label in after if re.match(prefix, label)}


def test_recipes_start_an_estimate_and_count_as_a_part_of_it():
    assert isinstance(Study.from_text(TEXT).protocol("published"), Published)
    text = edited(("max_iter = 200", "max_iter = 201"))
    assert all(digests(TEXT)[label] != digest for label, digest in digests(text).items())
