"""Data as a source of blocks: the only door to the kernels.

A *block source* yields tiles of rows, features first, in *working coordinates*: every covariate (and
a continuous response) shifted to near its mean and divided by a power of two near its standard deviation;
nearly collinear covariates are combined as well. Nothing outside a source may assume that the rows are in
memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np

from moestat.coordinates import Affine, Blend, ColumnMap, Coordinates
from moestat.distinct import distinct_rows
from moestat.errors import InputError
from moestat.threads import in_order
from moestat.typing import BoolArray, FloatArray, IntArray
from moestat.validate import as_classes, as_matrix, as_vector, as_weights, column_names, count_rows

R = TypeVar("R")

#: Ranges of a response whose squares stay within double precision.
SMALLEST_SPREAD, LARGEST_SPREAD = 1e-150, 1e150

#: Locations are rounded to this fraction of the scale: sums of the same numbers in another order give the same one.
LOCATION_GRID = 1024.0

#: Where the rounding turns. Means of whole numbers and of simple fractions are not near it, as they are near a half.
ROUNDS_UP_FROM = GOLDEN_RATIO = (np.sqrt(5.0) - 1.0) / 2.0

BLOCK_ROWS = 4096  # few calls per row; passes narrow the tiles where their buffers would leave the cache

#: From so many rows on, where threads share the work, blocks are longer: what lies between two calls of kernels is for
#: one thread at a time, and to wait for it costs more than the arithmetic of a short call.
MANY_ROWS, LONG_BLOCK_ROWS = 2**17, 8192


class Block(NamedTuple):
    """A tile of B rows, feature-major.

    X (1 + d, B) and Z (1 + e, B) start with a row of ones; Y is (m, B), offset and weight (B,).
    Rows that pad the tile have weight 0 and repeat a real row. Exposures (B,), where there are any, have their
    logarithms in the offset already.
    """

    X: FloatArray
    Z: FloatArray
    Y: FloatArray
    offset: FloatArray
    weight: FloatArray
    exposure: FloatArray | None = None


@dataclass(frozen=True)
class Schema:
    """What the columns are: names, and the classes of a categorical response."""

    features: tuple[str, ...]
    gate_features: tuple[str, ...]
    responses: tuple[str, ...]
    classes: tuple[Any, ...] | None = None


@runtime_checkable
class BlockSource(Protocol):
    """What a fit needs of its data; rows may live in memory, in files or on a cluster.

    A source whose blocks stay as they are when the next one is read may say so, by an attribute ``keeps_blocks`` that
    is true: then several threads work on its blocks at once.
    """

    schema: Schema
    coordinates: Coordinates
    moments: Coordinates  # location and scale of the raw columns
    n_rows: int
    total_weight: float
    uses_offset: bool
    uses_exposure: bool

    def blocks(self) -> Iterator[Block]:
        """Tiles of rows in working coordinates, always in the same order."""
        ...

    def in_coordinates(self, coordinates: Coordinates) -> BlockSource:
        """The same rows in other working coordinates."""
        ...


def over_blocks(work: Callable[[Block], R], source: BlockSource) -> Iterator[R]:
    """Yield work(block) of every block in order, worked out by several threads where there are many rows in memory."""
    if source.n_rows >= MANY_ROWS and getattr(source, "keeps_blocks", False):
        return in_order(work, list(source.blocks()))
    return map(work, source.blocks())


class Data:
    """Rows in memory, validated once and copied once into tiles.

    Parameters
    ----------
    X : array-like (n, d) or None
        Covariates of the experts; a vector counts as one column, None as none. Data frames keep their
        column names. No column of ones is needed: intercepts are always there.
    y : array-like (n,) or (n, m)
        Response; class labels of any type when ``categorical``.
    Z : array-like (n, e), optional
        Covariates of the gate; X when left out. An array of no columns makes the gate constant.
    sample_weight : array-like (n,), optional
        Frequencies: a row of weight 2 counts as two rows. Rows of weight 0 are dropped.
    offset : array-like (n,), optional
        Known term of the experts' linear predictors, in the units of the predictor.
    exposure : array-like (n,), optional
        Positive exposures; their logarithms join the offset (experts with a log link). Numbers of trials of a
        binomial expert.
    categorical : bool
        Whether y holds class labels.
    classes : sequence, optional
        All classes in their order, also those that do not occur; by default the labels that occur, sorted.
    block_rows : int, optional
        Rows per tile; results do not depend on it beyond rounding.

    Raises
    ------
    InputError
        For missing or infinite entries (with their position), shapes that do not agree, empty data,
        bad weights, sparse, complex or non-numeric arrays, and a single class.
    """

    schema: Schema
    coordinates: Coordinates
    moments: Coordinates
    n_rows: int
    total_weight: float
    uses_offset: bool
    uses_exposure: bool
    keeps_blocks = True  # all of them are there at once

    def __init__(
        self,
        X: Any,
        y: Any,
        Z: Any = None,
        sample_weight: Any = None,
        *,
        offset: Any = None,
        exposure: Any = None,
        categorical: bool = False,
        classes: Sequence[Any] | None = None,
        block_rows: int | None = None,
    ) -> None:
        rows = _validated(X, y, Z, sample_weight, offset, exposure, categorical, classes)
        merged = _merged(rows)
        self.uses_offset, self.uses_exposure = offset is not None, exposure is not None
        self._merged: Data | None = None
        self._lay_out(rows, _moments_of(merged or rows), block_rows)
        if merged is not None:
            few = copy(self)
            few._lay_out(merged, self.moments, block_rows)
            self._merged, self.total_weight = few, few.total_weight

    def _lay_out(self, rows: _Rows, at: Coordinates, block_rows: int | None) -> None:
        self.schema = rows.schema
        self.n_rows = rows.weight.size
        self.total_weight = float(np.sum(rows.weight))
        self.moments = self.coordinates = at
        self._unblended: Data | None = None
        size = _tile_rows(self.n_rows, block_rows)
        self._X = _tiles(rows.X, at.X, size, ones=True)
        self._Z = self._X if rows.Z is rows.X else _tiles(rows.Z, at.Z, size, ones=True)
        # as they came: a small number cannot be had back from its distance to the mean
        self._raw_Y = _tiles(rows.Y, Affine.identity(rows.Y.shape[1]), size)
        self._Y = _standardised(self._raw_Y, at.y)
        weight = _tiles(rows.weight[:, None], Affine.identity(1), size)[:, 0]
        weight.reshape(-1)[self.n_rows :] = 0.0
        self._weight = _in_common(weight)
        self._offset = _in_common(_tiles(rows.offset[:, None], Affine(np.zeros(1), at.y.scale[:1]), size)[:, 0])
        one = Affine.identity(1)
        self._exposure = (
            [None] * len(weight)
            if rows.exposure is None
            else _in_common(_tiles(rows.exposure[:, None], one, size)[:, 0])
        )

    def __repr__(self) -> str:
        s = self.schema
        classes = f", classes={list(s.classes)}" if s.classes is not None else ""
        columns = f"y={list(s.responses)}, X={list(s.features)}, Z={list(s.gate_features)}"
        return f"Data({self.n_rows} rows, {columns}{classes})"

    def blocks(self) -> Iterator[Block]:
        """Tiles of rows in working coordinates, in the order of the rows."""
        one = self._Z is self._X  # then blocks say so too: passes share work on identical features
        columns = zip(self._X, self._Z, self._Y, self._offset, self._weight, self._exposure, strict=True)
        for X, Z, Y, offset, weight, exposure in columns:
            yield Block(X, X if one else Z, Y, offset, weight, exposure)

    def merged(self) -> Data:
        """Equal rows merged, in the order of their values; these rows as they are when too many are distinct.

        What is computed from merged rows does not depend, to the last bit, on the order of the rows, nor on whether
        a row of weight 2 is written once or twice.
        """
        return self if self._merged is None else self._merged.in_coordinates(self.coordinates)

    def in_coordinates(self, coordinates: Coordinates) -> Data:
        """The same rows in other working coordinates; what does not change is shared, not copied."""
        if self.coordinates.same_as(coordinates):
            return self
        base = self if self._unblended is None else self._unblended
        old, other = base.coordinates, copy(base)
        other.coordinates = coordinates
        if isinstance(coordinates.X, Blend) or isinstance(coordinates.Z, Blend):
            other._unblended = base  # a blend has lost digits that another way on may need
        same_X, same_Z = old.X.same_as(coordinates.X), old.Z.same_as(coordinates.Z)
        if not same_X:
            other._X = _moved(base._X, old.X, coordinates.X, ones=True)
        if not same_Z:
            together = base._Z is base._X and coordinates.Z.same_as(coordinates.X)
            other._Z = other._X if together else _moved(base._Z, old.Z, coordinates.Z, ones=True)
        if not old.y.same_as(coordinates.y):
            other._Y = _standardised(base._raw_Y, coordinates.y)
            ratio = old.y.scale[0] / coordinates.y.scale[0]
            other._offset = [offset * ratio for offset in base._offset]
        return other

    def thinned(self, n_rows: int) -> Data:
        """A sample of so many rows in the same working coordinates, spread evenly over the rows whatever their order.

        The rows are those at multiples of the golden ratio, modulo one, times the number of all rows: neither blocks
        nor periods in the order of the rows are met more often than others.
        """
        share = (np.arange(n_rows) + 0.5) * GOLDEN_RATIO % 1.0
        place = divmod((share * self.n_rows).astype(np.intp), self._X.shape[2])
        width = _tile_rows(n_rows, None)
        few = copy(self)
        few._merged = few._unblended = None
        few.n_rows = n_rows
        few._X = _taken(self._X, place, width)
        few._Z = few._X if self._Z is self._X else _taken(self._Z, place, width)
        few._raw_Y = _taken(self._raw_Y, place, width)
        few._Y = few._raw_Y if self._Y is self._raw_Y else _taken(self._Y, place, width)
        weight = _taken_singly(self._weight, place, width)
        weight.reshape(-1)[n_rows:] = 0.0
        few.total_weight = float(weight.sum())
        few._weight = _in_common(weight)
        few._offset = _in_common(_taken_singly(self._offset, place, width))
        exposed = [exposure for exposure in self._exposure if exposure is not None]
        few._exposure = _in_common(_taken_singly(exposed, place, width)) if exposed else [None] * len(weight)
        return few


# ------------------------------------------------------------------------------------- validation
@dataclass(frozen=True, slots=True)
class _Rows:
    X: FloatArray
    Z: FloatArray
    Y: FloatArray
    weight: FloatArray
    offset: FloatArray
    schema: Schema
    exposure: FloatArray | None = None


def _validated(
    X: Any, y: Any, Z: Any, sample_weight: Any, offset: Any, exposure: Any, categorical: bool, known: Any
) -> _Rows:
    n = count_rows("y", y) if X is None else count_rows("X", X)
    weight = np.ones(n) if sample_weight is None else as_weights(sample_weight, n)
    keep = weight > 0  # what is left out may hold anything
    covariates = np.empty((n, 0)) if X is None else as_matrix("X", X, n, keep)
    classes: tuple[Any, ...] | None = None
    if categorical:
        codes, classes = as_classes(y, n, keep, known)
        response = codes[:, None].astype(np.float64)
    else:
        response = _numbers(y, n, keep)
    gate = covariates if Z is None else as_matrix("Z", Z, n, keep)
    schema = Schema(
        features=() if X is None else column_names(X, "x", covariates.shape[1]),
        gate_features=column_names(X, "x", gate.shape[1])
        if Z is None and X is not None
        else column_names(Z, "z", gate.shape[1]),
        responses=_response_names(y, response.shape[1]),
        classes=classes,
    )
    shift = np.zeros(n) if offset is None else as_vector("offset", offset, n, keep)
    amounts = None if exposure is None else positive_exposure(exposure, n, keep)
    if amounts is not None:
        shift = shift + np.log(amounts)
    if response.shape[1] > 1 and (offset is not None or exposure is not None):
        raise InputError(f"offset and exposure go with one response; got {response.shape[1]} columns in y.")
    if keep.all():
        return _Rows(covariates, gate, response, weight, shift, schema, amounts)
    kept = covariates[keep]
    kept_gate = kept if gate is covariates else gate[keep]
    amounts = None if amounts is None else amounts[keep]
    return _Rows(kept, kept_gate, response[keep], weight[keep], shift[keep], schema, amounts)


def _numbers(y: Any, n: int, keep: BoolArray) -> FloatArray:
    """A continuous response (n, m) whose squares double precision can hold."""
    response = as_matrix("y", y, n, keep)
    if response.shape[1] == 0:
        raise InputError("y must have at least one column; got none.")
    spread = np.ptp(response[keep], axis=0)
    for size in spread[(spread > 0) & ((spread < SMALLEST_SPREAD) | (spread > LARGEST_SPREAD))]:
        raise InputError(
            f"y varies over {size:.3g}, and double precision cannot hold its variance. Multiply it by a constant."
        )
    return response


def _response_names(y: Any, count: int) -> tuple[str, ...]:
    names = column_names(y, "y", count)
    return ("y",) if names == ("y1",) else names


def positive_exposure(value: Any, n: int, keep: BoolArray | None = None) -> FloatArray:
    """Exposures (n,), all larger than zero; rows that are not kept have 1."""
    keep = np.ones(n, dtype=bool) if keep is None else keep
    exposure = np.where(keep, as_vector("exposure", value, n, keep), 1.0)
    if (exposure <= 0).any():
        row = int(np.argmax(exposure <= 0))
        raise InputError(
            f"exposure must be larger than zero; got {exposure[row]} in row {row}. Leave rows without exposure out."
        )
    return exposure


def _merged(rows: _Rows) -> _Rows | None:
    """Equal rows merged, in the order of their values; None when too many are distinct."""
    apart = () if rows.Z is rows.X else (rows.Z,)
    exposed = () if rows.exposure is None else (rows.exposure[:, None],)
    distinct = distinct_rows((rows.X, *apart, rows.Y, rows.offset[:, None], *exposed), rows.weight)
    if distinct is None:
        return None
    X = rows.X[distinct.row]
    Z = X if rows.Z is rows.X else rows.Z[distinct.row]
    exposure = None if rows.exposure is None else rows.exposure[distinct.row]
    return _Rows(X, Z, rows.Y[distinct.row], distinct.weight, rows.offset[distinct.row], rows.schema, exposure)


# ------------------------------------------------------------------------------------- coordinates
def _moments_of(rows: _Rows) -> Coordinates:
    """Location and scale of all columns; class codes keep theirs."""
    response = rows.Y - rows.offset[:, None]
    return Coordinates(
        _moments(rows.X, rows.weight),
        _moments(rows.Z, rows.weight),
        Affine.identity(1) if rows.schema.classes is not None else _moments(response, rows.weight),
    )


def _moments(columns: FloatArray, weight: FloatArray) -> Affine:
    """Location near the weighted mean of each column, and the power of two nearest to its standard deviation.

    Powers of two divide exactly, so that data multiplied by one give the same working values. So do rows in
    another order, or repeated instead of weighted: the location is on a coarse grid.
    """
    d = columns.shape[1]
    location, scale = np.zeros(d), np.ones(d)
    share = weight / weight.sum()
    for i in range(d):
        column = columns[:, i]
        if (column == column[0]).all():
            location[i] = column[0]
            continue
        if not np.isfinite(column.max() - column.min()):
            raise InputError(
                f"a column runs from {column.min():.3g} to {column.max():.3g}, a range beyond double precision. "
                "Divide it by a constant."
            )
        exponent = int(np.frexp(np.abs(column).max())[1]) - 1
        reduced = column / 2.0**exponent  # of size one at most: squares stay within range
        mean = reduced[0] + share @ (reduced - reduced[0])
        deviation = reduced - mean
        # weights that differ beyond measure leave no variance: the range does as well
        sd = np.sqrt(share @ deviation**2) or np.abs(deviation).max()
        scale[i] = 2.0 ** np.clip(exponent + np.round(np.log2(sd)), -1022, 1023)
        grid = 2.0 ** np.round(np.log2(sd)) / LOCATION_GRID
        location[i] = np.floor(mean / grid + 1.0 - ROUNDS_UP_FROM) * grid * 2.0**exponent
    return Affine(location, scale)


# ------------------------------------------------------------------------------------- tiles
def _tile_rows(n: int, block_rows: int | None) -> int:
    if block_rows is not None and not (isinstance(block_rows, int | np.integer) and block_rows >= 1):
        raise InputError(f"block_rows must be an integer, at least 1; got {block_rows!r}.")
    # even tiles of a multiple of eight rows: no tile is mostly padding
    tiles = -(-n // (block_rows or (LONG_BLOCK_ROWS if n >= MANY_ROWS else BLOCK_ROWS)))
    return -(-n // (8 * tiles)) * 8


def _tiles(rows: FloatArray, coordinates: ColumnMap, size: int, *, ones: bool = False) -> FloatArray:
    """Tiles (T, features, size) in working coordinates; the last tile repeats the last row."""
    n, d = rows.shape
    out = np.empty((-(-n // size), d + ones, size))
    if ones:
        out[:, 0] = 1.0
    for tile, start in zip(out[:, int(ones) :], range(0, n, size), strict=True):
        chunk = coordinates.apply(rows[start : start + size]).T
        tile[:, : chunk.shape[1]] = chunk
        tile[:, chunk.shape[1] :] = chunk[:, -1:]
    return out


def _taken(tiles: FloatArray, place: tuple[IntArray, IntArray], size: int) -> FloatArray:
    """Tiles (T, features, size) of the rows with these tiles and columns; the last tile repeats the last row."""
    return _tiles(tiles[place[0], :, place[1]], Affine.identity(tiles.shape[1]), size)


def _taken_singly(tiles: list[FloatArray], place: tuple[IntArray, IntArray], size: int) -> FloatArray:
    """The same of one number per row, in vectors of which many may be one."""
    column = np.empty(place[0].size)
    order = np.argsort(place[0], kind="stable")
    ends = np.searchsorted(place[0][order], np.arange(len(tiles) + 1))
    for tile, first, end in zip(tiles, ends[:-1], ends[1:], strict=True):
        mine = order[first:end]
        column[mine] = tile[place[1][mine]]
    return _tiles(column[:, None], Affine.identity(1), size)[:, 0]


def _standardised(tiles: FloatArray, coordinates: Affine) -> FloatArray:
    """Raw tiles (T, m, size) in these coordinates; the same tiles where these are raw."""
    if coordinates.same_as(Affine.identity(coordinates.size)):
        return tiles
    return np.stack([coordinates.apply(tile.T).T for tile in tiles])


def _in_common(tiles: FloatArray) -> list[FloatArray]:
    """One vector per tile; those equal to the first are the first, which then stays in the cache."""
    first = tiles[0].copy()
    return [first if np.array_equal(tile, first) else tile.copy() for tile in tiles]


def _moved(tiles: FloatArray, old: ColumnMap, new: ColumnMap, *, ones: bool = False) -> FloatArray:
    out = np.ones_like(tiles)
    first = int(ones)
    for source, target in zip(tiles[:, first:], out[:, first:], strict=True):
        if isinstance(new, Blend) and new.standard.same_as(old):
            target[:] = new.blend(source.T).T
        else:
            target[:] = new.apply(old.restore(source.T)).T
    return out
