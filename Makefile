# Every target works from a fresh clone; PYTHON picks another interpreter (3.11 or newer).
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

# A worker for each core and one more, as many tests wait for what they test; one that has nothing left takes from the
# others.
WORKERS = $(shell $(BIN)/python -c 'import os; print(os.cpu_count() + 1)')
PYTEST  = $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal

# Where the tests of the fault rows keep what they measured.
FIGURES := $(CURDIR)/.faults.jsonl

.PHONY: help install demo test quick full simulate faults lint format docs lock bench clean

help:            ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.test: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group test
	touch $@

$(VENV)/.lint: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group lint
	touch $@

install: $(STAMP) ## the program into .venv

demo: $(STAMP)   ## the main job on real input: rules, a host, an app that breaks and recovers
	$(BIN)/python -m tests.demo

test: $(VENV)/.test ## every test
	$(PYTEST)

quick: $(VENV)/.test ## the tests that take under a minute
	$(PYTEST) -m "not slow"

full: $(VENV)/.test ## the slow tests with as many trials as docs/ gives figures for, and the figures
	ALERTING_FULL=1 $(PYTEST) -m slow -rP --timeout 7200

simulate: $(VENV)/.test ## faults by seed in virtual time: SEEDS=200 HOURS=2, SEED=7 replays one, MISTAKES=1 (docs/simulator.md)
	$(BIN)/python -m tests.simulate $(if $(SEED),--seed $(SEED) $(if $(HOURS),--hours $(HOURS)),\
		$(if $(MISTAKES),--mistakes,--seeds $(or $(SEEDS),200) --hours $(or $(HOURS),2)))

faults: $(VENV)/.test ## the fault rows in full, into docs/faults.md; ROW=F9 runs one and prints it (KEEP=1 puts it there), SEED=7 plays it again, SHORT=1 quickly
	@rm -f $(FIGURES)
	files=$$($(BIN)/python -m tests.faults --files $(or $(ROW),all)) || exit; \
	ALERTING_FULL=$(if $(SHORT),0,1) ALERTING_FIGURES=$(FIGURES) ALERTING_ROWS=$(or $(ROW),all) \
		$(if $(SEED),ALERTING_SEED=$(SEED)) $(PYTEST) --timeout 1800 -p no:randomly \
		--continue-on-collection-errors $$files; ran=$$?; \
	$(BIN)/python -m tests.faults $(FIGURES) $(if $(SHORT),,$(if $(ROW),$(if $(KEEP),docs/faults.md --keep),docs/faults.md)) && exit $$ran

lint: $(VENV)/.lint ## ruff and mypy, as in CI
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.lint
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

docs: $(STAMP)   ## the tables of keys in docs/, made from the schemas
	$(BIN)/python -m alerting.config.reference docs/routing.md docs/rules.md docs/settings.md docs/testing.md

# The image's extras; docs/deployment.md says what each is for.
EXTRAS := aws,buttons,dns,pictures,postgres,sentry,web
COMPILE = $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-annotate --custom-compile-command "make lock"
comma := ,

lock: $(STAMP)   ## what the image installs, by version and hash: requirements.lock; EXTRAS=apprise,web for others
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group lock
	$(COMPILE) $(foreach each,$(subst $(comma), ,$(EXTRAS)),--extra $(each)) pyproject.toml --output-file requirements.lock
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
		| $(COMPILE) - --output-file requirements-build.lock

bench: $(VENV)/.test ## figures, as ratios in one run
	$(BIN)/python -m tests.bench

clean:           ## removes the environment and what the tools keep
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis $(FIGURES)
