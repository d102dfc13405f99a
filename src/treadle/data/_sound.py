"""Sound: WAVE files by themselves, other formats through the soundfile package."""

from __future__ import annotations

import importlib
import io
import struct
from typing import Any

import numpy as np

from treadle.core.errors import DataError, MissingExtraError
from treadle.data._columns import Array
from treadle.data._media import Media

SOUNDS = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf")


def decode_sound(data: bytes) -> tuple[Array, int]:
    """Samples float32 `[time, channels]` in -1..1, and how many a second, of a sound file in memory.

    Raises:
        DataError: it is none, or is damaged.
        MissingExtraError: it is no WAVE file, and soundfile is not installed.
    """
    if not _is_other(data):
        return decode_wav(data)
    try:
        soundfile: Any = importlib.import_module("soundfile")
    except (ImportError, OSError) as e:  # OSError: it is there, and the library that it needs is not
        raise MissingExtraError(
            'FLAC, Ogg, MP3, AIFF, AU and CAF files need soundfile: pip install "treadle[audio]"'
        ) from e
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            announced, rate = file.frames, file.samplerate
            samples = file.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as e:
        raise DataError(f"no sound file, or a damaged one: {e.error_string}") from e
    if len(samples) < announced:
        raise DataError(f"cut short: {announced} samples are announced, and {len(samples)} are there")
    return samples, int(rate)


def _is_other(data: bytes) -> bool:
    """Whether a file begins as those that soundfile reads do: by a name, or by the head of an MP3 frame."""
    named = data.startswith((b"fLaC", b"OggS", b"ID3", b"FORM", b".snd", b"caff"))
    return named or (len(data) > 1 and data[0] == 0xFF and data[1] & 0xE6 == 0xE2)


# Sample widths of PCM in bytes, and how they become -1..1: (NumPy's type, offset, divisor).
_PCM = {1: ("u1", 128.0, 128.0), 2: ("<i2", 0.0, 2.0**15), 4: ("<i4", 0.0, 2.0**31)}
_FLOATS = {4: "<f4", 8: "<f8"}


def decode_wav(data: bytes) -> tuple[Array, int]:
    """Samples float32 `[time, channels]` in -1..1, and how many a second, of a RIFF WAVE file (PCM or IEEE float).

    Raises:
        DataError: it is none, of another encoding, or cut short.
    """
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise DataError("no WAVE file: it does not begin with RIFF…WAVE")
    at, form = 12, None
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        body = data[at + 8 : at + 8 + size]
        if name == b"fmt " and len(body) >= 16:
            form = struct.unpack_from("<HHIIHH", body)
            if form[0] == 0xFFFE and len(body) >= 26:  # "extensible": the encoding stands further on
                form = (struct.unpack_from("<H", body, 24)[0], *form[1:])
        if name == b"data":
            if form is None:
                raise DataError(f"damaged: the samples at byte {at} come before their format")
            if len(body) < size:
                raise DataError(
                    f"cut short: {size} bytes of samples are announced at byte {at}, and {len(body)} are there"
                )
            return _samples(body, form), form[2]
        at += 8 + size + size % 2
    raise DataError(f"cut short: no samples in {len(data)} bytes")


def _samples(body: bytes, form: tuple[int, ...]) -> Array:
    encoding, channels, _, _, _, bits = form
    width = bits // 8
    if encoding == 1 and width == 3:
        low = np.frombuffer(body, np.uint8).reshape(-1, 3).astype(np.int32)
        values = ((low[:, 0] | low[:, 1] << 8 | low[:, 2] << 16) ^ 0x800000) - 0x800000
        out = values / np.float32(2**23)
    elif encoding == 1 and width in _PCM:
        kind, offset, divisor = _PCM[width]
        out = (np.frombuffer(body, kind).astype(np.float64) - offset) / divisor
    elif encoding == 3 and width in _FLOATS:
        out = np.frombuffer(body, _FLOATS[width])
    else:
        raise DataError(f"a WAVE file of encoding {encoding} with {bits} bits; PCM and IEEE float can be read")
    return out.astype(np.float32).reshape(-1, max(1, channels))


class AudioFiles(Media):
    """Sound as float32 `[time]`, the mean of its channels, or `[time, channels]`."""

    def __init__(self, files: list[str], labels: Any, rate: int | None, mono: bool) -> None:
        super().__init__(files, labels, "from_audio")
        self.rate, self.mono = rate, mono

    def decode(self, data: bytes) -> Any:
        samples, rate = decode_sound(data)
        if self.rate is not None and rate != self.rate:
            raise DataError(f"{rate} samples a second, and rate={self.rate} was asked for")
        return samples.mean(axis=1) if self.mono else samples
