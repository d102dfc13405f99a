"""Files that are one element each: pictures, and what sound has in common with them."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from treadle.core.errors import MissingExtraError
from treadle.data._files import read_bytes
from treadle.data._nodes import Indexed
from treadle.data._pictures import decode_image

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")


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
        except MissingExtraError as e:  # says nothing against the file: it is never left out for this
            raise MissingExtraError(f"{self.where(i, epoch)}: {e.message}") from e
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
