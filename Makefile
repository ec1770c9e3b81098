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
.PHONY: help venv compiled up show image helm manifests charts test lint format tidy unit integration probe \
	compiled-ci sim-ci sim explore explore-ci mutants mutants-ci e2e e2e-ci bench bench-ring bench-smoke \
	peers proto lock clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-12s %s\n", $$1, $$2}'

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

# The same sources with the modules of setup.py compiled, as the image has them, in an environment of
# its own beside .venv, whose packages it shares. Anew when a source has changed.
COMPILED := .venv-compiled
# A C compiler, and the headers of this Python: whatever is missing is said.
NO_COMPILER := $(shell command -v cc > /dev/null || echo there is no C compiler "(cc)"; $(PYTHON) -c \
	'import os, sysconfig as s; os.path.exists(s.get_path("include") + "/Python.h") or print("no Python.h")')
# What is measured is what an image has, where that can be had.
MEASURED := $(if $(NO_COMPILER),$(BIN),$(COMPILED)/bin)
TO_MEASURE := $(if $(NO_COMPILER),$(READY),$(COMPILED)/.ready)
SOURCES = $(shell find services -name '*.py')

compiled: $(COMPILED)/.ready ## make .venv-compiled/bin/becket, which is faster; needs a C compiler

$(COMPILED)/.ready: $(READY) setup.py $(SOURCES)
	rm -rf $(COMPILED) $(BUILD)/compiled-wheel build
	BECKET_COMPILE=1 $(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation --no-index --wheel-dir $(BUILD)/compiled-wheel .
	rm -rf build
	$(BIN)/python -m venv --without-pip $(COMPILED)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> "$$($(COMPILED)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/shared.pth"
	$(BIN)/python -m pip --python $(COMPILED)/bin/python install --quiet --disable-pip-version-check \
		--no-deps --no-index $(BUILD)/compiled-wheel/*.whl
	@touch $@

up: $(READY) ## run a cluster on this machine, in the foreground: Ctrl-C stops it, its data stays
	$(BIN)/becket up $(ARGS)

show: $(READY) ## show a cluster at work: simulated, in one process
	$(BIN)/python -m tests.simulation show

# docker, podman or buildah: whichever is there. ARGS takes further arguments, such as a base
# (`--build-arg PYTHON_IMAGE=...`).
IMAGE ?= becket:$(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
BUILDER ?= $(firstword $(foreach tool,docker podman buildah,$(if $(shell command -v $(tool)),$(tool))))

image: ## build the container image IMAGE
	@test -n "$(BUILDER)" || { echo "docker, podman or buildah is needed"; exit 2; }
	$(BUILDER) build -t $(IMAGE) $(ARGS) .

HELM3 := helm.sh/helm/v3/cmd/helm@v3.22.0
HELM4 := helm.sh/helm/v4/cmd/helm@v4.3.1

helm: ## build both helms into .build, for the tests of the chart; needs Go
	CGO_ENABLED=0 GOBIN=$(abspath $(BUILD)/helm3) go install -trimpath -ldflags "-s -w" $(HELM3)
	CGO_ENABLED=0 GOBIN=$(abspath $(BUILD)/helm4) go install -trimpath -ldflags "-s -w" $(HELM4)

manifests: $(READY) ## write k8s/ and the chart's table of values afresh; needs helm
	$(BIN)/python -m charts.values_table
	$(BIN)/python -m charts.manifests

charts: $(READY) ## the chart and what it renders; skipped, with the reason, where there is no helm
	$(BIN)/python -m pytest -q tests/charts

test: ## everything that CI runs
	@for part in lint tidy unit charts integration probe compiled-ci bench-smoke explore-ci mutants-ci sim-ci; do \
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

# On the cluster of KUBECONFIG, or on one of this machine's own (tests/kube). ARGS: what, as of pytest.
e2e: $(READY) ## everything on a real Kubernetes, hurt as it hurts: hours
	BECKET_E2E=1 BECKET_E2E_BARS=1 BECKET_E2E_KILLS=$${BECKET_E2E_KILLS:-100} \
		BECKET_E2E_OTHERS=$${BECKET_E2E_OTHERS:-30} BECKET_E2E_STEADY_S=$${BECKET_E2E_STEADY_S:-60} \
		$(BIN)/python -m pytest -q -s $(or $(ARGS),tests/e2e)

e2e-ci: $(READY) ## the same, as far as CI has time for; skipped, with the reason, where it cannot run
	BECKET_E2E=1 BECKET_E2E_KILLS=10 $(BIN)/python -m pytest -q -s \
		tests/e2e/test_install.py tests/e2e/test_drain.py \
		'tests/e2e/test_kills.py::test_storage_pods_one_at_a_time[kill]'

# The interpreted ones run all; what reaches into the compiled modules is skipped, with the reason.
compiled-ci: $(TO_MEASURE) ## units of the core and services, compiled; skipped, with the reason, without cc
	@if [ -z "$(NO_COMPILER)" ]; then \
		$(MEASURED)/python -m pytest -q -o pythonpath=. tests/unit/core/replication tests/scenarios \
			tests/unit/runtime/test_setting_groups.py tests/integration; \
	else echo "SKIPPED: $(NO_COMPILER)"; fi

sim-ci: $(READY) ## simulated clusters under faults: a short, fixed set; kills around steps of plans
	$(BIN)/python -m tests.simulation ci
	$(BIN)/python -m tests.simulation plans --ci

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

# ARGS: such as `--size full`, `--systems echo,becket`, `--keep`; `python -m bench --help` lists them.
bench: $(TO_MEASURE) ## measure Becket beside its peers and beside what bounds it: five minutes a round
	$(MEASURED)/python -m bench $(ARGS)

bench-ring: $(TO_MEASURE) ## ring changes, with 1,000,000 keys: an hour
	$(MEASURED)/python -m bench ring-change $(ARGS)

bench-smoke: $(TO_MEASURE) ## each workload for a moment: fails on errors, never on time
	$(MEASURED)/python -m bench --size smoke $(ARGS)

peers: $(READY) ## get the servers that the bench compares with into .build; needs Go, and a Debian
	$(BIN)/python -m bench.fetch_peers

proto: $(READY) ## write the generated code afresh
	$(BIN)/python protos/generate.py

# The development lock comes first; the others are cut from it, so that all agree.
COMPILE = $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-build --no-emit-index-url --no-emit-find-links \
	--custom-compile-command 'make lock'

lock: $(READY) ## take up newer versions of all dependencies
	$(COMPILE) --upgrade --group dev --extra server --extra bench -o requirements/dev.txt
	$(COMPILE) --upgrade -c requirements/dev.txt -o requirements/core.txt
	$(COMPILE) --upgrade -c requirements/dev.txt --extra client -o requirements/client.txt
	$(COMPILE) --upgrade -c requirements/dev.txt --extra server -o requirements/server.txt
	$(COMPILE) --upgrade -c requirements/dev.txt --extra server --extra cli -o requirements/image.txt
	$(subst pyproject.toml,,$(COMPILE)) --upgrade -c requirements/dev.txt \
		--group pyproject.toml:image -o requirements/build.txt

clean: ## remove all that can be made again
	rm -rf $(VENV) $(COMPILED) $(BUILD) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache services/*.egg-info
	find services tests protos -name __pycache__ -type d -prune -exec rm -rf {} +
