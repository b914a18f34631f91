"""Where and with what results were computed."""

from __future__ import annotations

import json
import os
import platform
import socket
from functools import cache
from importlib.metadata import version

from moestat import __version__


@cache
def _machine() -> str:
    return socket.gethostname()


def host() -> str:
    """The machine and the process."""
    return f"{_machine()}:{os.getpid()}"


@cache
def versions() -> str:
    """Versions of what is computed with, and the kind of machine: results of one such text agree to the last bit."""
    found = {name: version(name) for name in ("numpy", "scipy", "numba")}
    found |= {
        "moestat": __version__,
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": f"{platform.machine()} {_processor()}".strip(),
    }
    return json.dumps(found, sort_keys=True)


def _processor() -> str:
    """The model of the processor, as far as the system tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        return platform.processor()
