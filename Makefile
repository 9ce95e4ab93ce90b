# make demo and make test are all a newcomer needs. Every target finds or makes its own environment: see .ci/bootstrap.

VENV ?= .venv
WORKBENCH_PYTHON ?=
PYTEST_ARGS ?=
BIN = $(VENV)/bin
BOOTSTRAP = @VENV="$(VENV)" WORKBENCH_PYTHON="$(WORKBENCH_PYTHON)" .ci/bootstrap

# Browser tests need Chromium. A person without it is told and runs the rest; CI never leaves them out.
CHROMIUM := $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)
BROWSER = $(if $(CHROMIUM)$(CI),,-m "not browser")

.PHONY: help demo lab test test-matrix kernels binder lint format bench fuzz clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

demo: ## run the quickstart notebook headless and print its answer
	$(BOOTSTRAP) demo
	@$(BIN)/workbench demo

lab: ## open the notebooks in JupyterLab
	$(BOOTSTRAP) lab
	@$(BIN)/jupyter lab notebooks/01_quickstart.ipynb

test: ## run the whole suite
	$(BOOTSTRAP) dev
	@[ -z '$(BROWSER)' ] || echo 'make test: no Chromium found, so the browser tests are left out; install chromium to run them'
	@$(BIN)/python -m pytest $(BROWSER) $(PYTEST_ARGS)

test-matrix: ## run the fast part of the suite on Python 3.11 and 3.13, where they are installed
	@for version in 3.11 3.13; do \
	  VENV=.venv-$$version WORKBENCH_PYTHON=$$version .ci/bootstrap dev && \
	  .venv-$$version/bin/python -m pytest -m "not browser and not slow" $(PYTEST_ARGS) || exit 1; \
	done

kernels: ## run the first cells and the quickstart on ipykernel 6.30, 7.3, 7.4 and the newest
	$(BOOTSTRAP) dev
	@VENV="$(VENV)" .ci/kernels

binder: ## make an environment as Binder does, and run every notebook in it
	$(BOOTSTRAP) dev
	@VENV="$(VENV)" .ci/binder

lint: ## style, types, layers, and notebooks without outputs
	$(BOOTSTRAP) dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python .ci/stripped.py

format: ## format the code, strip the notebooks, refresh the README's tree and the published schema
	$(BOOTSTRAP) dev
	@$(BIN)/ruff check --fix --quiet . && $(BIN)/ruff format .
	@$(BIN)/python .ci/stripped.py --fix
	@$(BIN)/python tests/project/readme_tree.py
	@$(BIN)/python docs/schemas/generate.py

bench: ## run the benchmarks and print their figures
	$(BOOTSTRAP) dev
	@for script in tests/benchmarks/bench_*.py; do echo "== $$script" && $(BIN)/python -m "tests.benchmarks.$$(basename "$$script" .py)" || exit 1; done

N ?= 100000
fuzz: ## run N generated programs (100,000) on both sandbox engines and on CPython; any difference fails
	$(BOOTSTRAP) dev
	@nice $(BIN)/python -m tests.sandbox.differential $(N)

clean: ## remove environments, caches and build results; the records in .workbench/ stay
	rm -rf .venv .venv-* build dist out .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
