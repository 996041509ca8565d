"""Measure this machine: kernels, engines, trainings; appends to run files."""
