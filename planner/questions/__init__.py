"""A room a question, named as its command: each is thin over the scenario."""
