# One entry for everything a developer does here; `make` lists it.
# Every target makes or refreshes the environment first: a fresh clone needs no other command.

# PYTHON=… wins; else the first of these that really runs (a version manager's shim may not) and is 3.11 or 3.12.
PYTHON ?= $(shell for python in python3.12 python3.11 python3; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' >/dev/null 2>&1 \
	&& echo "$$python" && exit; done; echo python3)
IN = .venv/bin
SOURCES = web tasks workers sandbox stack bench tests docs/examples manage.py
# The type checker loads Django's settings, which refuse to load without these; it connects to nothing.
SETTINGS = SECRET_KEY=none FIELD_ENCRYPTION_KEYS=none DATABASE_URL=postgres://none/none REDIS_URL=redis://none/0
UV = $(shell command -v uv || echo .paydesk/uv/bin/uv)
COMPILE = $(UV) pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links -q --custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-once test test-unit bench chaos faults faults-rabbitmq alerts-check pooled-check ops-speed drill doctor fuzz guards check lint types contracts migrations format messages reference licences audit lock screenshots compose-check clean
MAKEFLAGS += --no-print-directory

help: ## list what can be done
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make or refresh the environment in .venv
	@$(PYTHON) stack/bootstrap.py

demo: setup ## start everything, sell something, and leave the site running (Ctrl-C ends it)
	@$(IN)/python -m stack.demo

demo-once: setup ## the same, and stop when it has sold
	@$(IN)/python -m stack.demo --once

test: setup ## every test, on real servers; ARGS="-k refund" narrows it
	@echo "logs of a stack that a test starts: .paydesk/run-*"
	@env -u DJANGO_SETTINGS_MODULE $(IN)/python -m pytest $(if $(ARGS),$(ARGS),-n 2)

test-unit: setup ## only the tests that start nothing
	@env -u DJANGO_SETTINGS_MODULE $(IN)/python -m pytest tests/unit $(ARGS)

chaos: setup ## customers buy while everything around them fails; SEED=7 SALES=3000
	@$(IN)/python -m stack.chaos --sales $(or $(SALES),3000) $(if $(SEED),--seed $(SEED))

faults: setup ## the fault tests in full size: dying at every single step, 300 sales in the chaos, ten at each of two tills
	@env -u DJANGO_SETTINGS_MODULE PAYDESK_FAULT_STRIDE=1 PAYDESK_CHAOS_SALES=300 PAYDESK_TILL_SALES=10 \
		$(IN)/python -m pytest tests/faults tests/browser/test_terminal.py $(ARGS)

faults-rabbitmq: setup ## processes die and are replaced with RabbitMQ as the broker (apt-get install rabbitmq-server)
	@env -u DJANGO_SETTINGS_MODULE $(IN)/python -m stack.rabbitmq $(IN)/python -m pytest \
		tests/faults/test_processes_die.py tests/faults/test_rolling_restart.py $(ARGS)

drill: setup ## start everything, then lose the broker and kill every worker under load
	@env -u DJANGO_SETTINGS_MODULE $(IN)/python -m pytest tests/faults/test_drills.py -s $(ARGS)

doctor: setup ## what is wrong with the installation of this environment's settings, and how to mend it
	@$(IN)/python manage.py doctor $(ARGS)

fuzz: setup ## a million bodies for the webhook address, in an hour at most, the API by its document, people in any order; PAYDESK_FUZZ_SEED, _BODIES, _SECONDS
	@env -u DJANGO_SETTINGS_MODULE PAYDESK_FUZZ=long $(IN)/python -m pytest tests/integration/webhooks/test_fuzz.py \
		tests/integration/api/test_fuzz.py tests/integration/payments/test_stateful.py \
		tests/integration/access/test_hostile.py --timeout 0 -s $(ARGS)

alerts-check: setup ## make every alert fire on a running stack and follow its runbook (apt-get install prometheus); ARGS="-k Stripe"
	@$(IN)/python -m stack.alerts $(ARGS)

pooled-check: setup ## sell through PgBouncer, read reports from a live replica, and lose it (apt-get install pgbouncer)
	@$(IN)/python -m stack.pooled

ops-speed: setup ## measure /ops/ with a million jobs and a million events; ARGS="--explain"
	@$(IN)/python -m stack.crowd $(ARGS)

guards: setup ## break each guard in a copy of the sources and see its test fail
	@$(IN)/python -m tests.faults.break_guards $(ARGS)

check: lint types contracts migrations ## style, types, the direction of imports, and migrations beside the last release

lint: setup ## style
	@$(IN)/ruff check $(SOURCES)
	@$(IN)/ruff format --check $(SOURCES)

types: setup ## types
	@$(SETTINGS) $(IN)/mypy $(SOURCES)

contracts: setup ## which package may import which
	@$(IN)/lint-imports

migrations: setup ## may every migration run while the previous release still serves?
	@$(SETTINGS) $(IN)/python manage.py check_migrations

format: setup ## put the code into the one style
	@$(IN)/ruff check --fix $(SOURCES)
	@$(IN)/ruff format $(SOURCES)

messages: setup ## extract what people read for translation, and compile the catalogues
	@$(SETTINGS) $(IN)/python -m stack.messages

reference: setup ## write docs/settings.md and docs/metrics.md from the sources
	@$(IN)/python -m stack.reference

licences: setup ## write docs/licences.md from the metadata of what is locked
	@$(IN)/python -m stack.licences

audit: setup ## is anything of the locks known to be vulnerable? 3: nobody could be asked
	@$(IN)/python -m stack.audit

lock: $(UV) ## resolve the dependencies again
	@$(COMPILE) --extra sandbox --extra telemetry -o requirements.lock
	@$(COMPILE) --extra sandbox --extra telemetry --group dev -c requirements.lock -o requirements-dev.lock

.paydesk/uv/bin/uv:
	@$(PYTHON) -m venv .paydesk/uv
	@.paydesk/uv/bin/pip install -q --disable-pip-version-check uv

bench: setup ## what Paydesk costs, beside its peers and limits; ARGS="webhooks jobs" narrows it
	@$(IN)/python -m bench $(ARGS)

screenshots: setup ## every page at 360 and 1280 px, light and dark, to be looked at
	@$(IN)/python -m stack.screenshots

compose-check: setup ## build and run compose.yaml, and check it from outside; COMPOSE_VERIFY=folder where there is no Docker
	@tests/compose/run $(COMPOSE_VERIFY)

clean: ## remove the environment, logs and caches
	@rm -rf .venv .paydesk .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage* htmlcov \
		test-results staticfiles
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
