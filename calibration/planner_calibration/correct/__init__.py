"""Correct a speed profile with a machine's own runs: the fit behind `planner calibrate fit`."""
