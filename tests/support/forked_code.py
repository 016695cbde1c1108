"""Runs the Python that it is given, as `python -c` does: a worker of pytest-xdist, a test's sample.

python -m tests.support.forked_code CODE
"""

import sys

if __name__ == "__main__":  # a process of multiprocessing imports what its parent runs
    exec(sys.argv[1])
