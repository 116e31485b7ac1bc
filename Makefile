# make demo    set up, then the whole pipeline on a made-up corpus: under three minutes, no network but the package index
# make test    set up, check, then all quick tests

PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
DEMO   := .demo
BENCH  := .bench

.PHONY: help setup demo test test-all check format lock bench faults clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# //p' Makefile
	@echo "make test-all  the heavy tests as well"
	@echo "make check     formatter, linter and type checker"
	@echo "make format    let the formatter and the linter mend what they can"
	@echo "make lock      choose new versions for the lock file"
	@echo "make faults    kill, stop, fill up and cut off whole runs on a simulated cluster, and compare what is left"
	@echo "make bench     speed and memory beside alibi and captum; BENCH_OPTIONS=\"--reviews DIR --model DIR\""

setup: $(READY)

# Everything goes into .venv, from the lock file, and is done again only when that or the project's settings change.
$(READY): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "error: no $(PYTHON); expected Python 3.11; install it or set PYTHON=..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
		|| { rm -rf $(VENV); echo "error: $(PYTHON) cannot make a virtual environment; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "installing into $(VENV) (3 GB, minutes the first time)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

demo: $(READY)
	@rm -rf $(DEMO)
	$(BIN)/python -m jobs.finetune --recipe tiny --dataset demo --out $(DEMO)/model
	$(BIN)/python -m jobs.explain --dataset demo --model $(DEMO)/model --run $(DEMO)/run --actors 2 --chunk-rows 50
	$(BIN)/python -m jobs.aggregate $(DEMO)/run
	$(BIN)/python -m jobs.report $(DEMO)/run

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: check
	$(BIN)/pytest --numprocesses 2 --dist loadfile

test-all: check
	$(BIN)/pytest -m ""

lock: $(READY)
	$(BIN)/uv pip compile --python-version 3.11 --python-platform linux --generate-hashes --group dev --quiet -o requirements.lock pyproject.toml

$(BENCH)/packages/.ready: tests/benchmarks/requirements.txt
	@echo "installing torch and captum into $(BENCH)/packages (1 GB)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(BENCH)/packages -r $< \
		&& touch $@ || echo "note: they could not be installed; captum is left out"

bench: $(READY) $(BENCH)/packages/.ready
	$(BIN)/python -m tests.benchmarks.speed --packages $(BENCH)/packages --out $(BENCH) $(BENCH_OPTIONS)

faults: $(READY)
	$(BIN)/python -m tests.faults --out tests/faults/results/faults.json

clean:
	rm -rf $(VENV) $(DEMO) *.egg-info .pytest_cache .mypy_cache .ruff_cache
