# make demo, test, fuzz, interop, bench, docs: each makes .venv first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test fuzz interop bench clean

.venv/.ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch .venv/.ready

demo: .venv/.ready
	$(BIN)/shoal demo

test: .venv/.ready
	./check

fuzz: .venv/.ready
	$(BIN)/python -m tests.fuzz

interop: .venv/.ready
	$(BIN)/python -m tests.interop

bench: .venv/.ready
	$(BIN)/python -m bench

clean:
	rm -rf .venv .interop .mypy_cache .ruff_cache .hypothesis
