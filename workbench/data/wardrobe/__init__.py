"""The embedded world: tinted, textured garments on coloured grounds, with captions that leave things out."""

from workbench.data.wardrobe.record import Record, prompts
from workbench.data.wardrobe.source import Wardrobe

__all__ = ["Record", "Wardrobe", "prompts"]
