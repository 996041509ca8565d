# What one does here, by name; each line is also what CI runs.
.PHONY: setup test slow mutants check bench docs wheel ci

setup:            ## an environment with everything
	pip install -c constraints.txt -e '.[dev]'
test:             ## the quick tests, two at a time; the last lines say what was left out
	pytest -n 2
slow:             ## the tests that take seconds or torch, with new examples for every property
	HYPOTHESIS_PROFILE=deep pytest -n 2 -m "(torch or train or slow) and not (vllm or ray or browser or mcp or fuzz)"
mutants:          ## faults put in on purpose, which tests must find
	python tests/mutation/mutate.py fixed
check:            ## lint, types, import layers
	ruff check . && ruff format --check . && mypy && lint-imports
bench:            ## candidates a second, cold start
	python tests/bench/bench_search.py
docs:             ## refresh shown output, build the site
	python docs/blocks.py --write && mkdocs build --strict
wheel:            ## sdist and wheel in dist/
	python -m build
ci:               ## everything, from fresh environments
	.ci/run
