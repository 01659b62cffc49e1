# Every target installs what it needs by itself: Python 3.11, make and git are enough.
PYTHON ?= python3
BIN := .venv/bin
INPUTS := uv.lock pyproject.toml $(wildcard packages/*/pyproject.toml)

.PHONY: install demo test check bench format clean
install: .venv/installed

.venv/installed: $(INPUTS)
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv sync --quiet --frozen --all-packages
	@touch $@

demo: install ## the mission on an empty machine: one server, real agents, a table at the end
	@$(BIN)/python -m outfitter_fleet.demo $(if $(KEEP),--keep)

test: install ## every test
	@$(BIN)/python -m pytest -q

check: install ## format, lint, types, import walls
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: install
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: install ## the benchmarks, as tables
	@$(BIN)/python -m outfitter_fleet.load

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .demo
