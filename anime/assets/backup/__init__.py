"""Backups: made, proved and restored."""
