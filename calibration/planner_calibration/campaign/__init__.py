"""A whole campaign on one machine: measure, fit and check within a time, by one command."""
