# Needs python >= 3.11 and nothing else; PYTHON=... names another one.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
FRESH := build/fresh/bin/python
QUIET := --quiet --disable-pip-version-check -c constraints.txt

help:
	@echo "make demo          mini-SUPERB, all-task finetuning, evaluation and report, in demo/"
	@echo "make test          the tests"
	@echo "make check         ruff and mypy"
	@echo "make test-install  install from nothing, and the tests that download packages"
	@echo "The first of them creates $(VENV) with the tested versions (constraints.txt)."

demo: $(READY)
	$(BIN)/s3prl-plugins demo --dir demo

test: $(READY)
	$(BIN)/python -m pytest -m "not network"

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-install: $(READY)
	rm -rf build && $(PYTHON) -m venv build/fresh
	$(FRESH) -m pip install $(QUIET) torch torchaudio
	$(FRESH) -m pip install $(QUIET) '.[mini,legacy]'
	cd build && fresh/bin/s3prl-plugins doctor && fresh/bin/python -m s3prl.run_downstream --help > /dev/null
	$(BIN)/python -m pytest -m network

# torch comes first: what follows must find it in place.
$(READY): setup.cfg setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) must be Python 3.11 or newer; name another with PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(QUIET) torch torchaudio
	$(BIN)/python -m pip install $(QUIET) -e '.[mini,plots,mtl,legacy,dev]'
	@touch $@

.PHONY: help demo test check test-install
