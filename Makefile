# `make demo` and `make test` are all a newcomer needs: each makes .venv and installs what is missing.
PYTHON ?= python3
BIN := .venv/bin
UV := $(BIN)/uv
UV_VERSION := 0.13.9

.PHONY: demo test test-oldest lint types imports bench bench-peers screens lock clean install install-dev

demo: .venv/installed
	$(BIN)/signalbox demo $(DEMO)

test: .venv/installed-dev lint types imports
	$(BIN)/pytest $(PYTEST)
	$(MAKE) --no-print-directory test-oldest

# The journal on the oldest DuckDB that is allowed, in an environment of its own.
test-oldest: .venv/oldest/installed
	.venv/oldest/bin/python -m pytest tests/controlplane/edge/test_journal.py tests/controlplane/edge/test_archive.py

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/installed-dev
	$(BIN)/mypy

imports: .venv/installed-dev
	$(BIN)/lint-imports

bench: .venv/installed-dev
	$(BIN)/python -m tests.bench $(BENCH)

# Beside other systems' own servers, in one run; their clients are in an environment of their own.
bench-peers: .venv/peers/installed
	.venv/peers/bin/python -m tests.bench.peers $(BENCH)

# Every screen from frozen answers, SVG and PNG (which needs rsvg-convert); docs/ shows a running demo instead.
screens: .venv/installed-dev
	$(BIN)/python -m tests.console.screens build/screens

install: .venv/installed
install-dev: .venv/installed-dev

.venv/bin/uv:
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"Signalbox needs Python 3.11 or newer; {sys.executable} is {v[0]}.{v[1]}. Try: make PYTHON=python3.12 demo")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/installed: $(UV) requirements.lock pyproject.toml
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

.venv/installed-dev: .venv/installed requirements-dev.lock
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements-dev.lock
	@touch $@

.venv/oldest/installed: .venv/installed-dev
	$(UV) venv --quiet --clear --python $(BIN)/python .venv/oldest
	$(UV) pip install --quiet --python .venv/oldest/bin/python --require-hashes -r requirements-dev.lock
	$(UV) pip install --quiet --python .venv/oldest/bin/python duckdb==1.5.5
	@touch $@

.venv/peers/installed: .venv/installed pyproject.toml
	$(UV) venv --quiet --clear --python $(BIN)/python .venv/peers
	$(UV) pip install --quiet --python .venv/peers/bin/python --require-hashes -r requirements.lock
	$(UV) pip install --quiet --python .venv/peers/bin/python --group bench
	$(UV) pip install --quiet --python .venv/peers/bin/python --no-deps -e .
	@touch $@

# The lock files name versions and hashes, and no index: installs use the one that pip is set up for.
lock: $(UV)
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml -o requirements.lock
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml --group dev -o requirements-dev.lock

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
