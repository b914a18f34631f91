# moestat: `make help` lists the targets. Needs make and Python 3.11 or newer; everything else comes from PyPI.

VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check

# One thread per process, so that two test workers do not compete and timings repeat; no window for figures.
QUIET_ENV = MPLBACKEND=Agg OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

# make test SLOW=1 adds the statistical studies; make test ARGS="-k softmax" passes options on to pytest.
SLOW_ARGS = $(if $(filter 1 yes true,$(SLOW)),-m "" --timeout=3600)

.PHONY: help demo test lint types docs bench clean
.DEFAULT_GOAL := help

help:
	@echo "make demo     install moestat into $(VENV) and run the demonstration"
	@echo "make test     lint, types and tests (SLOW=1 adds the statistical studies; ARGS=... goes to pytest)"
	@echo "make lint     ruff: format and rules"
	@echo "make types    mypy, strict"
	@echo "make docs     build the documentation into docs/_build/html; a warning is an error"
	@echo "make bench    speed beside NumPy, scikit-learn and R, as a table (QUICK=1: in three minutes;"
	@echo "              ARGS=... runs tests/benchmarks in its place: -k gates, -k calls)"
	@echo "make clean    remove caches and build products; $(VENV) stays"
	@echo "PYTHON=/path/to/python3.11 chooses the interpreter that creates $(VENV)."

demo: $(VENV)/.installed
	MPLBACKEND=Agg $(BIN)/moestat demo

test: lint types
	$(QUIET_ENV) $(BIN)/python -m pytest -n 2 $(SLOW_ARGS) $(ARGS)

lint: $(VENV)/.installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.installed-test
	$(BIN)/mypy

docs: $(VENV)/.installed-docs
	@rm -rf docs/generated
	MPLBACKEND=Agg $(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

bench: $(VENV)/.installed-test
	$(if $(ARGS),,$(QUIET_ENV) $(BIN)/python -m tests.benchmarks.report $(if $(filter 1 yes true,$(QUICK)),--quick))
	$(if $(ARGS),$(QUIET_ENV) $(BIN)/python -m pytest tests/benchmarks -m "" -s --timeout=1200 $(ARGS))

clean:
	rm -rf build dist docs/_build docs/generated .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	rm -rf moestat-demo
	find moestat tests docs -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp records each installation, so a second run installs again only when pyproject.toml has changed.
$(VENV)/.installed: $(VENV)/.created pyproject.toml
	@echo "Installing moestat into $(VENV) (a minute or two the first time)"
	@$(PIP) -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.created pyproject.toml
	@echo "Installing moestat and its test tools into $(VENV) (a minute or two the first time)"
	@$(PIP) -e '.[test]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-docs: $(VENV)/.created pyproject.toml
	@echo "Installing moestat and its documentation tools into $(VENV) (a minute or two the first time)"
	@$(PIP) -e '.[docs]'
	@touch $@ $(VENV)/.installed

# The first interpreter that runs and is new enough; an environment that already exists is used as it is.
NEW_ENOUGH = import sys; sys.exit(sys.version_info < (3, 11))
CANDIDATES = $(if $(PYTHON),$(PYTHON),python3.11 python3 python)

$(VENV)/.created:
	@if [ -e $(VENV) ]; then \
	    $(BIN)/python -c '$(NEW_ENOUGH)' 2>/dev/null && $(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	        echo "$(VENV) exists but has no Python 3.11 or newer with pip. Remove it and run make again." >&2; exit 1; }; \
	else \
	    chosen=; for python in $(CANDIDATES); do \
	        if $$python -c '$(NEW_ENOUGH)' >/dev/null 2>&1; then chosen=$$python; break; fi; \
	    done; \
	    if [ -z "$$chosen" ]; then \
	        echo "moestat needs Python 3.11 or newer; none found among: $(CANDIDATES)." >&2; \
	        echo "Install one, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; \
	    fi; \
	    echo "Creating $(VENV) with $$($$chosen --version)"; \
	    $$chosen -m venv $(VENV) || { rm -rf $(VENV); exit 1; }; \
	fi
	@touch $@
