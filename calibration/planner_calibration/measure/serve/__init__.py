"""Serving, measured: real vLLM (or SGLang) in a process and, if need be, an environment of its own."""
