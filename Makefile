# One-line commands for people and machines. Needs Python 3.11 or later, git and make.
.PHONY: run test test-services kills races faults bench lint format lock screenshots clean

PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
RUN_STAMP := $(VENV)/.installed-run
DEV_STAMP := $(VENV)/.installed-dev

run: $(RUN_STAMP)
	@$(PY) manage.py run_platform

test: $(DEV_STAMP)
	$(PY) -m pytest -n auto -m "not services"

# All tests that use a database or cache, and more, on a private PostgreSQL and Redis: side by side first, and
# then, each alone on the machine, the campaigns that kill, freeze and starve real processes.
test-services: $(DEV_STAMP)
	$(PY) tests/services/run.py -- -n auto

# Only the campaigns with real processes, about six minutes. KILL_SEED=n repeats one's choices.
kills: $(DEV_STAMP)
	$(PY) tests/services/run.py -- tests/services/test_kill_campaign.py

# The race tests in full number: 1,000 rounds of 50 concurrent orders, 10,000 double approvals.
races: export RACE_ROUNDS ?= 1000
races: export RACE_APPROVALS ?= 10000
races: $(DEV_STAMP)
	$(PY) tests/services/run.py -- tests/concurrency --show-capture=no --durations=8

# The fault campaign in simulated time: make faults ORDERS=30000 SEED=7 CLASS=D (CLASS: D, N or both; without
# SEED a fresh one). One table; fails on a broken promise. docs/fault-campaign.md explains it.
faults: export ORDERS ?= 3000
faults: export CLASS ?= both
faults: $(DEV_STAMP)
	$(PY) -m benchmarks.faults --orders $(ORDERS) --class $(CLASS) $(if $(SEED),--seed $(SEED))

# The benchmarks: make bench, or make bench PARTS="post path". The machine should do nothing else meanwhile.
bench: $(DEV_STAMP)
	$(PY) -m benchmarks $(PARTS)

lint: $(DEV_STAMP)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy tradeplatform billing brokers portfolios risk orders
	$(VENV)/bin/djlint --lint --quiet templates
	$(VENV)/bin/lint-imports --no-cache
	$(PY) manage.py makemigrations --check --dry-run
	$(PY) tests/services/deploy_check.py

format: $(DEV_STAMP)
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

# Writes the pinned lists from the .in files; run it after changing them.
lock:
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet pip-tools
	$(VENV)-lock/bin/pip-compile --quiet --no-emit-index-url --no-emit-find-links --strip-extras -o requirements.txt requirements.in
	$(VENV)-lock/bin/pip-compile --quiet --no-emit-index-url --no-emit-find-links --strip-extras -o requirements-dev.txt requirements-dev.in
	rm -rf $(VENV)-lock

screenshots: $(DEV_STAMP)
	$(PY) -m pytest tests/browser -m screenshots

clean:
	rm -rf $(VENV) var

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed.") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

# A stamp is newer than the list it was installed from, so a second start installs nothing.
$(RUN_STAMP): requirements.txt | $(PY)
	@test -f $(DEV_STAMP) -a $(DEV_STAMP) -nt requirements.txt || $(PY) -m pip install --disable-pip-version-check --quiet --no-input -r requirements.txt
	@touch $@

$(DEV_STAMP): requirements.txt requirements-dev.txt | $(PY)
	$(PY) -m pip install --disable-pip-version-check --quiet --no-input -r requirements-dev.txt
	@touch $@
