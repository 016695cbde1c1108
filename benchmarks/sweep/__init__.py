"""Sweeps and searches beside bare programs that do only what is indispensable."""
