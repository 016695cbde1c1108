"""Prefect flows: which tasks, in which order."""
