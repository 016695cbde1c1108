"""How long tests wait for what must come."""

# What has not come by then never will: it hangs. An event ends each wait, so this costs nothing
# where all is well, and a machine may be many times slower than ours.
HUNG_SECONDS = 300
