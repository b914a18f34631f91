"""Arrays and a JSON header in one ``.npz`` file; nothing is ever unpickled."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from moestat.errors import InputError
from moestat.typing import FloatArray

FORMAT = "moestat-results"
VERSION = 1

#: Uncompressed size beyond which a file is refused: results hold parameters, not rows.
MAX_BYTES = 256 * 2**20


def write(path: str | Path, header: dict[str, Any], arrays: dict[str, FloatArray]) -> Path:
    """Write a header and arrays; the suffix ``.npz`` is added when missing. Returns the path."""
    target = Path(path)
    if target.suffix != ".npz":
        target = target.with_name(target.name + ".npz")
    about = {"format": FORMAT, "version": VERSION, "arrays": sorted(arrays)}
    text = json.dumps(about | header, allow_nan=True)
    np.savez_compressed(target, header=np.frombuffer(text.encode(), dtype=np.uint8), **arrays)  # type: ignore[arg-type]
    return target


def read(path: str | Path) -> tuple[dict[str, Any], dict[str, FloatArray]]:
    """Read what `write` wrote.

    Raises
    ------
    InputError
        When the file is missing, damaged, too large, or not one of ours.
    """
    source = Path(path)
    if not source.exists():
        raise InputError(f"path: there is no file {str(source)!r}.")
    try:
        with zipfile.ZipFile(source) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_BYTES:
            raise InputError(f"{str(source)!r} unpacks to {size} bytes, more than the limit of {MAX_BYTES}.")
        with np.load(source, allow_pickle=False) as archive_:
            arrays = {name: archive_[name] for name in archive_.files}
        header = json.loads(arrays.pop("header").tobytes().decode())
    except InputError:
        raise
    except Exception as error:  # zipfile, zlib, json and numpy each have their own, MemoryError among them
        raise InputError(f"{str(source)!r} is not a readable results file ({error}).") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise InputError(f"{str(source)!r} is not a file of fitted results.")
    if header.get("version") != VERSION:
        raise InputError(f"{str(source)!r} has format version {header.get('version')}; this moestat reads {VERSION}.")
    if header.pop("arrays", None) != sorted(arrays):  # a damaged index may hide some
        raise InputError(f"{str(source)!r} is not a readable results file (arrays are missing).")
    return header, arrays
