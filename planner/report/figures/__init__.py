"""Figures of a report, one a file, as plain data for Plotly.js: no plotting library is imported."""
