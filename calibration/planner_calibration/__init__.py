"""Measure, fit, use: the harness that corrects the planner on real machines."""
