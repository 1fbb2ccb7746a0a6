# The two commands of the README. Both make what they need: a virtual environment, and avshot installed in it.
#   make demo      render videos, learn from them, recognise a class without a single training clip
#   make test      install with the tools of the developers and run the tests
# And for developers: make slow (tests that take long), check (lint, types), newest (the newest Python and PyAV), lowest
# (the oldest release of every dependency).

PYTHON ?= python3
VENV ?= .venv
# Test processes at a time, each on one thread.
JOBS ?= 2
DEMO ?= demo

.PHONY: demo test slow check newest lowest clean

demo: $(VENV)/.installed
	$(VENV)/bin/avshot demo $(DEMO)

test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n $(JOBS) -q -m "not slow"

slow: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n $(JOBS) -q -m slow

check: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

newest:
	JOBS=$(JOBS) .ci/newest

lowest:
	JOBS=$(JOBS) .ci/lowest

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "avshot needs Python 3.11 or newer; name one, for example: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Developers' installation holds everything the plain one does, so either file will do for the demo.
$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	test -e $(VENV)/.installed-dev || $(VENV)/bin/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) $(DEMO)
