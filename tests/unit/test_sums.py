"""Records of sums: nothing is lost between tiles."""

from __future__ import annotations

from functools import partial
from math import fsum
from types import SimpleNamespace

import numpy as np
import pytest

import moestat as ms
from moestat.gate_information import General
from moestat.passes import PART_DOUBLES, Passes
from moestat.sums import GateCurvature
from moestat.totals import Total
from tests.unit.samples import problem_of, sample

#: one tile outweighs the others by so much that a plain sum would not see most of them
HEAVY, TILES = 1e17, 1500


def of_blocks(blocks):
    """A source of these blocks."""
    return SimpleNamespace(blocks=lambda: iter(blocks), n_rows=sum(block.weight.size for block in blocks))


def lopsided(expert, gate_rows):
    """Passes over tiles of eight rows, the first of which weighs `HEAVY` a row."""
    rows = sample(2, n=8 * TILES, d=2, expert=expert)
    Z = rows.X if gate_rows == "shared" else rows.X[:, :1]
    problem = problem_of(rows.model, rows.X, rows.y, Z)
    blocks = []
    for block in problem.passes.source.blocks():
        for first in range(0, block.weight.size, 8):
            part = slice(first, first + 8)
            X = np.ascontiguousarray(block.X[:, part])
            Z = X if block.Z is block.X else np.ascontiguousarray(block.Z[:, part])
            Y = np.ascontiguousarray(block.Y[:, part])
            blocks.append(type(block)(X, Z, Y, block.offset[part], block.weight[part]))
    blocks[0] = blocks[0]._replace(weight=np.full(8, HEAVY))
    assert len(blocks) >= TILES
    theta = 0.3 * np.cos(np.arange(problem.layout.size))
    return Passes(problem.passes.terms, of_blocks(blocks)), blocks, theta


def general_gate(passes, theta):
    return passes.reduce(partial(GateCurvature, passes.terms, theta, General), theta)


RECORDS = {
    "loglik": lambda p, t: p.loglik(t),
    "masses": lambda p, t: p.shares(t).mass,
    "entropy": lambda p, t: p.shares(t).entropy,
    "score": lambda p, t: p.score(t).score,
    "em score": lambda p, t: p.em(t).gate_score,
    "em gate information": lambda p, t: p.em(t).gate_information,
    "em classification": lambda p, t: p.hardened.em(t).classification,
    "gate information": lambda p, t: general_gate(p, t).matrix,
    "expert information": lambda p, t: p.expert_information(t).matrix,
    "hessian score": lambda p, t: p.hessian(t).score,
    "hessian": lambda p, t: p.hessian(t).hessian,
    "outer products": lambda p, t: p.outer_products(t).matrix,
    "gate's Q": lambda p, t: p.gate_q(t, t + 0.1).value,
    "gate's Q score": lambda p, t: p.gate_q(t, t + 0.1).score,
    "gate's Q information": lambda p, t: p.gate_q(t, t + 0.1).information,
    "experts' Q": lambda p, t: p.expert_q(t, t + 0.1).value,
    "experts' Q score": lambda p, t: p.expert_q(t, t + 0.1).score,
    "experts' Q information": lambda p, t: p.expert_q(t, t + 0.1).information,
}
GAUSSIAN = {"moments": lambda p, t: p.em(t).moments}
MULTINOMIAL = {
    "em expert score": lambda p, t: p.em(t).expert_score,
    "em expert information": lambda p, t: p.em(t).expert_information,
}
CASES = [
    *[("gaussian", rows, name) for rows in ("shared", "own") for name in RECORDS | GAUSSIAN],
    *[("multinomial", "own", name) for name in RECORDS | MULTINOMIAL],
]


@pytest.mark.parametrize("part", [PART_DOUBLES, 20_000], ids=["whole", "in parts"])
@pytest.mark.parametrize(("expert", "gate_rows", "name"), CASES)
def test_totals_are_the_exact_sums_of_the_tiles(expert, gate_rows, name, part, monkeypatch):
    """Against sums of single tiles that are rounded once; also where parts of them have records of their own."""
    monkeypatch.setattr("moestat.passes.PART_DOUBLES", part)
    monkeypatch.setattr("moestat.passes.CACHE_DOUBLES", part)
    passes, blocks, theta = lopsided(expert, gate_rows)
    of = (RECORDS | GAUSSIAN | MULTINOMIAL)[name]
    each = [of(Passes(passes.terms, of_blocks([b])), theta) for b in blocks]
    each = np.array(each).reshape(len(blocks), -1)
    want = np.array([fsum(column) for column in each.T])
    got = np.ravel(of(passes, theta))
    # the record's own few roundings, at the size of the heavy tile: a plain sum is off by many more
    size = np.abs(each[0]).max()
    np.testing.assert_allclose(got, want, rtol=0, atol=8 * np.finfo(float).eps * size)


def test_a_plain_sum_of_these_tiles_would_be_off():
    passes, blocks, theta = lopsided("gaussian", "own")
    masses = [Passes(passes.terms, of_blocks([b])).shares(theta).mass for b in blocks]
    plain = np.add.reduce([mass * 1.0 for mass in masses], axis=0)
    exact = np.array([fsum(column) for column in np.array(masses).T])
    assert np.abs(plain - exact).max() > 32 * np.finfo(float).eps * exact.max()


def test_a_total_holds_arrays_of_any_shape():
    total = Total((2, 3), (), (4,))
    for _ in range(3):
        for i, part in enumerate(total.parts):
            part += i + 1
        total.take()
    for i, (value, shape) in enumerate(zip(total.values, [(2, 3), (), (4,)], strict=True)):
        np.testing.assert_array_equal(value, np.full(shape, 3.0 * (i + 1)))
        assert not total.parts[i].any()


def test_values_are_copies():
    """A record that goes on adding does not change what was read."""
    total = Total((2,))
    before = total.values[0]
    total.parts[0][:] = 1.0
    total.take()
    np.testing.assert_array_equal(before, 0.0)


def test_the_order_of_the_tiles_does_not_matter_to_the_last_digits():
    rows = sample(2, n=4000)
    model = ms.MixtureOfExperts()
    passes = problem_of(model, rows.X, rows.y).passes
    blocks = list(passes.source.blocks())
    theta = 0.3 * np.cos(np.arange(passes.terms.size))
    back = Passes(passes.terms, of_blocks(blocks[::-1]))
    np.testing.assert_allclose(back.score(theta).score, passes.score(theta).score, rtol=4 * np.finfo(float).eps)
