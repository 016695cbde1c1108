# Everything that one does with this project. `make help` lists it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Tests wait for the programs they start: five at a time keep two processors busy. More start more
# stacks, each of their own: eight took a fifth more CPU, and longer.
PROCESSES ?= 5
READY  := $(VENV)/.installed
PIP    := $(BIN)/python -m pip install -qq --disable-pip-version-check
LOCKED := --no-deps --require-hashes -r requirements.lock
# Whatever the environment says: what Python compiled once, the next process need not.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help install demo up test check lint bench bench-api bench-sweep bench-page chaos fix lock clean

help:  ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY)  ## Set up .venv with everything the project needs
$(READY): requirements.lock pyproject.toml
	@echo "Setting up $(VENV) (about a minute, once) …"
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	  || { echo "Python 3.11, 3.12 or 3.13 is needed; say which with: make install PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# uv takes a quarter of pip's time. It knows none of pip's settings but is told of a mirror;
	@# what it cannot get with that, pip does: a new one, as that of Python 3.11 takes 13 s more.
	@mirror=$$($(BIN)/python -m pip config list | sed -n "s/.*\.index-url='\(.*\)'/\1/p" | tail -n 1); \
	  $(PIP) 'uv>=0.13' && env $${mirror:+UV_DEFAULT_INDEX="$$mirror"} \
	    $(BIN)/uv pip install -q --system-certs --python $(BIN)/python $(LOCKED) \
	  || { $(PIP) 'pip>=25' && $(PIP) --no-compile $(LOCKED); }
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

demo: install  ## Start everything, render a small production, show where it is, stop
	@$(BIN)/anime demo

up: install  ## Start everything and keep it running until Ctrl-C
	@$(BIN)/anime up

test: install  ## Run every test, five at a time; other: make test PROCESSES=2
	@$(BIN)/python -m pytest --numprocesses $(PROCESSES)

check: lint  ## What each commit must pass: lint, and the unit tests
	@$(BIN)/python -m pytest tests/unit -q

lint: install  ## What is seen without running anything: ruff, mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@# On a busy machine its workers may not start within its 3 s: it fails with 2, and runs alone.
	@$(BIN)/mypy --num-workers auto || { test $$? -eq 2 && $(BIN)/mypy; }

bench: install  ## Measure this project beside a bare client; one: make bench NAME=batch
	@$(BIN)/python -m benchmarks $(NAME)

bench-api: install  ## Measure the API: submits, status, events to many clients
	@$(BIN)/python -m benchmarks status events submit

bench-sweep: install  ## Measure sweeps beside a bare script and find, and every kind of search
	@$(BIN)/python -m benchmarks.sweep

bench-page: install  ## Measure the page in a browser, on a library of a million files
	@$(BIN)/python -m benchmarks.page

chaos: install  ## 1,000 generations while all is killed and stopped; again: make chaos SEED=7
	@$(BIN)/python -m benchmarks.chaos $(if $(SEED),--seed $(SEED)) $(if $(GENERATIONS),--generations $(GENERATIONS))

fix: install  ## Format with ruff, and correct what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: install  ## Rewrite requirements.lock
	@$(PIP) 'uv>=0.13'
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --all-extras --output-file requirements.lock pyproject.toml

clean:  ## Remove .venv and caches (never your pictures)
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache *.egg-info
