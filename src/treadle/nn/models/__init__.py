"""Models, each a short file to be read, copied and changed."""

from __future__ import annotations

from treadle.nn.models.gpt import GPT
from treadle.nn.models.text_cnn import TextCNN

__all__ = ["GPT", "TextCNN"]
