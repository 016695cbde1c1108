"""What a graph's inputs are for: proposals of bindings, each with what speaks for it.

`propose.propose` is the way in. A person confirms them; what is not certain says so.
"""
