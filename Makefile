# Two commands: `make demo` and `make test`. Each sets up .venv first if need be.
.PHONY: demo test check bench fuzz examples clean help

PY := .venv/bin/python

help:
	@echo "make demo      set up, then extract facts from the packages installed on this machine"
	@echo "make test      set up, then run the tests (real llama.cpp, embedded model)"
	@echo "make check     lint and types (ruff, mypy, pyright)"
	@echo "make examples  run every example"
	@echo "make bench     the extraction benchmark beside other engines that are installed"
	@echo "make fuzz      ten minutes of random input to everything that takes user text"
	@echo "make clean     remove .venv and caches"

demo:
	@.ci/setup core
	@$(PY) examples/extract_metadata.py

test:
	@.ci/setup dev
	@$(PY) -m pytest

check:
	@.ci/setup dev
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(PY) -m pyright --pythonpath $(PY)

examples:
	@.ci/setup core
	@for f in examples/*.py; do echo "==> $$f"; $(PY) $$f || exit 1; done

bench:
	@.ci/setup dev
	@$(PY) tests/benchmarks/extraction.py

fuzz:
	@.ci/setup dev
	@$(PY) tests/fuzz/fuzz.py --seconds 600

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis out
