"""Chaos runs: generations over several rehearsal servers while everything is killed and stopped."""
