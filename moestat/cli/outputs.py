"""What a fit leaves behind: a document of plain data, and a folder of files."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from moestat import __version__
from moestat.errors import InputError
from moestat.results import Results

if TYPE_CHECKING:
    from statsmodels.iolib.summary import Summary

#: The file that `moestat predict` and `moestat.load` read.
MODEL = "model.npz"


# --------------------------------------------------------------------------------------- plain data
def document(results: Results, settings: Mapping[str, Any], alpha: float, kind: str) -> dict[str, Any]:
    """A fit as plain data: settings, criteria, verdict and parameters; what is not available is None."""
    certificate = results.certificate
    table = results.table(alpha, kind=kind).reset_index()
    classes = results.schema.classes
    found: dict[str, Any] = {
        "moestat": __version__,
        **settings,
        "response": list(results.schema.responses),
        "classes": None if classes is None else list(classes),
        "rows": results.nobs,
        "rows_dropped": 0 if results.design is None else results.design.n_dropped,
        "objective": results.objective,
        **results.criteria,
        "identified_parameters": results.df_model,
        "status": certificate.status.value,
        "trusted": certificate.trusted,
        "verdict": str(certificate).splitlines(),
        "certificate": certificate.to_dict(),
        "covariance": kind,
        "level": round(1 - alpha, 12),
        "parameters": table.astype({"role": str}).to_dict("records"),
    }
    out: dict[str, Any] = plain(found)
    return out


def as_json(found: Any) -> str:
    """The text of a document; strict JSON."""
    return json.dumps(found, indent=2, allow_nan=False, ensure_ascii=False)


def plain(value: Any) -> Any:
    """JSON has no NaN and no infinity: they become null."""
    if isinstance(value, Mapping):
        return {name: plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


# --------------------------------------------------------------------------------------- files
class Folder:
    """A folder for the files of one fit: written all together, or not at all.

    Parameters
    ----------
    path : Path
    names : sequence of str
        Every file that a fit may leave there. Those of an earlier fit are refused, or replaced on request, the ones
        that have no successor included; other files of the folder are left alone.
    overwrite : bool
    """

    def __init__(self, path: Path, names: tuple[str, ...], overwrite: bool) -> None:
        self.path, self._names = path, names
        if path.exists() and not path.is_dir():
            raise InputError(f"--out must be a folder; {str(path)!r} is a file.")
        present = [name for name in names if (path / name).exists()]
        if present and not overwrite:
            raise InputError(
                f"{path} holds a fit already ({', '.join(present)}). Pass --overwrite, or another folder as --out."
            )

    def write(self, writers: Mapping[str, Callable[[Path], Any]]) -> list[str]:
        """Let each writer write its file, then move all into place. Returns the names of those that wrote one."""
        there = self.path.exists()
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            return self._write(writers)
        except BaseException:
            if not there:
                self.path.rmdir()
            raise

    def _write(self, writers: Mapping[str, Callable[[Path], Any]]) -> list[str]:
        with TemporaryDirectory(prefix=".unfinished-", dir=self.path) as scratch:
            for name, writer in writers.items():
                writer(Path(scratch) / name)
            for name in self._names:
                (self.path / name).unlink(missing_ok=True)
            written = [name for name in writers if (Path(scratch) / name).exists()]
            for name in written:
                (Path(scratch) / name).replace(self.path / name)
        return written


TEXTS = (MODEL, "parameters.json", "parameters.csv", "summary.txt", "summary.html")


def known_files() -> tuple[str, ...]:
    """Every file that a fit may leave."""
    from moestat.cli.figures import FIGURES

    return (*TEXTS, *FIGURES)


def writers(
    results: Results, found: dict[str, Any], alpha: float, kind: str, *, figures: bool
) -> dict[str, Callable[[Path], Any]]:
    """What writes each file of a fit."""
    from moestat.cli.figures import PAGE, drawers

    pictures = drawers(results) if figures else {}
    return _texts(results, found, [name for name in pictures if name == PAGE], alpha, kind) | pictures


def _texts(
    results: Results, found: Mapping[str, Any], pictures: Sequence[str], alpha: float, kind: str
) -> dict[str, Callable[[Path], Any]]:
    """Writers of the model, the parameters and the summary."""
    summary = str(results.summary(alpha, kind=kind))
    page = _page(_tables(results.summary(alpha, kind=kind)), found, pictures)
    return {
        MODEL: results.save,
        "parameters.json": lambda path: path.write_text(as_json(found) + "\n", encoding="utf-8"),
        "parameters.csv": lambda path: results.table(alpha, kind=kind).to_csv(path),
        "summary.txt": lambda path: path.write_text(summary + "\n", encoding="utf-8"),
        "summary.html": lambda path: path.write_text(page, encoding="utf-8"),
    }


def _tables(summary: Summary) -> str:
    """The tables as HTML; names of columns come from a file and are no markup."""
    for table in summary.tables:
        table.title = table.title and escape(table.title)
        for cell in (cell for row in table for cell in row):
            cell.data = escape(str(cell.data))
    return "\n".join(table.as_html() for table in summary.tables)


def _page(tables: str, found: Mapping[str, Any], pictures: Sequence[str]) -> str:
    """The summary as a page that stands alone, with the picture beside it if there is one."""
    title = escape(f"Mixture of experts: {found['formula']}")
    verdict = escape("\n".join(found["verdict"]))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
  body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222; }}
  table {{ border-collapse: collapse; margin: 1.2em 0; }}
  caption {{ font-weight: 600; text-align: left; padding-bottom: .3em; }}
  th, td {{ padding: .15em .9em .15em 0; text-align: right; font-weight: normal; }}
  th:first-child {{ text-align: left; }}
  tr {{ border-top: 1px solid #ddd; }}
  pre {{ background: #f6f6f6; padding: 1em; overflow-x: auto; }}
  img {{ max-width: 100%; }}
</style>
</head>
<body>
<h1>{title}</h1>
{tables}
<pre>{verdict}</pre>
{"".join(f'<p><img src="{name}" alt="{name}"></p>' for name in pictures)}
<p>moestat {found["moestat"]}, data {escape(str(found["data"]))}, seed {found["seed"]}</p>
</body>
</html>
"""
