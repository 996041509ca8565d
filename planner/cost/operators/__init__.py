"""The operators of a step, a file a family."""
