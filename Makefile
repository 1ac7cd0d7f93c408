# Everything runs in .venv, made on first use and again when pyproject.toml or constraints.txt change.

PYTHON  ?= $(shell command -v python3.11 || command -v python3)
VENV    := .venv
BIN     := $(VENV)/bin
STAMP   := $(VENV)/.installed
OUT     := build/lossproof
WORKERS ?= 2
EFFORT  ?= ci

PACKAGES := reference harness lossproof reports

# One thread a worker: no oversubscription, and sums come out in the same order everywhere.
OMP_NUM_THREADS ?= 1
export OMP_NUM_THREADS
# The tests start hundreds of processes: none of them compiles lossproof again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help report test trust lint setup clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

report: $(STAMP) ## run the suites over torch, write build/lossproof/report.html, print its path and a verdict
	@mkdir -p $(OUT)
	@$(BIN)/pytest suites/ -n $(WORKERS) -q --effort $(EFFORT) \
		--records $(OUT)/run.jsonl --stability-html $(OUT)/report.html

test: lint ## lint, then the tests of the instrument, then the suites over torch
	$(BIN)/pytest tests/ -n $(WORKERS) --dist worksteal -q
	$(BIN)/pytest suites/ -n $(WORKERS) -q --effort $(EFFORT)

trust: $(STAMP) ## everything that is too long for make test, at most 2 hours on 2 cores; writes docs/trust.md
	$(BIN)/python -m tests.trust --workers $(WORKERS)

lint: $(STAMP) ## ruff (rules and format) and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict --num-workers $(WORKERS) $(PACKAGES)

setup: $(STAMP) ## make .venv and install lossproof in it with the pinned versions

clean: ## remove .venv, build and every cache
	rm -rf $(VENV) build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	@echo "Setting up $(VENV) (once; torch is a large download)"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || \
		{ echo "lossproof needs Python 3.11 or later with venv (Debian: apt install python3-venv)" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,libraries]'
	@touch $@
