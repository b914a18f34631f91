"""What a Voronoi loss lets its caller choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from moestat.errors import InputError

CHOICES: dict[str, tuple[str, ...]] = {
    "variant": ("published", "sharp", "merged"),
    "mass": ("matched", "raw"),
    "translation": ("truth", "fitted", "none"),
    "cells": ("aligned", "fixed", "experts"),
    "cell_metric": ("euclidean", "absolute"),
    "norm": ("joint", "separate"),
    "scale": ("variance", "sd"),
    "coordinates": ("standardised", "raw"),
}


@dataclass(frozen=True)
class Options:
    """The choices of `voronoi_loss`, checked."""

    variant: str = "published"
    mass: str = "matched"
    translation: str = "truth"
    cells: str = "aligned"
    cell_metric: str = "euclidean"
    norm: str = "joint"
    scale: str = "variance"
    coordinates: str = "standardised"
    r: float = 1.0

    @staticmethod
    def of(given: Mapping[str, Any]) -> Options:
        """From keywords, which must be options."""
        names = [one.name for one in fields(Options)]
        for name in given:
            if name not in names:
                raise InputError(f"{name!r} is no option of losses and cells; these are {names}.")
        return Options(**given)

    def __post_init__(self) -> None:
        for one in fields(self):
            value: Any = getattr(self, one.name)
            if one.name in CHOICES and value not in CHOICES[one.name]:
                raise InputError(f"{one.name} must be one of {list(CHOICES[one.name])}; got {value!r}.")
        number = isinstance(self.r, int | float | np.integer | np.floating) and not isinstance(self.r, bool)
        if not (number and 1 <= self.r < np.inf):
            raise InputError(f"r must be a finite number of at least 1, an exponent of errors; got {self.r!r}.")
