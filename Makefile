# Each target makes .venv first; nothing but python3 (3.11 or later, with venv) and make is needed.
#   demo      Shoal at work, in this terminal
#   test      format, lint, types, import contracts and every test that needs no other program
#   fuzz      mutated inputs for every decoder
#   interop   against independent programs, which are installed under .interop/
#   docs      the pages, as a site under site/
#   bench     each claim's table, the rival measured in the same call
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test fuzz interop bench docs clean

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
	$(BIN)/python -m tests.interop.install
	$(BIN)/python -m bench

docs: .venv/.ready
	$(BIN)/zensical build --strict

clean:
	rm -rf .venv .interop site .cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
