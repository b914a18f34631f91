"""The data sets of statsmodels."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from moestat.datasets.dataset import Dataset, Suggestion, holds_classes, linear
from moestat.errors import InputError
from moestat.spelling import suggestion

#: Models for sets in which statsmodels names the response otherwise than its own description does.
OTHERWISE = {
    "engel": Suggestion(
        "foodexp ~ income", why="Food expenditure on income; statsmodels names them the other way round."
    )
}


def from_statsmodels(name: str) -> Dataset:
    """A data set that comes with statsmodels.

    The suggested model is linear: its response is what statsmodels calls ``endog``, its covariates ``exog``. A response
    of two to seven whole numbers in a row, such as 0 and 1, has an expert for classes.

    Parameters
    ----------
    name : str
        A module of ``statsmodels.datasets``.

    Raises
    ------
    InputError
        When there is no such data set; the message lists the known ones.

    Examples
    --------
    >>> import moestat as ms
    >>> model = ms.datasets.from_statsmodels("statecrime").moe("murder ~ poverty + single | urban")
    """
    known = _names()
    if not isinstance(name, str) or name not in known:
        raise InputError(f"statsmodels has no data set {name!r}; it has {known}.{suggestion(str(name), known)}")
    module = import_module(f"statsmodels.datasets.{name}")
    rows = module.load_pandas()

    return Dataset(
        name=name,
        title=_one_line(module.TITLE),
        description=_one_line(module.DESCRSHORT),
        source=_one_line(module.SOURCE),
        columns={},
        suggestion=_suggested(name, rows),
        _read=rows.data.copy,
    )


def _names() -> list[str]:
    import statsmodels.datasets

    found = (module.name for module in iter_modules(statsmodels.datasets.__path__) if module.ispkg)
    return sorted(name for name in found if name != "tests")


def _suggested(name: str, rows: Any) -> Suggestion | None:
    """Nothing where statsmodels names no response, or several."""
    import pandas as pd

    if name in OTHERWISE:
        return OTHERWISE[name]
    endog, exog = rows.get("endog"), rows.get("exog")
    if not isinstance(endog, pd.Series):
        return None
    covariates = pd.DataFrame(exog).columns  # none when there are none
    why = "Response and covariates as statsmodels names them."
    expert = "multinomial" if holds_classes(rows.data[endog.name]) else "gaussian"
    return linear(str(endog.name), map(str, covariates), expert, why)


def _one_line(text: str) -> str:
    return " ".join(text.split())
