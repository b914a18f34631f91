"""Data hang on seed, truth, covariates, size and replication, and on nothing else."""

from __future__ import annotations

import re
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from moestat.montecarlo import Study, sample, seeds
from tests.unit.montecarlo.written import TEXT

NESTED = TEXT.replace("replications = 4", 'replications = 4\nsamples = "nested"')


def data(text, n=100, replication=0):
    X, y = sample(Study.from_text(text), n, replication)
    return np.column_stack([X, y])


def without_tables(text, *names):
    return "\n\n".join(part for part in text.split("\n\n") if not any(f"[{name}]" in part for name in names))


#: What may be written otherwise without another number being drawn.
SAME = {
    "fits": TEXT.replace('[[fit]]\nname = "K2"\nn_experts = 2', '[[fit]]\nname = "other"\nn_experts = 2\n').replace(
        'reference = "K2"', 'reference = "other"'
    ),
    "fewer fits": re.sub(r"\[\[fit\]\]\nname = \"K3\".*?\n\n", "", TEXT, flags=re.DOTALL),
    "protocols": TEXT.replace("n_starts = 2", "n_starts = 3").replace("tries = 2", "tries = 1"),
    "record": TEXT.replace('["voronoi", "voronoi:sharp"]', '["voronoi"]').replace("points = 16", "points = 32"),
    "verdict": without_tables(TEXT, "verdict", "prediction"),
    "words": TEXT.replace("softmax_over", "another").replace("Over-specified", "Other"),
    "more replications": TEXT.replace("replications = 4", "replications = 1e3"),
    "more sizes": TEXT.replace("[100, 200]", "[50, 100, 1e3]"),
    "one size": TEXT.replace("[100, 200]", "1e2"),
    "numbers": TEXT.replace("[0.0, 0.0]", "[0, 0e5]").replace("sd = 1.0", "sd = 1").replace("mean = 0.0", "mean = 0"),
    "digits": TEXT.replace("0.3, 0.2", "3e-1, 0.20"),
    "comments": TEXT.replace("\n[", "\n# a comment\n["),
    "spaces": TEXT.replace(" = ", "=").replace(", ", ","),
    "order of keys": TEXT.replace("mean = 0.0\nsd = 1.0", "sd = 1.0\nmean = 0.0"),
    "order of tables": "\n\n".join(reversed(TEXT.split("\n\n"))),
    "defaults": TEXT.replace('gate = "softmax"\nexpert = "gaussian"\n', "").replace("mean = 0.0\n", ""),
    "other names": TEXT.replace('gate = "softmax"', 'gate = "softmax()"'),
    "lines": TEXT.replace("\n", "\r\n"),
}


@pytest.mark.parametrize("name", SAME)
def test_data_do_not_depend_on(name):
    assert SAME[name] != TEXT
    assert (data(SAME[name], replication=2) == data(TEXT, replication=2)).all()


@pytest.mark.parametrize("name", ["numbers", "digits", "comments", "spaces", "order of keys", "defaults", "lines"])
def test_nor_do_cells_depend_on_the_format(name):
    def digests(text):
        return {cell.label: cell.digest for cell in Study.from_text(text).cells}

    assert digests(SAME[name]) == digests(TEXT)


def test_numbers_of_fits_may_be_whole():
    text = TEXT.replace('"gate.slopes" = 2.0', '"gate.slopes" = 2').replace("[0.09, 4.0]", "[9e-2, 4]")
    assert [c.digest for c in Study.from_text(text).cells] == [c.digest for c in Study.from_text(TEXT).cells]


OTHER = {
    "seed": TEXT.replace("seed = 7", "seed = 8"),
    "parameters": TEXT.replace("[1.5, -1.5]", "[1.5, -1.500000001]"),
    "covariates": TEXT.replace("sd = 1.0", "sd = 1.000000001"),
    "law": TEXT.replace('law = "normal"\nmean = 0.0\nsd = 1.0', 'law = "uniform"'),
}


@pytest.mark.parametrize("name", OTHER)
def test_data_depend_on(name):
    assert OTHER[name] != TEXT
    assert (data(OTHER[name]) != data(TEXT)).any(axis=0).all()
    assert abs(np.corrcoef(data(OTHER[name])[:, 0], data(TEXT)[:, 0])[0, 1]) < 0.4


def test_data_depend_on_the_size_and_on_the_replication():
    assert (data(TEXT, 200)[:100] != data(TEXT, 100)).all()
    assert (data(TEXT, 100, 1) != data(TEXT, 100, 0)).all()


def test_another_way_to_write_a_truth_is_another_truth_only_if_it_is():
    drawn = (
        'n_experts = 2\nseed = 1\nparameters = { "gate.intercepts" = L, "gate.slopes" = L, "expert.intercepts" = L, '
    )
    drawn += '"expert.slopes" = L, "expert.variances" = { law = "uniform", low = 0.5, high = 1 } }'
    drawn = drawn.replace("L", '{ law = "normal", mean = 0, sd = 1 }')
    text = re.sub(r"gate_params.*?\n\n", f"{drawn}\n\n", TEXT, flags=re.DOTALL)
    once, again = data(text), data(text.replace("mean = 0,", "mean = 0.0,"))
    assert (once == again).all()
    assert (data(text.replace("seed = 1\n", "seed = 2\n")) != once).any()


# --------------------------------------------------------------------------------------- sizes
def test_nested_samples_are_the_beginnings_of_larger_ones():
    sizes = (1, 7, 1023, 1024, 1025, 3000)
    found = [data(NESTED, n) for n in sizes]
    for small, large in combinations(found, 2):
        assert (large[: len(small)] == small).all()
    assert len(np.unique(found[-1], axis=0)) == sizes[-1]


def test_nested_data_are_others_for_other_replications():
    assert (data(NESTED, 2000, 0) != data(NESTED, 2000, 1)).all()


def test_independent_samples_have_nothing_in_common():
    assert not np.isin(data(TEXT, 100), data(TEXT, 200)).any()


# --------------------------------------------------------------------------------------- streams
PURPOSES = (
    *(("data", "a", 1), ("data", "a", "1"), ("data", 1, "a"), ("data", "a1"), ("data", "a", 1, 0), ("data",), ()),
    *(("fit", "a", 1), ("data", "a", 11), ("data", "a", 2), ("data", "a,int:1:1"), ("data", "", "a", 1)),
)


@pytest.mark.parametrize(("one", "other"), list(combinations(PURPOSES, 2)), ids=str)
def test_streams_of_different_purposes_are_different(one, other):
    a, b = (seeds.stream(7, *purpose).standard_normal(200) for purpose in (one, other))
    assert (a != b).all()
    assert abs(a @ b) / 200 < 0.35
    assert seeds.number(7, *one) != seeds.number(7, *other)


def test_streams_of_many_replications_are_pairwise_different():
    first = [seeds.stream(7, "data", "a", r).integers(2**63) for r in range(20_000)]
    assert len(set(first)) == 20_000


def test_a_stream_is_the_same_every_time():
    assert (seeds.stream(7, "a", 1).random(5) == seeds.stream(7, "a", 1).random(5)).all()


@pytest.mark.parametrize("seed", [0, 2**63])
def test_seeds_at_their_limits(seed):
    assert 0 <= seeds.number(seed, "a") < 2**31


# --------------------------------------------------------------------------------------- golden values
def test_the_numbers_themselves_never_change():
    """Another number here means that every study in the world gives other data: raise `study.FORMAT` with it."""
    assert seeds.number(7, "fit", "a", 3) == GOLDEN["number"]
    assert seeds.stream(7, "data", "a", 3).random() == GOLDEN["stream"]
    assert Study.from_text(TEXT).sample_digest(100) == GOLDEN["digest"]
    np.testing.assert_allclose(data(TEXT)[:2].ravel(), GOLDEN["independent"], rtol=1e-12)
    np.testing.assert_allclose(data(NESTED)[:2].ravel(), GOLDEN["nested"], rtol=1e-12)


GOLDEN: dict[str, Any] = {
    "number": 41534450,
    "stream": 0.7230451622147328,
    "digest": "4759cbf79bcb0df8bbee7509f9ccd274",
    "independent": [-0.533032540038041, 1.351541567928502, -1.7603414487119422, -0.7517237269033314],
    "nested": [0.006953776277199479, 2.399186282188198, 0.7243238601197409, 1.5901295950949625],
}
