"""Ahead-of-time compilation for devices that are not there, and what can be read of the result (compile_for.py)."""
