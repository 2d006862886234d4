# Two commands on a fresh machine: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup readers stores demo test test-all lint check format chaos clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-9s %s\n", $$1, $$2}'

setup: $(READY) ## Install into .venv all that demo and tests need; the others do so the first time

$(READY): pyproject.toml constraints.txt
	@echo "Installing torch, OpenVINO and what the tests need into $(VENV): minutes, and 6.5 GB of disk on Linux."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,openvino,builtin,heif]'
	@touch $@

readers: .readers/.ready ## Install into .readers the programs that results are written for, so that tests can ask them

.readers/.ready: tests/output/readers.txt
	$(PYTHON) -m venv .readers
	.readers/bin/python -m pip install --quiet --disable-pip-version-check -r tests/output/readers.txt
	@touch $@

stores: .stores/.ready ## Install into .stores a server that speaks S3, so that tests have a store

.stores/.ready: tests/stores/requirements.txt
	$(PYTHON) -m venv .stores
	.stores/bin/python -m pip install --quiet --disable-pip-version-check -r tests/stores/requirements.txt
	@touch $@

demo: $(READY) ## Run the main job on sample_images, with the model that is built in: after setup, no download
	$(BIN)/yolocli detect sample_images --model builtin --output demo-out --overwrite --report
	@echo
	@echo "Try your own folder:"
	@echo "  $(BIN)/yolocli detect FOLDER --model builtin --report"
	@echo "Look at what was found: open $(CURDIR)/demo-out/report.html"

test: $(READY) ## Run the tests, but for the slow ones: under 3 minutes on two cores
	$(BIN)/python -m pytest -m 'not slow' -n logical --maxprocesses 4

test-all: $(READY) ## Run all tests: kills, full disks, the benchmark and the scene generator, too
	$(BIN)/python -m pytest

lint: $(READY) ## Format, lint, types, import contract
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test-all ## lint, then test-all

format: $(READY) ## Put the code in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

chaos: $(READY) ## Kill, starve and feed it rubbish, for long
	$(BIN)/python -m pytest tests/chaos --long

clean: ## Remove what make made
	rm -rf $(VENV) .readers .stores demo-out dist build
