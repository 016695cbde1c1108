"""Telling other systems that a generation has ended, at least once."""
