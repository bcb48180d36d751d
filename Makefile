# One vocabulary for people, CI and pre-commit.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TESTABLE := $(VENV)/.testable
CLUSTERED := $(VENV)/.clustered
DOCUMENTED := $(VENV)/.documented
PYTEST := $(BIN)/python -m pytest
TOGETHER := --numprocesses auto --maxprocesses 4 --dist loadfile

.PHONY: help run test check lint types unit fix docs bench fidelity test-faults test-cluster test-mutations clean

help:
	@echo "make run             install, make the guide's test data set, say where it lies"
	@echo "make test            the tests (at most 15 minutes on 2 cores)"
	@echo "make check           lint, types and the fast tests"
	@echo "make test-faults     kills and races in long series (at most 15 minutes)"
	@echo "make test-cluster    SLURM, ssh and TLS on this machine (4 minutes; as root, see CONTRIBUTING)"
	@echo "make test-mutations  show that the promises' tests fail on broken copies"
	@echo "make fidelity        hold a year of the fleet against the physics specification (minutes)"
	@echo "make docs            the pages as a site in build/site; a broken link stops it"
	@echo "make bench           the benchmarks, by hand (half an hour); see benchmarks/RESULTS.md"

$(READY): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(TESTABLE): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

# Of the operator only its schemas are wanted: they are read where they lie in the wheel.
$(CLUSTERED): $(TESTABLE)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,cluster]'
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps \
	  --dest $(VENV)/wheels dask-kubernetes==2026.3.0
	@touch $@

$(DOCUMENTED): $(TESTABLE)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,docs]'
	@touch $@

run: $(READY)
	$(BIN)/python generate_battery_data.py --config configs/test.toml
	@echo "Open output/test/report.html, or in Python:"
	@echo "  pandas.read_csv('output/test/feature_store.csv.gz')"
	@echo "  pandas.read_parquet('output/test/telemetry_jar_raw')"

test: $(TESTABLE)
	$(PYTEST) $(TOGETHER)

unit: $(TESTABLE)
	$(PYTEST) $(TOGETHER) -m "not slow and not cluster"

lint: $(TESTABLE)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(TESTABLE)
	$(BIN)/mypy

check: lint types unit

fix: $(TESTABLE)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test-faults: $(TESTABLE)
	$(PYTEST) -m faults

test-cluster: $(CLUSTERED)
	$(PYTEST) -m cluster tests/cluster

test-mutations: $(TESTABLE)
	$(BIN)/python tests/mutations/run.py

fidelity: $(TESTABLE)
	$(BIN)/python -m tests.fidelity

docs: $(DOCUMENTED)
	$(BIN)/python -m sphinx --quiet --fresh-env --write-all --nitpicky --fail-on-warning --keep-going \
	  -c docs -d build/doctrees . build/site
	@echo "Open build/site/index.html"

bench: $(TESTABLE)
	$(BIN)/python -m benchmarks.run

clean:
	rm -rf output build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
