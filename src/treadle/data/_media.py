"""Pictures and sound."""

from __future__ import annotations

import struct
from abc import abstractmethod
from typing import Any

import numpy as np

from treadle.core.errors import DataError
from treadle.data._columns import Array
from treadle.data._files import read_bytes
from treadle.data._nodes import Indexed
from treadle.data._pictures import decode_image

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")


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


class Media(Indexed):
    """Files, each decoded to one element, with a label if there are any."""

    def __init__(self, files: list[str], labels: Any, shown: str) -> None:
        self.files, self.labels, self.shown = files, labels, shown

    @property
    def length(self) -> int:
        return len(self.files)

    def describe(self) -> str:
        return f"{self.shown}({len(self.files):,} files)"

    @abstractmethod
    def decode(self, data: bytes) -> Any:
        """What the bytes of a file are."""

    def get(self, i: int, epoch: int) -> Any:
        try:
            made = self.decode(read_bytes(self.files[i]))
        except Exception as e:
            raise self.failed(e, self.where(i, epoch)) from e
        return made if self.labels is None else (made, self.labels[i])

    def where(self, i: int, epoch: int) -> str:
        return self.files[i]


class ImageFiles(Media):
    """Pictures as uint8 `[height, width, channels]`."""

    def __init__(self, files: list[str], labels: Any, mode: str, size: tuple[int, int] | None, exact: bool) -> None:
        super().__init__(files, labels, "from_images")
        self.mode, self.size, self.exact = mode, size, exact

    def decode(self, data: bytes) -> Any:
        return decode_image(data, self.mode, self.size, self.exact)


class AudioFiles(Media):
    """Sound as float32 `[time]`, the mean of its channels, or `[time, channels]`."""

    def __init__(self, files: list[str], labels: Any, rate: int | None, mono: bool) -> None:
        super().__init__(files, labels, "from_audio")
        self.rate, self.mono = rate, mono

    def decode(self, data: bytes) -> Any:
        samples, rate = decode_wav(data)
        if self.rate is not None and rate != self.rate:
            raise DataError(f"{rate} samples a second, and rate={self.rate} was asked for")
        return samples.mean(axis=1) if self.mono else samples
