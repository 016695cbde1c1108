"""Imported once all is loaded, by pytest and by a process from which others are forked.

Else each garbage collection would look through all that was loaded, and so copy it in a process
that was forked: half of the CPU of a short one.
"""

import gc
import ssl
from functools import cache

import certifi

# Each HTTP client makes one of 150 certificates, of which no test but those of TLS needs any.
ssl.create_default_context = cache(ssl.create_default_context)  # type: ignore[assignment]
ssl.create_default_context(cafile=certifi.where())

gc.collect()
gc.freeze()
