# The everyday commands of Gateway. `make` alone lists them.

PYTHON ?= python3
CONFIG ?=
ARGS ?=
PYTEST_ARGS ?=
# Most tests wait for something; those of one file stay together.
TEST_WORKERS ?= 3
BENCH_ARGS ?=
SOAK_ARGS ?=
OUTAGE_ARGS ?=
AUTOBAHN_ARGS ?=
FUZZ_SECONDS ?= 60
FUZZ_SEED ?= 1

VENV := .venv
BIN := $(VENV)/bin
# --no-compile: byte code is made as modules are first imported, which is quicker than making all of it here.
INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --no-compile -c constraints.txt
BUILT := $(VENV)/.built

PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))
# Not the plugin template, which is no distribution by itself.
CONTRIBUTED := $(patsubst %/pyproject.toml,%,$(wildcard contrib/*/pyproject.toml))
DISTRIBUTIONS := core $(PLUGINS) $(CONTRIBUTED) .
PACKAGES := $(foreach distribution,core $(PLUGINS) $(CONTRIBUTED),$(wildcard $(distribution)/src/gateway*))
MANIFESTS := $(addsuffix /pyproject.toml,$(DISTRIBUTIONS)) constraints.txt requirements-dev.txt
TESTS = $(shell find $(wildcard core/tests plugins/*/tests contrib/*/tests tests) -name '*.py')

.DEFAULT_GOAL := help
.PHONY: help build run dev test bench soak outage autobahn fuzz coverage lint format docs wheels clean

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

build: $(BUILT) ## Make .venv with the core, every plugin and the tools, all editable

run: $(BUILT) ## Start the gateway (ARGS="--workers 2")
	$(BIN)/gateway $(ARGS)

dev: $(BUILT) ## Start the gateway and follow changes of its configuration (CONFIG=my.yaml)
	$(BIN)/gateway --hot-reload $(if $(CONFIG),--config $(CONFIG)) $(ARGS)

test: $(BUILT) ## Run every test (PYTEST_ARGS="plugins/http -k chunked")
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

bench: $(BUILT) ## Measure the gateway (BENCH_ARGS=--help)
	$(BIN)/python tests/benchmarks/run.py $(BENCH_ARGS)

soak: $(BUILT) ## Serve a load for a minute while everything changes (SOAK_ARGS=--help)
	$(BIN)/python tests/integration/soak.py $(SOAK_ARGS)

outage: $(BUILT) ## Take Redis away under load, with each onOutage (OUTAGE_ARGS=--help)
	$(BIN)/python tests/integration/redis_outage.py $(OUTAGE_ARGS)

autobahn: $(BUILT) ## Play Autobahn's WebSocket cases directly and through the gateway (AUTOBAHN_ARGS=--help)
	$(BIN)/python -m tests.conformance.autobahn.run $(AUTOBAHN_ARGS)

fuzz: $(BUILT) ## Send mutated requests for a minute (FUZZ_SECONDS=600 FUZZ_SEED=7)
	FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_SEED=$(FUZZ_SEED) $(BIN)/python -m pytest -q -s tests/conformance/test_fuzz.py

coverage: $(BUILT) ## Run every test, and report the coverage of each package
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(PYTEST_ARGS)
	$(BIN)/coverage combine --quiet
	@status=0; for package in $(PACKAGES); do \
	    echo "==> $$package"; $(BIN)/coverage report --include="$$package/*" || status=1; \
	done; exit $$status

lint: $(BUILT) ## Check style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(if $(TESTS),$(BIN)/mypy $(TESTS))

format: $(BUILT) ## Format, and mend what ruff can mend
	$(BIN)/ruff check --fix-only --exit-zero .
	$(BIN)/ruff format .

docs: $(BUILT) ## Build the documentation site into site/
	@echo "==> installing what builds the site"
	$(INSTALL) --quiet -r requirements-docs.txt
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

wheels: $(BUILT) ## Build the wheels of every distribution into dist/
	rm -rf dist
	@for distribution in $(DISTRIBUTIONS); do \
	    echo "==> $$distribution"; \
	    $(BIN)/python -m build --wheel --no-isolation --outdir dist $$distribution || exit 1; \
	done

clean: ## Remove everything that make and the tools made
	rm -rf $(VENV) dist site htmlcov .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find core plugins contrib tests -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# Touched last, so an installation that stopped half-way is done again.
$(BUILT): $(MANIFESTS) | $(BIN)/python
	@echo "==> installing what builds the packages"
	$(INSTALL) editables hatchling setuptools
	@echo "==> installing the core, the plugins ($(notdir $(PLUGINS) $(CONTRIBUTED))) and the tools"
	$(INSTALL) --no-build-isolation -r requirements-dev.txt $(addprefix -e ./,$(DISTRIBUTIONS))
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Gateway needs Python 3.11 or newer, and '$(PYTHON)' is not." >&2; \
	    echo "Name one that is: make build PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "'$(PYTHON)' cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv" >&2; \
	    echo "Or name an interpreter that can: make build PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "==> making $(VENV)"
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
