"""Looking into files: what they are, whether they are whole, and what they say of themselves."""

from anime.media.examination import examine
from anime.media.facts import Examined, MediaFacts

__all__ = ["Examined", "MediaFacts", "examine"]
