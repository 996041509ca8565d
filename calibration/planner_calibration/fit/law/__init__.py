"""Fits of the loss law: runs in a CSV to coefficients, intervals and a verdict."""
