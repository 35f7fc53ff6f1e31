"""JPEG, encoded by Pillow strip by strip, in threads.

Between strips stand restart markers (ITU-T T.81, E.1.4), behind which nothing depends on what came before. So strips
that were encoded one by one, and put behind one header, are the very file that Pillow writes with
`restart_marker_blocks`. The bytes do not depend on the number of threads.

Pillow lets other threads run only while it writes into a file, and passes over short writes. So it gets a file in
memory with room that was taken before; where there is none, or it was not enough, a strip is encoded without.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cache, cached_property
from typing import Any, BinaryIO, NamedTuple

from imgconv.arrayfile import Array
from imgconv.formats.picture import unread
from imgconv.formats.pillow import Pieces, encoded, save
from imgconv.formats.place import put
from imgconv.formats.segments import RESTARTS, coded_together, each
from imgconv.formats.sink import Sink
from imgconv.memory import SampleType
from imgconv.threads import available_cores, in_threads

SMALLEST = 2**20  # pixels; smaller pictures get no restart markers, and one thread
STRIP_PIXELS = 2**18  # four of them in the smallest picture, and 1 MB of Pillow's memory for each thread
MARKERS = 8  # that follow each other between strips
FRAMES = 0xC0, 0xC1  # markers of sequential frames
CODING = ("quality", "qtables", "subsampling", "keep_rgb")  # the options that the pixels' bytes depend on


class Segments(NamedTuple):
    """Where the parts of a JPEG file with one scan are that tell how its pixels are coded."""

    frame: int
    restarts: int  # 0 when it has none
    scan: int  # the first byte of coded pixels


class JpegSink(Sink):
    """Writes a JPEG strip by strip, where `in_strips` allows it.

    `array` has the shape of the picture; its pixels are not looked at. `mode` is L, RGB or CMYK, `options` are those of
    Pillow's encoder. Raises WriteError when that does not take them.
    """

    step: int
    ending = b"\xff\xd9"

    def __init__(self, array: Array, mode: str, options: Mapping[str, Any], threads: int | None = None) -> None:
        self.rows, self.columns = array.shape[:2]
        across, down = _coded_together(mode, options.get("subsampling"), options.get("keep_rgb", False))
        self.strip = max(1, STRIP_PIXELS // (self.columns * down)) * down  # rows
        # one thread has Pillow set the markers, whose numbers begin anew after eight
        self.step = self.strip * (MARKERS if threads == 1 else 1)
        self.interval = -(-self.columns // across) * (self.strip // down)
        self.mode, self.threads = mode, threads
        self.everything = {**options, "restart_marker_rows": 0, "restart_marker_blocks": self.interval}
        self.options = {key: options[key] for key in CODING if key in options}
        self.strips = 0

    @cached_property
    def start(self) -> bytes:  # type: ignore[override]
        """What comes before the pixels: a file of one pixel has it, but for the size."""
        start = bytearray(_encoded(_pixel(self.mode), self.mode, self.everything))
        parts = segments(start)
        start[parts.frame + 5 : parts.frame + 9] = self.rows.to_bytes(2, "big") + self.columns.to_bytes(2, "big")
        return bytes(start[: parts.scan])

    def begin(self, file: BinaryIO) -> None:
        """Writes nothing yet: when all rows come at once, one thread leaves the whole file to Pillow."""
        self.file = file

    def write(self, rows: Array) -> None:
        if self.threads == 1 and len(rows) == self.rows:
            pieces = Pieces()
            save(rows, pieces, "JPEG", self.mode, self.everything)
            pieces[-1] = pieces[-1].removesuffix(self.ending)
            for piece in pieces:
                put(self.file, piece)
            return
        if not self.strips:
            put(self.file, self.start)
        starts = range(0, len(rows), self.strip)
        done = [b""] * len(starts)  # coded pixels, and the marker before them
        workers = min(self.threads or available_cores(), len(starts))

        def put_down(number: int, coded: bytes) -> None:
            before = self.strips + number
            marker = bytes([0xFF, 0xD0 + (before - 1) % MARKERS]) if before else b""
            done[number] = marker + memoryview(coded)[segments(coded).scan : -len(self.ending)]

        with ExitStack() as rooms:

            def prepare_worker() -> Callable[[int], int]:
                room = rooms.enter_context(_Room(rows[: self.strip].nbytes))

                def work(number: int) -> int:
                    put_down(number, room.encode(rows[starts[number] :][: self.strip], self.mode, self.options))
                    return 0

                return work

            if self.threads == 1:
                put_down(0, _encoded(rows, self.mode, {**self.options, "restart_marker_blocks": self.interval}))
            else:
                in_threads(prepare_worker, range(len(starts)), workers)
        self.strips += len(done)
        for part in done:
            put(self.file, part)


def in_strips(shape: tuple[int, ...], options: Mapping[str, Any]) -> bool:
    """Whether a picture is for `JpegSink`: it is large, and its file has one scan with codes that are known before."""
    return shape[0] * shape[1] >= SMALLEST and not options.get("progressive") and not options.get("optimize")


def segments(data: bytes | bytearray) -> Segments:
    """The segments of a JPEG file by Pillow."""
    parts = list(each(data))
    frame, restarts = (next((at for kind, at, _ in parts if kind in kinds), 0) for kinds in (FRAMES, (RESTARTS,)))
    at = parts[-1][2]  # of the scan
    return Segments(frame, restarts, at + 2 + int.from_bytes(data[at + 2 : at + 4], "big"))


@cache
def _coded_together(mode: str, subsampling: int | None, keep_rgb: bool) -> tuple[int, int]:
    """Columns and rows of the pixels that are coded together: blocks of all channels, whatever their sampling."""
    options = {"keep_rgb": keep_rgb} | ({} if subsampling is None else {"subsampling": subsampling})
    data = _encoded(_pixel(mode), mode, options)
    return coded_together(data, segments(data).frame)


def _pixel(mode: str) -> Array:
    return unread((1, 1, len(mode)), SampleType("uint8"))


def _encoded(array: Array, mode: str, options: Mapping[str, Any]) -> bytes:
    return encoded(array, "JPEG", mode, options)[1]


class _Room:
    """What a thread encodes its strips in: a file for their bytes."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.file: BinaryIO | None = None

    def __enter__(self) -> _Room:
        try:
            self.file = os.fdopen(os.memfd_create("strip"), "w+b", buffering=0)
            os.posix_fallocate(self.file.fileno(), 0, self.size)
        except (AttributeError, OSError):  # not on Linux, or no room
            self.__exit__()
        return self

    def __exit__(self, *problem: object) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None

    def encode(self, array: Array, mode: str, options: Mapping[str, Any]) -> bytes:
        """A strip as the bytes of a JPEG file."""
        if self.file is not None:
            self.file.seek(0)
            save(array, self.file, "JPEG", mode, options)
            if (size := self.file.tell()) <= self.size:
                return os.pread(self.file.fileno(), size, 0)
        return _encoded(array, mode, options)
