"""Imported last by a process from which others are forked.

Else the first garbage collection of each would look through all that was loaded, and so copy it:
half of the CPU of a short one.
"""

import gc

gc.collect()
gc.freeze()
