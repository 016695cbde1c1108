"""Prefect tasks: one side effect on one system each, then a plain value."""
