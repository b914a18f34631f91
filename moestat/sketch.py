"""A sketch: the distinct rows of a source, or a fair choice of them, in an order that is theirs alone.

Rows are drawn by a hash of what they hold, so the sketch does not depend on the order of the rows, on the
tiles, or on whether a row of weight 2 is written once or twice. Starting values made from it inherit that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from moestat.data import BLOCK_ROWS, Block, BlockSource
from moestat.typing import FloatArray, IntArray

Hashes = npt.NDArray[np.uint64]


def sketch(source: BlockSource, limit: int, seed: int) -> Block:
    """At most ``limit`` distinct rows with their total weights, as one block without padding.

    Every distinct row has the same chance to be kept; the seed decides which are.

    Parameters
    ----------
    source : BlockSource
    limit : int
    seed : int

    Returns
    -------
    Block
        Rows in the order of their hashes.
    """
    gathered: list[tuple[Hashes, FloatArray]] = []
    count, last, sizes = 0, None, (0, 0, 0, 0)
    for block in _narrow(source.blocks()):
        sizes, keys, columns = _hashed(seed, block)
        wanted = columns[-1] > 0
        if last is not None:
            wanted &= keys[:, 0] <= last
        gathered.append((keys[wanted], columns[:, wanted].T))
        count += len(gathered[-1][0])
        if count >= 1.25 * limit:  # sorting costs more than to wait until it pays
            gathered = [_distinct(*_joined(gathered), limit)]
            count = len(gathered[0][0])
            last = gathered[0][0][-1, 0] if count == limit else None
    rows = _distinct(*_joined(gathered), limit)[1]
    x, z, y, e = np.cumsum(sizes)
    columns = np.ascontiguousarray(rows.T)
    amounts = columns[y] if e > y else None
    return Block(columns[:x], columns[x:z], columns[z:y], columns[e], columns[e + 1], amounts)


def _narrow(blocks: Iterable[Block]) -> Iterator[Block]:
    """The same rows in pieces of a size that little is kept of at once."""
    for block in blocks:
        for first in range(0, block.weight.size, BLOCK_ROWS):
            columns = slice(first, first + BLOCK_ROWS)
            exposure = None if block.exposure is None else block.exposure[columns]
            X, Z, Y = block.X[:, columns], block.Z[:, columns], block.Y[:, columns]
            yield Block(X, Z, Y, block.offset[columns], block.weight[columns], exposure)


def _hashed(seed: int, block: Block) -> tuple[tuple[int, int, int, int], Hashes, FloatArray]:
    """Numbers of columns of X, Z, Y and exposure, the rows' hashes, and all columns, the weights last."""
    exposure = np.empty((0, block.weight.size)) if block.exposure is None else block.exposure[None]
    sizes = block.X.shape[0], block.Z.shape[0], block.Y.shape[0], len(exposure)
    columns = np.vstack([block.X, block.Z, block.Y, exposure, block.offset, block.weight])
    return sizes, _keys(columns[:-1], seed), columns


def _joined(parts: list[tuple[Hashes, FloatArray]]) -> tuple[Hashes, FloatArray]:
    keys, rows = zip(*parts, strict=True)
    return np.concatenate(keys), np.concatenate(rows)


def _distinct(keys: Hashes, rows: FloatArray, limit: int) -> tuple[Hashes, FloatArray]:
    """The rows of smallest key, each once, its weights (the last column) added up."""
    order = np.lexsort((keys[:, 1], keys[:, 0]))
    keys, rows = keys[order], rows[order]
    new = np.append(True, (keys[1:] != keys[:-1]).any(axis=1))
    weight = np.bincount(np.cumsum(new) - 1, rows[:, -1])
    merged = rows[new][:limit]
    merged[:, -1] = weight[:limit]
    return keys[new][:limit], merged


def _keys(columns: FloatArray, seed: int) -> Hashes:
    """Two hashes (n, 2) of every row of features-major columns.

    The first, of values rounded to single precision, gives the order, which rounding of the working values hardly
    touches; the second, of all digits, tells rows apart.
    """
    start = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
    out = np.full((columns.shape[1], 2), start, dtype=np.uint64)
    exact = columns + 0.0  # minus zero is zero
    with np.errstate(over="ignore"):  # beyond single precision is infinite, which hashes as well
        coarse = exact.astype(np.float32)
        for row, digits in zip(coarse.view(np.uint32), exact.view(np.uint64), strict=True):
            out[:, 0] = _mixed(out[:, 0] ^ row)
            out[:, 1] = _mixed(out[:, 1] ^ digits)
    return out


def _mixed(h: Hashes) -> Hashes:
    """One round of the finaliser of splitmix64 (Steele, Lea and Flood 2014)."""
    h = h + np.uint64(0x9E3779B97F4A7C15)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


def random_rows(block: Block, count: int, rng: np.random.Generator) -> IntArray:
    """Distinct rows drawn with chances in proportion to their weights; with replacement when there are too few."""
    n = block.weight.size
    chosen: IntArray = rng.choice(n, size=count, replace=n < count, p=block.weight / block.weight.sum())
    return chosen


def line_residuals(sketch: Block, share: FloatArray) -> FloatArray:
    """Squared residuals (K, n) from the weighted least-squares line of each group; infinite without rows."""
    y = sketch.Y - sketch.offset
    out = np.full(share.shape, np.inf)
    for k, weight in enumerate(share):
        rows = weight > 0
        if rows.any():
            root = np.sqrt(weight[rows])
            coef = np.linalg.lstsq((sketch.X[:, rows] * root).T, (y[:, rows] * root).T, rcond=1e-8)[0]
            out[k] = ((y - coef.T @ sketch.X) ** 2).sum(axis=0)
    return out
