# Two commands are enough: `make run` and `make test`. `make help` lists the rest.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PY := .venv/bin/python
KB := .venv/bin/kb
# two processes, a file never in both; in order, since the short files come last
PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder
export UV_LINK_MODE ?= hardlink

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: ## Install everything that `make run` needs, but start nothing (TORCH=cpu: the small torch, where reachable)
	@TORCH=$(TORCH) deploy/setup.sh run

run: setup ## Start kb on http://127.0.0.1:8080 with the sample corpus; Ctrl-C stops it
	@exec $(KB) up --sample

setup-test: setup
	@deploy/setup.sh test

test: setup-test ## Lint, types, import contracts and all tests
	@$(MAKE) --no-print-directory check
	$(PY) -m pytest $(PARALLEL)

check: ## Lint, types and import contracts only
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports

eval: setup ## Score the sample corpus' own questions
	$(KB) eval data/sample

setup-bench: setup-test
	@deploy/setup.sh bench

bench: setup-bench ## Print the side-by-side tables of bench/ (long)
	$(PY) -m bench

soak: setup-test ## Fault tests that take longer than the suite may
	$(PY) -m pytest -m soak -o addopts="--import-mode=importlib" --timeout=3600

lock: ## Resolve the pinned, hash-locked dependencies anew
	deploy/lock.sh

clean: ## Remove the virtual environment and caches (data/state stays)
	rm -rf .venv .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info

.PHONY: help setup run setup-test test check eval setup-bench bench soak lock clean
