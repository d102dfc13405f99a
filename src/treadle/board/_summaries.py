"""What TensorBoard's plugins read: arrays as the `Summary.Value` protos that its pages show."""

from __future__ import annotations

import io
import time
import wave
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from treadle.board._extra import tensorboard
from treadle.core.errors import ArgumentError, ShapeError, TreadleError

Array = np.ndarray[Any, Any]


def numbers(values: Any) -> Array:
    """Anything array-like as a float64 NumPy array, on the host.

    Raises:
        ArgumentError: it has no numbers.
        TraceError: it has none yet, as it is being traced.
    """
    try:
        return np.asarray(values).astype(np.float64)
    except TreadleError:
        raise
    except (TypeError, ValueError) as e:
        raise ArgumentError(f"numbers are needed, and not {type(values).__name__}: {e}") from e


def scalar(tag: str, value: Any) -> Any:
    """One number, kept as float32."""
    array = numbers(value)
    if array.size != 1:
        raise ShapeError(f"scalar({tag!r}) takes one number, not the shape {array.shape}: take a mean, or histogram(…)")
    with np.errstate(over="ignore"):  # beyond float32 it is infinite, which the page shows
        return _proto("summary").Summary.Value(tag=tag, simple_value=float(np.float32(array.reshape(()))))


def histogram(tag: str, values: Any, bins: int) -> tuple[Any, int]:
    """Counts between the least and the largest value, and how many values were not finite (and are not counted)."""
    if bins < 1:
        raise ArgumentError(f"histogram({tag!r}, bins={bins}): at least 1")
    array = numbers(values).ravel()
    finite = array[np.isfinite(array)]
    metadata = tensorboard("plugins.histogram.metadata").create_summary_metadata(None, None)
    return _value(tag, buckets(finite, bins), metadata), int(array.size - finite.size)


def buckets(finite: Array, bins: int) -> Array:
    """`[bins, 3]`: left edge, right edge, count. The page wants equal widths; where all values are one, 1 in all."""
    if not finite.size:
        return np.zeros((bins, 3))
    low, high = float(finite.min()), float(finite.max())
    least = 2 * float(np.spacing(max(abs(low), abs(high))))  # width that edges can still be told apart at
    if (high - low) / bins < least:
        half = max(0.5, bins * least)
        low, high = low - half, high + half
    scale = 4.0 if not np.isfinite(high - low) else 1.0  # the whole range of float64: its width is beyond it
    counts, edges = np.histogram(finite / scale, bins=bins, range=(low / scale, high / scale))
    edges = edges * scale
    return np.stack([edges[:-1], edges[1:], counts], axis=1)


def text(tag: str, content: Any) -> Any:
    """Markdown; a list of texts is shown as a column, a mapping as a table."""
    if isinstance(content, Mapping):
        rows = [f"| {_cell(k)} | {_cell(v)} |" for k, v in content.items()]
        content = "\n".join(["| | |", "|---|---|", *rows])
    if not isinstance(content, str) and not (
        isinstance(content, Sequence) and content and all(isinstance(line, str) for line in content)
    ):
        raise ArgumentError(f"text({tag!r}) takes a str, a list of str or a mapping, not {content!r}")
    metadata = tensorboard("plugins.text.metadata").create_summary_metadata(None, None)
    encoded = [line.encode() for line in ([content] if isinstance(content, str) else content)]
    return _value(tag, np.array(encoded if not isinstance(content, str) else encoded[0], dtype=object), metadata)


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def images(tag: str, pngs: Sequence[bytes], width: int, height: int, description: str) -> Any:
    """Encoded pictures of one size."""
    metadata = tensorboard("plugins.image.metadata").create_summary_metadata(None, description)
    content = [str(width).encode(), str(height).encode(), *pngs]
    return _value(tag, np.array(content, dtype=object), metadata)


def audio(tag: str, sound: Any, rate: int) -> Any:
    """Clips as 16-bit WAV files."""
    clips = _clips(tag, np.asarray(sound))
    if not isinstance(rate, int | np.integer) or rate < 1:
        raise ArgumentError(f"audio({tag!r}, rate={rate!r}): samples a second, an integer of at least 1")
    plugin = tensorboard("plugins.audio.metadata")
    metadata = plugin.create_summary_metadata(None, None, plugin.Encoding.Value("WAV"))
    content = np.array([[_wav(clip, int(rate)), b""] for clip in clips], dtype=object)
    return _value(tag, content, metadata)


def _clips(tag: str, sound: Array) -> Array:
    """`[clips, samples, channels]` of int16, from one clip or several."""
    if sound.ndim not in (1, 2, 3) or not sound.size:
        raise ShapeError(
            f"audio({tag!r}) takes [samples], [samples, channels] or [clips, samples, channels], not {sound.shape}"
        )
    if sound.ndim < 3:
        if sound.ndim == 2 and sound.shape[1] > 8:
            raise ShapeError(
                f"audio({tag!r}): {sound.shape} would be {sound.shape[1]} channels. One clip is [samples, channels]; "
                "for several clips pass [clips, samples, 1]: sound[..., None]"
            )
        sound = sound.reshape(1, len(sound), -1)
    if sound.dtype == np.int16:
        return sound
    if not np.issubdtype(sound.dtype, np.number) or np.issubdtype(sound.dtype, np.integer):
        raise ArgumentError(f"audio({tag!r}) takes int16 or floats from -1 to 1, not {sound.dtype}")
    wide = numbers(sound)
    if not np.isfinite(wide).all() or np.abs(wide).max() > 1.0:
        raise ArgumentError(
            f"audio({tag!r}): floats lie between -1 and 1, and these between {wide.min():.4g} and {wide.max():.4g}. "
            "Divide by the largest: sound / abs(sound).max()"
        )
    return np.round(wide * 32767).astype(np.int16)


def _wav(clip: Array, rate: int) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as f:
        f.setnchannels(clip.shape[1])
        f.setsampwidth(2)
        f.setframerate(rate)
        f.writeframes(clip.astype("<i2").tobytes())
    return out.getvalue()


def pr_curve(tag: str, table: Array) -> Any:
    """`[6, thresholds]`: true and false positives, true and false negatives, precision, recall."""
    metadata = tensorboard("plugins.pr_curve.metadata").create_summary_metadata(None, None, table.shape[1])
    return _value(tag, table.astype(np.float32), metadata)


def hparams_start(values: Mapping[str, Any], name: str) -> Any:
    """The settings of a run."""
    checked = {}
    for key, value in values.items():
        plain = np.asarray(value).item() if np.ndim(value) == 0 and not isinstance(value, str) else value
        if not isinstance(plain, bool | int | float | str):
            raise ArgumentError(f"hparams: {key}={value!r} is no number, text or truth value. Write str(…) for it")
        checked[str(key)] = plain
    made = tensorboard("plugins.hparams.summary_v2").hparams_pb(checked, trial_id=name, start_time_secs=time.time())
    return made.value[0]


def hparams_end(success: bool) -> Any:
    """The end of a run with settings."""
    plugin = tensorboard("plugins.hparams.metadata")
    api, data = tensorboard("plugins.hparams.api_pb2"), tensorboard("plugins.hparams.plugin_data_pb2")
    status = api.Status.Value("STATUS_SUCCESS" if success else "STATUS_FAILURE")
    end = data.HParamsPluginData(session_end_info=data.SessionEndInfo(status=status, end_time_secs=time.time()))
    return _proto("summary").Summary.Value(
        tag=plugin.SESSION_END_INFO_TAG, metadata=plugin.create_summary_metadata(end), tensor=plugin.NULL_TENSOR
    )


def _proto(name: str) -> Any:
    return tensorboard(f"compat.proto.{name}_pb2")


def _value(tag: str, array: Any, metadata: Any) -> Any:
    tensor = tensorboard("util.tensor_util").make_tensor_proto(array)
    return _proto("summary").Summary.Value(tag=tag, tensor=tensor, metadata=metadata)
