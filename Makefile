# Every target sets up what it needs: `.venv` in this folder, made again when pyproject.toml's dependencies change.
# On a fresh machine: Python 3.11 or newer with pip and venv, and make. Another Python: make PYTHON=python3.12 test

PYTHON ?= python3
PY := .venv/bin/python
# What `make format` rewrites and `make pytest` runs: all of it, or e.g. `make format FILES=src/treadle/ops`
FILES ?=

.DEFAULT_GOAL := help
.PHONY: help environment bench demo test test-all lint format types imports docs board-pictures docs-check pytest wheel nightly smoke clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-20s %s\n", $$1, $$2}'

environment: ## .venv with treadle (editable) and the development tools
	@$(PYTHON) tools/environment.py

# The matrices are small: threads of BLAS inside each product would cost more than they give.
demo: environment ## train a small convolutional network on handwritten digits; results in demo/
	@OPENBLAS_NUM_THREADS=$${OPENBLAS_NUM_THREADS:-1} $(PY) -m treadle demo

test: environment ## lint, format, types, import contracts, tests, doctests of sources and pages
	@$(PY) tools/check.py

test-all: environment ## the same, with the tests marked slow and those that compare with PyTorch and Keras
	@$(PYTHON) tools/environment.py oracles
	@$(PY) tools/check.py --slow

lint: environment ## ruff's rules, formatting and the import contracts
	@$(PY) tools/check.py --only lint format imports

types: environment ## mypy
	@$(PY) tools/check.py --only types

imports: environment ## the import contracts of the house
	@$(PY) tools/check.py --only imports

docs: environment ## the pages that are made by running things: docs/primitives.md, docs/errors.md, docs/how-it-works/accuracy.md
	@$(PY) tools/make_primitives_table.py
	@$(PY) tools/make_errors_page.py
	@$(PY) tools/make_math_table.py

board-pictures: environment ## docs/pictures/board-*.png, in Chromium (apt-get install chromium; npm install playwright-core)
	@$(PY) tools/make_board_pictures.py

docs-check: environment ## the pages: every >>> block gives what it shows, every link leads somewhere
	@$(PY) -m pytest tests/test_docs.py README.md docs

pytest: environment ## tests alone: make pytest FILES="tests/core -x"
	@$(PY) -m pytest $(FILES)

format: environment ## rewrite the sources in the house's format and fix what ruff can: make format FILES=src/treadle/ops
	@$(PY) -m ruff check --fix-only --quiet $(or $(FILES),.)
	@$(PY) -m ruff format $(or $(FILES),.)

# The other toolkits' versions of the workloads, with their runner; PEER_PYTHON_TORCH, … name interpreters that have them.
PEERS ?= ../shared/peers

bench: environment ## treadle beside other toolkits, in one run: benchmarks/RESULTS.md (PEERS=folder, BENCH="--rounds 1 ...")
	@$(PY) tools/bench.py --peers $(PEERS) $(BENCH)

wheel: environment ## dist/: the source archive, and the wheel built from it
	@$(PY) -m build --outdir dist

nightly: environment ## dist/: a wheel with today's date as development version; the tree stays as it is
	@$(PY) tools/nightly.py --outdir dist

smoke: environment ## build a wheel, install it alone in an empty environment, and run it there
	@$(PY) tools/smoke.py

clean: ## remove what make made
	rm -rf .venv .venv.lock build dist demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests tools docs examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
