# Two commands on a fresh machine: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format bench chaos clean

help: ## Show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-8s %s\n", $$1, $$2}'

setup: $(READY) ## Make .venv with all that tests and demo need

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,openvino,builtin,heif]'
	@touch $@

demo: $(READY) ## Run the main job on sample_images, with the model that is built in
	$(BIN)/yolocli detect sample_images --model builtin --output demo-out --overwrite
	@echo
	@echo "Look at demo-out/detections.csv, demo-out/images.csv and demo-out/json/, and try your own folder:"
	@echo "  $(BIN)/yolocli detect FOLDER --model builtin"

test: $(READY) ## Run the tests
	$(BIN)/python -m pytest

check: $(READY) ## Format, lint, types, import contract, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest

format: $(READY) ## Put the code in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

chaos: $(READY) ## Kill, starve and feed it rubbish, for long
	$(BIN)/python -m pytest tests/chaos --long

clean: ## Remove what make made
	rm -rf $(VENV) demo-out dist build
