"""AVIF sequences: Pillow's encoder asks for each frame when it has taken in the one before."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from imgconv.formats.animation import AnimationSink
from imgconv.formats.image import from_array
from imgconv.formats.picture import Picture
from imgconv.formats.pillow import encoder_errors
from imgconv.formats.place import put
from imgconv.formats.sink import Rows

if TYPE_CHECKING:
    from PIL import Image


class SequenceSink(AnimationSink):
    """Writes all frames by Pillow, with options of its encoder."""

    def __init__(self, form: str, about: Picture, options: Mapping[str, Any]) -> None:
        super().__init__(form, about)
        self.options = options
        self.durations: list[int] = []  # read by Pillow as they come
        if about.info.get("plays"):
            self.notes = (f"{form} is written to be shown for ever, and not {about.info['plays']}×",)

    def take(self, frames: Iterable[tuple[Picture, Rows]]) -> None:
        images = self._images(frames)
        file, first = io.BytesIO(), next(images)
        with encoder_errors(self.form):
            first.save(
                file, self.form, save_all=True, append_images=[_Following(images)], duration=self.durations,
                **self.options,
            )  # fmt: skip
        put(self.file, file.getvalue())

    def _images(self, frames: Iterable[tuple[Picture, Rows]]) -> Iterator[Image.Image]:
        for number, (about, rows) in enumerate(frames):
            if number:
                self.following(about)
            with closing(rows(None)) as strips:
                (array,) = strips
            self.durations.append(round(about.info.get("duration", 0)))
            image = from_array(array, about.mode)
            # Pillow looks for a frame with colours before it encodes any
            yield image.convert("RGB") if about.mode == "L" else image


class _Following:
    """The images after the first, as Pillow walks through those of a file; each is there until the next."""

    def __init__(self, images: Iterator[Image.Image]) -> None:
        self.images, self.number = images, -1
        self.image: Any = None

    def seek(self, number: int) -> None:
        if number != self.number:
            image = next(self.images, None)
            if image is None:
                raise EOFError
            self.image, self.number = image, number

    def __getattr__(self, name: str) -> Any:
        return getattr(self.image, name)
