"""Measured rows → scenarios → scores."""
