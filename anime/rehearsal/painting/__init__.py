"""Placeholder frames: landscapes that follow the prompt and the seed, always the same ones."""
