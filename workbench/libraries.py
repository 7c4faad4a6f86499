"""What a training and an evaluation import when they come to need it, imported at once.

The fork server imports this once, and its cells find everything there; otherwise each of them would spend seconds on
it. Nothing here may start a thread: forks of a process with threads can hang.
"""

from __future__ import annotations

import diffusers.models.autoencoders.autoencoder_kl
import diffusers.models.unets.unet_2d_condition
import diffusers.schedulers
import PIL.Image
import tensorboard.plugins.hparams.api_pb2
import tensorboard.plugins.hparams.metadata  # noqa: F401
import torch.utils.serialization
import torch.utils.tensorboard.summary  # noqa: F401
import transformers.models.clip.modeling_clip
import transformers.models.clip.tokenization_clip  # noqa: F401
from transformers import conversion_mapping

for name in dir(diffusers.schedulers):
    getattr(diffusers.schedulers, name)  # a teacher's file says which one it needs, and that one asks for its relatives
PIL.Image.preinit()
if hasattr(conversion_mapping, "get_checkpoint_conversion_mapping"):  # 0.2 s, and kept; not every version has it
    conversion_mapping.get_checkpoint_conversion_mapping("clip")
