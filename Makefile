# `make help` lists the targets. Everything happens in .venv; nothing is installed outside it.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help run test check fix bench clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip --disable-pip-version-check install --quiet "pip==26.3"  # dependency groups need 25.1

# The offline path: every package that Teller imports, and not the PyTorch that two of them declare.
$(VENV)/light: $(BIN)/python requirements-light.txt constraints.txt pyproject.toml
	$(PIP) --no-deps --requirement requirements-light.txt
	$(PIP) --no-deps --editable .
	@touch $@

$(VENV)/dev: $(VENV)/light
	$(PIP) "torch==2.13.0"
	$(PIP) --editable . --group dev
	@touch $@

run: $(VENV)/light  ## install what is needed and serve on http://127.0.0.1:8080
	$(BIN)/teller serve

test: $(VENV)/dev  ## install what is needed and run every test
	$(BIN)/python -m pytest

check: $(VENV)/dev  ## ruff, mypy --strict, import-linter and the docs check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/check.py

fix: $(VENV)/dev  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
