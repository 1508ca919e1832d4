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
	@echo "make reproduce     the paper's 20 runs on mini-SUPERB for one SEED, and their report; hours on two cores"
	@echo "make test-slow     20 steps of every joint configuration with every balancer"
	@echo "make torture       runs killed a hundred times and continued"
	@echo "make fuzz          every test of random input with a thousand fresh draws in place of thirty"
	@echo "make test-install  install from nothing, and the tests that download packages"
	@echo "The first of them creates $(VENV) with the tested versions (constraints.txt)."

demo: $(READY)
	$(BIN)/s3prl-plugins demo --dir demo

# Test processes; each computes in one thread.
JOBS ?= 2
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not network and not slow and not torture"

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

SEED ?= 1
SWEEP := result/reproduce/seed$(SEED)
# Seed 1 chooses the learning rates of single heads on dev, the others take them over.
FOLLOW := $(if $(filter-out 1,$(SEED)),--lr-from result/reproduce/seed1)
# Two processes; the same command continues a sweep that was cut off.
reproduce: $(READY)
	$(BIN)/s3prl-plugins corpus make data/mini-superb
	$(BIN)/s3prl-plugins finetune ssl $(or $(FOLLOW),--lr-search) --seed $(SEED) -p $(SWEEP) --jobs 2
	$(BIN)/s3prl-plugins finetune all-task --seed $(SEED) -p $(SWEEP)
	$(BIN)/s3prl-plugins finetune leave-one-out --seed $(SEED) -p $(SWEEP) --jobs 2
	$(BIN)/s3prl-plugins finetune transfer $(FOLLOW) --seed $(SEED) -p $(SWEEP) --jobs 2
	$(BIN)/s3prl-plugins qbe -u hubert_tiny --seed $(SEED) -p $(SWEEP)/ssl/qbe --jobs 2
	$(BIN)/s3prl-plugins qbe --run $(SWEEP)/all_task --jobs 2
	for run in $(SWEEP)/leave_one_out/*; do $(BIN)/s3prl-plugins qbe --run $$run --jobs 2 || exit 1; done
	$(BIN)/s3prl-plugins report result/reproduce/seed* -o docs/results/mini_superb

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

torture: $(READY)
	$(BIN)/python -m pytest -m torture

fuzz: $(READY)
	$(BIN)/python -m pytest -m "hypothesis and not network" --hypothesis-profile=fuzz

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
	$(BIN)/python -m pip install $(QUIET) -e '.[mini,mtl,legacy,lm,cluster,serve,dev]'
	@touch $@

.PHONY: help demo test check reproduce test-slow torture fuzz test-install
