"""Imported once all is loaded, by pytest and by a process from which others are forked.

Else each garbage collection would look through all that was loaded, and so copy it in a process
that was forked: half of the CPU of a short one. Seldom, as a test leaves little behind: the
seven hundred objects after which Python looks by default cost the suite a seventh of its CPU.
"""

import gc

gc.collect()
gc.freeze()
gc.set_threshold(20_000, 20, 50)
