"""Looking into files: what they are, whether they are whole, and what they say of themselves."""
