"""A module that cannot be imported."""

raise ModuleNotFoundError("No module named 'left_out_of_the_requirements'")
