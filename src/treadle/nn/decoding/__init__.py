"""From a model that scores the next token to sequences: greedy, sampled, by beam search; and CTC's outputs to labels.

Any autoregressive model will do: what it is to the loops is one function of one step,

    step(state, token, **constants) → (state, logits)

token is int32 `[batch]`, logits `[batch, vocabulary]`, the state a tree of tensors `[batch, …]` (a recurrent state, a
cache of keys and values, …; a tensor without axes, such as a position, belongs to all). Constants are what no step
changes, an encoder's output for instance. The loops are `td.while_loop`s: compiled, one call runs all steps, and they
end when all sequences have ended.
"""

from treadle.nn.decoding.beam import Beams, beam_search
from treadle.nn.decoding.choosing import filter_logits
from treadle.nn.decoding.ctc import ctc_beam_search, ctc_greedy
from treadle.nn.decoding.loop import Decoded, greedy, sample

__all__ = ["Beams", "Decoded", "beam_search", "ctc_beam_search", "ctc_greedy", "filter_logits", "greedy", "sample"]
