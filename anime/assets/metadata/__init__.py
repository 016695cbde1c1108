"""How a file was made, as it says itself: one reader for each tool that writes it."""

from anime.assets.metadata.recipe import LoraUse, Recipe, SamplerUse, Sampling
from anime.assets.metadata.registry import recipe_of, recipe_of_graph
from anime.assets.metadata.saving_nodes import SavedFile

__all__ = [
    "LoraUse",
    "Recipe",
    "SamplerUse",
    "Sampling",
    "SavedFile",
    "recipe_of",
    "recipe_of_graph",
]
