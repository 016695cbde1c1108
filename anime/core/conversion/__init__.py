"""From a workflow as ComfyUI's editor saves it to the graph that a server runs.

`convert.convert` is the way in. What the rules do not cover is refused by node, never guessed.
"""
