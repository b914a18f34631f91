"""The data sets of scikit-learn: those that come with it (``load_``) and those that it fetches once (``fetch_``)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from moestat.datasets.dataset import Dataset, holds_classes, linear
from moestat.errors import InputError
from moestat.spelling import suggestion

if TYPE_CHECKING:
    import pandas as pd

#: Arguments of scikit-learn's functions that say what they return, which is settled here.
OURS = ("return_X_y", "as_frame")


def from_sklearn(name: str, **options: Any) -> Dataset:
    """A data set that comes with scikit-learn, or that scikit-learn fetches.

    The suggested model is linear in all covariates, with an expert for classes where the response holds labels.

    Parameters
    ----------
    name : str
        Name of a function of ``sklearn.datasets`` that makes data frames, without ``load_`` or ``fetch_``.
    **options
        Further arguments of that function, such as ``scaled=False``.

    Raises
    ------
    InputError
        When there is no such data set, or when it cannot be fetched.

    Examples
    --------
    >>> import moestat as ms
    >>> iris = ms.datasets.from_sklearn("iris")
    >>> model = iris.moe("`petal width (cm)` ~ `petal length (cm)`")
    """
    known = _functions()
    if not isinstance(name, str) or name not in known:
        raise InputError(
            f"scikit-learn has no data set {name!r} that makes a data frame; it has {sorted(known)}."
            f"{suggestion(str(name), known)}"
        )
    bunch = _called(known[name], name, options)
    frame, response = _with_labels(bunch)

    return Dataset(
        name=name,
        title=_title(bunch.DESCR),
        description=f"As scikit-learn has it; print(sklearn.datasets.{known[name].__name__}().DESCR) says more.",
        source="scikit-learn.",
        columns={},
        suggestion=None if response is None else linear(response, bunch.feature_names, _expert(frame[response])),
        _read=frame.copy,
    )


def _functions() -> dict[str, Callable[..., Any]]:
    """Functions by the name of their data set; openml is a library of its own, which asks for a name in turn."""
    from sklearn import datasets

    found = {}
    for name in sorted(dir(datasets)):
        kind, _, of = name.partition("_")
        function = getattr(datasets, name)
        if kind in ("load", "fetch") and of != "openml" and "as_frame" in inspect.signature(function).parameters:
            found[of] = function
    return found


def _called(function: Callable[..., Any], name: str, options: dict[str, Any]) -> Any:
    try:
        return function(as_frame=True, **options)
    except OSError as error:
        raise InputError(
            f"scikit-learn could not fetch {name!r} ({error}). It is downloaded once and kept in "
            f"sklearn.datasets.get_data_home(); connect to the internet and call again."
        ) from error
    except (TypeError, ValueError) as error:
        options_of = [option for option in inspect.signature(function).parameters if option not in OURS]
        raise InputError(f"from_sklearn({name!r}): {error}. Its options are {options_of}.") from error


def _with_labels(bunch: Any) -> tuple[pd.DataFrame, str | None]:
    """The rows, codes of classes replaced by their names, and the column of the response if there is one."""
    import numpy as np
    import pandas as pd

    frame, target = bunch.frame, bunch.target
    if not isinstance(target, pd.Series):
        return frame, None
    names = bunch.get("target_names")
    coded = pd.api.types.is_integer_dtype(target) and names is not None and len(names) == target.nunique()
    if coded and not pd.api.types.is_integer_dtype(np.asarray(names)):
        frame = frame.assign(**{str(target.name): np.asarray(names)[target]})
    return frame, str(target.name)


def _expert(response: pd.Series[Any]) -> str:
    """scikit-learn's numbers are floats, its classes whole numbers or words; few whole numbers are classes anyway."""
    import pandas as pd

    return "gaussian" if pd.api.types.is_float_dtype(response) and not holds_classes(response) else "multinomial"


def _title(description: str) -> str:
    """The first line of a description in reStructuredText that is no label."""
    lines = (line.strip() for line in description.splitlines())
    return next(line for line in lines if line and not line.startswith(".."))
