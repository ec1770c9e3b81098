# Everything a person or a machine runs in this repository. `make help` lists it.
#
# It needs Python 3.11 or newer and make. Where Go is installed, the protos are also linted.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The stamp carries the lock's checksum, so that a checkout that changes no lock makes no new .venv.
STAMP := $(VENV)/.ready-$(shell cksum < requirements/dev.txt | cut -d ' ' -f 1)
READY := $(BIN)/becket
BUILD := .build

.DEFAULT_GOAL := help
.PHONY: help venv up show test lint format tidy unit integration probe sim-ci sim explore explore-ci mutants \
	mutants-ci proto lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-12s %s\n", $$1, $$2}'

venv: $(READY) ## make .venv from the lock; again only when the lock has changed

# Whatever the machine's pip is set to, only files whose hashes the lock names are installed.
$(STAMP):
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed"'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements/dev.txt
	@touch $@

$(READY): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation --editable .
	@touch $@

up: $(READY) ## run a cluster on this machine, in the foreground: Ctrl-C stops it, its data stays
	$(BIN)/becket up $(ARGS)

show: $(READY) ## show a cluster at work: simulated, in one process
	$(BIN)/python -m tests.simulation show

test: ## everything that CI runs
	@for part in lint tidy unit integration probe explore-ci mutants-ci sim-ci; do \
		started=$$(date +%s); \
		echo "== make $$part"; \
		$(MAKE) --no-print-directory $$part || exit 1; \
		echo "== make $$part: $$(($$(date +%s) - started)) s"; \
	done

lint: $(READY) ## style, types, layers, protos
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python protos/check.py

format: $(READY) ## bring the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

tidy: $(READY) ## the tests about the repository itself
	$(BIN)/python -m pytest -q tests/tidy

unit: $(READY) ## units, properties, scenarios, and the contracts of the ports
	$(BIN)/python -m pytest -q tests/unit tests/properties tests/scenarios tests/contract

integration: $(READY) ## real services on loopback, several in one process
	$(BIN)/python -m pytest -q tests/integration

probe: $(READY) ## real processes: started, killed, paused, wiped
	$(BIN)/python -m pytest -q tests/probe

sim-ci: $(READY) ## simulated clusters under faults: a short, fixed set
	$(BIN)/python -m tests.simulation ci

sim: $(READY) ## a million schedules, for spare time
	$(BIN)/python -m tests.simulation run --schedules 1000000 --compiled

explore: $(READY) ## every order of events in small clusters
	$(BIN)/python -m tests.simulation explore

explore-ci: $(READY) ## the same, as far as CI has time for
	$(BIN)/python -m tests.simulation explore --ci

mutants: $(READY) ## remove each safeguard: the simulation must notice
	$(BIN)/python -m tests.simulation mutants

mutants-ci: $(READY) ## the same, as far as CI has time for
	$(BIN)/python -m tests.simulation mutants --ci

proto: $(READY) ## write the generated code afresh
	$(BIN)/python protos/generate.py

# The development lock comes first; the others are cut from it, so that all agree.
COMPILE = $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-build --no-emit-index-url --no-emit-find-links \
	--custom-compile-command 'make lock'

lock: $(READY) ## take up newer versions of all dependencies
	$(COMPILE) --upgrade --group dev --extra server --extra cli -o requirements/dev.txt
	$(COMPILE) --upgrade -c requirements/dev.txt -o requirements/core.txt
	$(COMPILE) --upgrade -c requirements/dev.txt --extra client -o requirements/client.txt
	$(COMPILE) --upgrade -c requirements/dev.txt --extra server -o requirements/server.txt

clean: ## remove all that can be made again
	rm -rf $(VENV) $(BUILD) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache services/*.egg-info
	find services tests protos -name __pycache__ -type d -prune -exec rm -rf {} +
