"""Webhooks: sent to other systems when a generation has ended, at least once."""
