"""Where captions and real images come from."""

from workbench.data.base import DataSource
from workbench.data.folder import ImageFolder
from workbench.data.prompt_file import PromptFile
from workbench.data.wardrobe import Wardrobe, prompts

__all__ = ["DataSource", "ImageFolder", "PromptFile", "Wardrobe", "prompts"]
