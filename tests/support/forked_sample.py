"""A program for the tests of forks: runs the Python that it is given."""

import sys

exec(sys.argv[1])
