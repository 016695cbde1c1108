"""The library and its files: stored, inspected, imported, verified, archived."""
