"""``python -m moestat`` is the ``moestat`` command."""

from moestat.cli import app

if __name__ == "__main__":
    app()
