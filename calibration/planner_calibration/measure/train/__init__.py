"""Short real trainings of small Llama-style models: where the loss law gets its own data."""
