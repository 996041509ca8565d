"""Equations of speed and memory, one topic a file; numbers only."""
