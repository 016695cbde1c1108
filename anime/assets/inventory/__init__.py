"""The library and its record, held against each other: made anew, or verified."""
