"""Running a program of R: its rows through a file, its figures back as a line of JSON."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tests.benchmarks.measure import NotMeasured

SCRIPTS = Path(__file__).parent

#: Seconds after which a program is given up.
PATIENCE = 600


@cache
def demand(package: str) -> str:
    """The program that runs scripts of R, which has this package."""
    program = shutil.which("Rscript")
    if program is None:
        raise NotMeasured("Rscript is not installed (Debian and Ubuntu: apt-get install r-base-core)")
    asked = subprocess.run([program, "-e", f"library({package})"], capture_output=True)
    if asked.returncode:
        raise NotMeasured(f"R has no package {package} (Debian and Ubuntu: apt-get install r-cran-{package})")
    return program


def run(package: str, tables: Sequence[Mapping[str, np.ndarray]], *settings: object) -> dict[str, Any]:
    """What ``package``.R prints for these tables and settings."""
    program = demand(package)
    with TemporaryDirectory() as folder:
        files = [Path(folder) / f"{i}.csv" for i in range(len(tables))]
        for file, table in zip(files, tables, strict=True):
            np.savetxt(file, np.column_stack(list(table.values())), "%.17g", ",", header=",".join(table), comments="")
        command = [program, str(SCRIPTS / f"{package}.R"), *map(str, files), *map(str, settings)]
        known = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        try:
            done = subprocess.run(command, env=known, capture_output=True, text=True, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise NotMeasured(f"{package} was given up after {PATIENCE} s") from None
    if done.returncode:
        raise NotMeasured(f"{package}.R ended with an error:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
