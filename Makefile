# What one does here, by name; each line is also what CI runs.
.PHONY: setup test check bench docs wheel profiles

setup:            ## an environment with everything
	pip install -c constraints.txt -e '.[dev]'
test:             ## the fast tests, under three minutes
	pytest
check:            ## lint, types, import layers
	ruff check . && ruff format --check . && mypy && lint-imports
bench:            ## candidates a second, cold start
	python tests/bench/bench_search.py
docs:             ## refresh shown output, build the site
	python docs/blocks.py --write && mkdocs build --strict
wheel:            ## sdist and wheel in dist/
	python -m build
