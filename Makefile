# make experiment   sets everything up and runs the main job: a network learns real pictures
# make test         sets everything up and runs all tests
# make install      the set-up alone; make lint: ruff and mypy; make clean: removes the set-up

CANDIDATES := python3 python3.14 python3.13 python3.12 python3.11
PYTHON ?= $(or $(firstword $(foreach python,$(CANDIDATES),$(shell $(python) -c \
	'import sys; sys.version_info >= (3, 11) and print("$(python)")' 2>/dev/null))),false)
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
BIN := .venv/bin

.PHONY: experiment test lint install clean

experiment: .venv/installed
	$(BIN)/python manage.py create_demo_dataset data
	$(BIN)/python manage.py run_experiment --config experiments/digits.yaml

test: .venv/installed-dev
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: .venv/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

install: .venv/installed

clean:
	rm -rf .venv

.venv/installed: requirements.txt | $(BIN)/pip
	$(BIN)/pip install --quiet --requirement requirements.txt
	touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	$(BIN)/pip install --quiet --requirement requirements-dev.txt
	touch $@

$(BIN)/pip: requirements-apt.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed; install it, or name it: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -m venv .venv || { $(AS_ROOT) apt-get update && \
		$(AS_ROOT) apt-get install --yes $$(cat requirements-apt.txt) && $(PYTHON) -m venv --clear .venv; }
	touch $@
