# Two commands on a machine with only Python 3.11+: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SEED ?= 7
BENCH := .venv-bench
DEMO := demo$(if $(filter-out 7,$(SEED)),-$(SEED))

.PHONY: demo test lint services bench lock clean help

help:
	@echo "make demo    run the main job on a synthetic township (SEED=$(SEED))"
	@echo "make test    pass the tests"
	@echo "make lint    style, types, import contracts"
	@echo "make bench   every stage beside its peers, as one table; takes minutes"

demo: $(VENV)/.ready
	$(BIN)/rs-monitor demo --seed $(SEED) --out $(DEMO)

test: $(VENV)/.ready
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not service"

services: $(VENV)/.ready
	$(BIN)/python -m pytest -m service

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(BENCH)/.ready
	OPENBLAS_NUM_THREADS=1 $(BENCH)/bin/python -W ignore -m benchmarks bench

# The lock holds names, versions and hashes; uv only makes the same installation faster.
$(VENV)/.ready: requirements.lock bootstrap.lock pyproject.toml
	@echo "setting up $(VENV) from requirements.lock"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r bootstrap.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock \
	  || $(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# The peers have an environment of their own: the project's lock first, so that they run on the same.
$(BENCH)/.ready: $(VENV)/.ready requirements.lock benchmarks/peers.lock
	@echo "setting up $(BENCH) from requirements.lock and benchmarks/peers.lock"
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(BENCH)
	$(BIN)/uv pip install --quiet --python $(BENCH)/bin/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BENCH)/bin/python --require-hashes -r benchmarks/peers.lock \
	  || echo "not every peer could be installed: its lines will say so"
	@touch $@

lock: $(VENV)/.ready
	$(BIN)/python scripts/lock.py

clean:
	rm -rf $(VENV) $(BENCH) demo demo-* .pytest_cache .mypy_cache .ruff_cache .hypothesis
