"""The sweep and the search beside bare programs that do only what cannot be left out."""
