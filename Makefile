PYTHON ?= python3
VENV := .venv
TRAIN_VENV := .venv-train
TFLITE_VENV := .venv-tflite
HOME_VENV := .venv-homeassistant
PYTHON313 ?= $(firstword $(wildcard $(HOME)/.pyenv/versions/3.13.*/bin/python3.13) python3.13)
NODE_RED := 4.1.15
PIP := -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help venv demo test test-boards test-system test-edge test-train test-pythons check format bench wheel bundle tflite homeassistant node-red lock clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 16

venv: $(VENV)/done ## .venv with everything but the training side

demo: venv ## the main job: a moving scene, an embedded broker, events
	$(VENV)/bin/maskgate demo

# make -j3 test: three at once; those of the system wait for other programs most of the time.
test: test-boards test-system test-train test-edge ## all tests

# Emulated boards, and a container that boots.
BOARDS := $(patsubst %,tests/system/test_%.py,aarch64 bundle systemd unit_file)

test-boards: venv
	$(VENV)/bin/pytest $(BOARDS)

test-system: venv
	$(VENV)/bin/pytest tests/system $(BOARDS:%=--ignore %)

test-edge: venv
	$(VENV)/bin/pytest --ignore tests/system --ignore tests/train

# TensorFlow has an environment of its own: what runs on a board is then tested without it, as it runs there.
test-train: $(TRAIN_VENV)/done
	$(TRAIN_VENV)/bin/pytest tests/train

# make -j2 test-pythons: two at once
test-pythons: test-python-3.11 test-python-3.12 test-python-3.13 ## the main tests with each Python
test-python-%:
	tests/with_python.sh $*

check: venv ## format, lint, types
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

format: venv ## put the code in form
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

bench: venv ## what this machine can do
	$(VENV)/bin/maskgate bench

wheel: venv ## dist/*.whl
	$(VENV)/bin/python -m hatchling build -t wheel

# Another machine: make bundle MACHINE=x86_64. Fewer versions of Python, fewer megabytes: make bundle PYTHONS=3.11
MACHINE ?= aarch64
PYTHONS ?= 3.11 3.12 3.13
bundle: venv ## dist/maskgate-*.tar: all that a board without a network needs
	$(VENV)/bin/python deploy/bundle.py --machine $(MACHINE) $(PYTHONS:%=--python %) --output dist

# The second runtime, which aarch64 boards with Python 3.11 use. It needs numpy 1, so it cannot share an environment.
tflite: $(TFLITE_VENV)/done ## .venv-tflite with tflite-runtime (Python 3.11 only)

# Another Python and 375 MB, so an environment of its own; without it the tests of Home Assistant are skipped.
homeassistant: $(HOME_VENV)/done ## .venv-homeassistant with a Home Assistant core for tests (Python 3.13 only)

# 120 MB, for the test of the flow in docs/events.md; without it that test is skipped. Needs Node.js 18.5 or newer.
node-red: .node-red/done ## .node-red with Node-RED for tests (needs npm)

lock: ## resolve the lock files anew (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--extra web pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--extra demo --extra web --extra cluster --extra browser --extra dev pyproject.toml -o requirements-dev.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--extra demo --extra train --extra dev pyproject.toml -o requirements-train.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		requirements-tflite.in -o requirements-tflite.lock
	uv pip compile --quiet --universal --python-version 3.13 --no-deps --generate-hashes --no-annotate --no-header \
		requirements-homeassistant.in -o requirements-homeassistant.lock

clean:
	rm -rf $(VENV) $(TRAIN_VENV) $(TFLITE_VENV) $(HOME_VENV) .node-red dist

$(VENV)/done: requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python $(PIP) --require-hashes -r requirements-dev.lock
	$(VENV)/bin/python $(PIP) --no-deps --no-build-isolation -e .
	touch $@

$(TRAIN_VENV)/done: requirements-train.lock pyproject.toml
	$(PYTHON) -m venv $(TRAIN_VENV)
	$(TRAIN_VENV)/bin/python $(PIP) --require-hashes -r requirements-train.lock
	$(TRAIN_VENV)/bin/python $(PIP) --no-deps --no-build-isolation -e .
	touch $@

$(TFLITE_VENV)/done: requirements-tflite.lock
	python3.11 -m venv $(TFLITE_VENV)
	$(TFLITE_VENV)/bin/python $(PIP) --require-hashes -r requirements-tflite.lock
	touch $@

$(HOME_VENV)/done: requirements-homeassistant.lock
	$(PYTHON313) -m venv $(HOME_VENV)
	$(HOME_VENV)/bin/python $(PIP) --no-deps --require-hashes -r requirements-homeassistant.lock
	touch $@

.node-red/done: Makefile
	npm install --silent --no-audit --no-fund --no-package-lock --prefix .node-red node-red@$(NODE_RED)
	touch $@
