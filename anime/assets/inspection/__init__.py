"""Looking into files: what they are, whether they are whole, and what they say of themselves."""

from anime.assets.inspection.facts import Inspection, MediaFacts
from anime.assets.inspection.whole_file import inspect_file

__all__ = ["Inspection", "MediaFacts", "inspect_file"]
