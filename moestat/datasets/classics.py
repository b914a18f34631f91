"""The classical small sets of the mixture literature: described in ``catalogue.toml``, rows in ``<name>.csv``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from moestat.datasets.dataset import Dataset, Suggestion
from moestat.errors import InputError
from moestat.spelling import suggestion

if TYPE_CHECKING:
    import pandas as pd

_FOLDER = files("moestat.datasets")
_YEAR = re.compile(r"\(\d{4}\)")


def load(name: str) -> Dataset:
    """A classical data set by name.

    Parameters
    ----------
    name : str
        One of `DATASETS`; `catalogue` shows them.

    Raises
    ------
    InputError
        When there is no such data set; the message lists the known ones.

    Examples
    --------
    >>> import moestat as ms
    >>> results = ms.datasets.load("tone").moe().fit()
    """
    if not isinstance(name, str) or name not in DATASETS:
        raise InputError(
            f"name must be one of {sorted(DATASETS)}; got {name!r}.{suggestion(str(name), DATASETS)} "
            "Those of other libraries come by from_statsmodels(name) and from_sklearn(name)."
        )
    return DATASETS[name]


def catalogue() -> pd.DataFrame:
    """The classical data sets as a table: one row each, by name; wide, so print ``catalogue().to_string()``."""
    import pandas as pd

    table = pd.DataFrame([_line(data) for data in DATASETS.values()])
    return table.set_index("name")


def _line(data: Dataset) -> dict[str, Any]:
    assert data.suggestion is not None
    rows, columns = data.frame.shape
    return {
        "name": data.name,
        "rows": rows,
        "columns": columns,
        "response": data.response,
        "suggestion": data.suggestion.formula,
        "n_experts": data.suggestion.n_experts,
        "expert": data.suggestion.expert.split("(")[0],
        "about": data.title,
        "source": _short(data.source),
    }


def _short(source: str) -> str:
    """The first author and the year: ``Cohen (1980)``."""
    year = _YEAR.search(source)
    assert year is not None
    return f"{source[: year.start()].split(',')[0].strip()} {year.group()}"


# --------------------------------------------------------------------------------------- rows
def _csv(name: str) -> pd.DataFrame:
    import pandas as pd

    with (_FOLDER / f"{name}.csv").open(encoding="utf-8") as stream:
        return pd.read_csv(stream)


def _anes96() -> pd.DataFrame:
    import numpy as np
    from statsmodels.datasets import anes96

    frame: pd.DataFrame = anes96.load_pandas().data
    # seven-point party identification: 0-1 Democrat, 2-4 independent (leaners included), 5-6 Republican
    frame["party"] = np.select([frame["PID"] <= 1, frame["PID"] <= 4], ["Democrat", "Independent"], "Republican")
    return frame


def _engel() -> pd.DataFrame:
    from statsmodels.datasets import engel

    frame: pd.DataFrame = engel.load_pandas().data
    return frame


#: Sets whose rows come with another library.
_ELSEWHERE: dict[str, Callable[[], Any]] = {"anes96": _anes96, "engel": _engel}


# --------------------------------------------------------------------------------------- descriptions
def _described() -> Iterable[Dataset]:
    entries = tomllib.loads((_FOLDER / "catalogue.toml").read_text(encoding="utf-8"))
    for name, entry in entries.items():
        suggested = Suggestion(**entry.pop("suggestion"))
        yield Dataset(name=name, suggestion=suggested, _read=_ELSEWHERE.get(name, partial(_csv, name)), **entry)


#: The classical data sets by name.
DATASETS: dict[str, Dataset] = {data.name: data for data in _described()}
