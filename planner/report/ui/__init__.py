"""The page of `planner ui`, in a folder of its own.

Streamlit puts the script's folder first on the import path, where `html.py` of the report would stand
before the standard library's.
"""
