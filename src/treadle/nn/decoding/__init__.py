"""From a model that scores the next token to sequences: greedy, or sampled.

Any autoregressive model will do: what it is to the loops is one function of one step,

    step(state, token, **constants) → (state, logits)

token is int32 `[batch]`, logits `[batch, vocabulary]`, the state a tree of tensors `[batch, …]` (a recurrent state, a
cache of keys and values, …). The loops are `td.while_loop`s: compiled, one call runs all steps, and they end when all
sequences have ended.
"""

from treadle.nn.decoding.choosing import filter_logits
from treadle.nn.decoding.loop import Decoded, greedy, sample

__all__ = ["Decoded", "filter_logits", "greedy", "sample"]
