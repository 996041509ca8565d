"""A small serving engine in torch: what measures a machine that has no vLLM."""
