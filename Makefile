# The commands that people and CI use. Works with GNU make 3.81 and newer; `make` alone lists them.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
SHELL := /bin/sh
# Where `make` is called from sits in every path below as ".", so that spaces in it do no harm.
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?= -n 3 --dist worksteal

# Images of Python often set it: each process that is started would compile the application, each worker all tests, anew.
unexport PYTHONDONTWRITEBYTECODE

# Rebuilt when the interpreter in it does not run, is too old, or when the clone has been moved.
VENV_WORKS := $(shell $(BIN)/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && \
	{ [ ! -f $(VENV)/.runtime ] || [ "`cat $(VENV)/.runtime`" = "`pwd -P`" ]; } && \
	{ [ ! -f $(VENV)/.runtime ] || [ -x $(BIN)/webhook-app ]; } && echo yes)

# What all pinned wheels are for comes first (`make wheels`), before that what the tests have run on; a plain python3 may be
# newer. Whether one really runs is tried: a shim may not.
PYTHON ?=
PYTHONS := $(if $(PYTHON),"$(PYTHON)",python3.13 python3.12 python3.11 python3.14 python3)

.PHONY: help
help:  ## what there is (this list)
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1|\2/p' Makefile | while IFS='|' read -r name what; do \
		printf '  %-12s %s\n' "$$name" "$$what"; done

.PHONY: setup
setup: $(VENV)/.runtime  ## the virtual environment in .venv/, with .venv/bin/webhook-app
	@:

.PHONY: run
run: setup  ## sets up and starts everything on the embedded defaults; Ctrl-C stops all of it
	@exec $(BIN)/webhook-app run

.PHONY: test
test: $(VENV)/.dev  ## sets up and runs the tests (PYTEST_ARGS="-k name" picks some)
	@exec $(BIN)/python -m pytest $(PYTEST_ARGS)

.PHONY: screenshots
screenshots: $(VENV)/.dev  ## a picture of every page, 1280 and 390 pixels wide, light and dark, in screenshots/ (needs chromium)
	@exec $(BIN)/python -m pytest -q tests/browser/screenshots.py $(PYTEST_ARGS)

.PHONY: lint
lint: $(VENV)/.dev  ## format, lint, types, import contracts and what migrations send to PostgreSQL
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m mypy
	@$(BIN)/lint-imports
	@DATABASE_URL=postgresql:// $(BIN)/alembic upgrade 0006:head --sql >$(VENV)/migrations.sql
	@$(BIN)/squawk --config migrations/squawk.toml $(VENV)/migrations.sql

.PHONY: check
check: lint  ## all checks: lint, then the tests
	@$(MAKE) test

.PHONY: chaos
chaos: $(VENV)/.dev  ## kills, freezes and floods everything on both databases, some 12 minutes (CHAOS_SEED=n repeats)
	@exec $(BIN)/python -m tests.chaos $(CHAOS_ARGS)

.PHONY: simulate
simulate: $(VENV)/.dev  ## the real use cases in virtual time, 200 seeds (SIM_SEEDS=n, SIM_SEED=one, SIM_ARGS=--help)
	@exec $(BIN)/python -m tests.simulate $(SIM_ARGS)

.PHONY: alarms
alarms: $(VENV)/.dev  ## eight faults, and who is told of each: mail, program, page, Prometheus; a quarter of an hour (root)
	@exec $(BIN)/python -m tests.alarms $(ALARMS_ARGS)

.PHONY: missed
missed: $(VENV)/.dev  ## 1,000 sessions while webhooks are lost, twice, about 6 minutes (MISSED_ARGS=--help)
	@exec $(BIN)/python -m tests.missed $(MISSED_ARGS)

.PHONY: silence
silence: $(VENV)/.dev  ## 1,500 silent connections of each kind beside webhooks, about 4 minutes (SILENCE_ARGS=--help)
	@exec $(BIN)/python -m tests.silence $(SILENCE_ARGS)

.PHONY: fuzz
fuzz: $(VENV)/.dev  ## sends 10,000 hostile requests to a real web process on each database, about 10 minutes (FUZZ_ARGS)
	@exec $(BIN)/python -m tests.fuzz $(FUZZ_ARGS)

.PHONY: stress
stress: $(VENV)/.dev  ## all that writes at once on PostgreSQL, ten minutes; no deadlock may reach a caller (STRESS_ARGS)
	@exec $(BIN)/python -m tests.stress $(STRESS_ARGS)

.PHONY: bench
bench: $(VENV)/.dev  ## measures speed and memory beside peers, about an hour (BENCH_ARGS="--only ingest", --small, --help)
	@exec $(BIN)/python -m benchmarks $(BENCH_ARGS)

# pip picks wheels for the platform and Python that are named, but reads markers (`; sys_platform == …`) for its own.
LINUX = $(foreach glibc,manylinux_2_28 manylinux_2_17 manylinux2014,--platform $(glibc)_$(1))
.PHONY: wheels
wheels: $(VENV)/.runtime  ## looks whether all pins have wheels for every platform and Python (some minutes)
	@for platform in "$(call LINUX,x86_64)" "$(call LINUX,aarch64)" "--platform macosx_11_0_arm64"; do \
		for version in 3.11 3.12 3.13 3.14; do \
			echo "Python $$version $$platform"; \
			$(call install,--dry-run --target build/none --only-binary=:all: --implementation cp \
				--python-version $$version $$platform -r requirements-dev.txt); \
		done; \
	done
	@echo "Everything installs from wheels."

.PHONY: clean
clean:  ## removes the virtual environment and the tools' caches; never the data in var/
	@rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp holds the folder that the environment was made for; it is written last, so a set-up cut short is done again.
$(VENV)/.runtime: pyproject.toml requirements.txt $(if $(VENV_WORKS),,rebuild)
	@[ -n "$(VENV_WORKS)" ] || $(MAKE) $(VENV)/.python
	@echo "Installing what requirements.txt pins ..."
	@$(call install,-r requirements.txt)
	@$(call install,--no-deps --no-build-isolation -e .)
	@pwd -P > $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.txt
	@echo "Installing what requirements-dev.txt pins ..."
	@$(call install,-r requirements-dev.txt)
	@touch $@

.PHONY: rebuild
rebuild:

.PHONY: $(VENV)/.python
$(VENV)/.python:
	@for python in $(PYTHONS); do \
		if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
			echo "Making $(VENV) with `"$$python" --version` ..."; \
			rm -rf $(VENV) && exec "$$python" -m venv $(VENV); \
		fi; \
	done; \
	if [ -n "$(PYTHON)" ]; then \
		echo "$(PYTHON) does not run, is older than 3.11 or has no venv module." >&2; \
	else \
		echo "No Python 3.11 or newer with its venv module was found on the PATH." >&2; \
		echo "Install one (apt install python3 python3-venv, brew install python@3.13)" >&2; \
		echo "or name one: make setup PYTHON=/path/to/python3.13" >&2; \
	fi; exit 1

# pip's words are shown only when it fails.
install = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input $(1) \
	>$(VENV)/pip.log 2>&1 || { cat $(VENV)/pip.log >&2; exit 1; }
