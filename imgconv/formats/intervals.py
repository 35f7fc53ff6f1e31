"""JPEGs with restart intervals (ITU-T T.81, E.1.4) are decoded in threads: bands of rows, each into its place.

Nothing behind a restart marker depends on the coded pixels before it. So the header, with fewer rows in it, and the
intervals of a band, with their markers counted anew, are a JPEG that Pillow's decoder puts where the band lies in the
image. Damage inside an interval stays there; where other markers are than there must be, Pillow decodes the whole.

Chroma of half the rows is mixed with that of the row above, and below. So a band is followed by one row of units more,
of which it writes one row of pixels: the one that the next band, with nothing above it, has wrong. For that all bands
wait until each has decoded its own.
"""

from __future__ import annotations

import math
import re
from bisect import bisect
from itertools import islice, pairwise
from typing import Any

from PIL import Image, ImageFile

from imgconv.formats.segments import BLOCK, RESTARTS, coded_together, each
from imgconv.threads import available_cores, in_threads

BAND_PIXELS = 2**18  # at least: 2 ms of decoding
PIXEL_BYTES = 0.3  # which take as long to be decoded as a pixel to be made of what they say
BASELINE, EXTENDED = 0xC0, 0xC1  # markers of frames with Huffman codes
END = b"\xff\xd9"
COUNTED = bytes(range(0xD0, 0xD8))  # markers between intervals, in turn
MARKER = re.compile(b"\xff[^\0]")


class _Band:
    """Rows of an image as a JPEG of their own: a header, coded bytes, and in these where they are marked.

    The first `own` of the coded bytes are all that is coded of its own rows.
    """

    def __init__(
        self, image: ImageFile.ImageFile, top: int, bottom: int, header: bytes, coded: memoryview, marks: list[int],
        own: int,
    ) -> None:  # fmt: skip
        self.decoder: Any = Image._getdecoder(image.mode, "jpeg", image.tile[0][3], image.decoderconfig)
        self.decoder.setimage(image.im, (0, top, image.width, bottom))
        self.header, self.coded, self.marks, self.own = header, coded, marks, own

    def begin(self) -> int:
        """Decodes its own rows, as far as they do not depend on the next; not 0 where it is broken."""
        jpeg = bytearray().join((self.header, self.coded, END))
        for number, mark in enumerate(self.marks):
            jpeg[len(self.header) + mark + 1] = COUNTED[number % 8]
        self.rest = memoryview(jpeg)
        used, problem = self.decoder.decode(self.rest[: len(self.header) + self.own])
        self.rest = self.rest[used:] if used >= 0 else self.rest[:0]
        return int(problem)

    def finish(self) -> int:
        """Decodes the rest, if there is any; not 0 where it is broken."""
        return int(len(self.rest) > 0 and self.decoder.decode(self.rest) != (-1, 0))


def decode(image: ImageFile.ImageFile, header: bytes, data: bytes, threads: int | None) -> None:
    """Decodes an image that has memory, if its file, which begins with the header, has what that takes."""
    threads = threads or available_cores()
    bands = _bands(image, header, data, threads) if threads > 1 else []
    try:
        if len(bands) > 1 and not (
            in_threads(lambda: _Band.begin, bands, threads) or in_threads(lambda: _Band.finish, bands, threads)
        ):
            image.tile = []  # nothing is left to be decoded
    finally:
        for band in bands:
            band.decoder.cleanup()


def _bands(image: ImageFile.ImageFile, header: bytes, data: bytes, threads: int) -> list[_Band]:
    """Bands that take about as long as each other; none where there are no intervals to make them of."""
    parts = {marker: at for marker, at, _ in each(header)}
    frame, restarts, scan = parts.get(BASELINE) or parts.get(EXTENDED), parts.get(RESTARTS), len(header)
    if not frame or not restarts or data[scan + 4 : scan + 5] != header[frame + 9 : frame + 10]:
        return []
    interval = int.from_bytes(header[restarts + 4 : restarts + 6], "big")
    if not interval:
        return []
    first = scan + 2 + int.from_bytes(data[scan + 2 : scan + 4], "big")  # of the coded bytes
    across, down = coded_together(header, frame)
    wide = -(-image.width // across)  # units in a row
    units = wide * -(-image.height // down)
    count = -(-units // interval)
    ends = [mark.start() for mark in islice(MARKER.finditer(data, first), count)]
    if bytes(data[end + 1] for end in ends) != (COUNTED * (count // 8 + 1))[: count - 1] + END[1:]:
        return []
    starts = [first, *(end + 2 for end in ends)]

    def weight(unit: int) -> float:
        """Of all before a unit that begins an interval, or before the end."""
        return starts[-(-unit // interval)] + PIXEL_BYTES * across * down * unit

    places = range(0, units, math.lcm(interval, wide))  # where a row begins, and an interval
    # between two calls, each of which is given one, Ctrl-C is heard; their headers are no longer than the file
    most = threads * (1 + len(data) // (threads * image.decodermaxblock))
    most = min(most, image.width * image.height // BAND_PIXELS, len(data) // first)
    share = (weight(units) - weight(0)) / max(1, most)
    cuts = sorted({places[bisect(places, weight(0) + share * band, key=weight) - 1] for band in range(most)})
    bands, coded = [], memoryview(data)
    for start, stop in pairwise([*cuts, units]):
        more = wide if down > BLOCK and stop < units else 0
        top, bottom = start // wide * down, min(image.height, stop // wide * down + (1 if more else 0))
        begin, own, last = start // interval, -(-stop // interval), -(-(stop + more) // interval)
        rows = (bottom - top).to_bytes(2, "big")
        bands.append(_Band(
            image, top, bottom,
            data[: frame + 5] + rows + data[frame + 7 : first], coded[starts[begin] : ends[last - 1]],
            [end - starts[begin] for end in ends[begin : last - 1]], ends[own - 1] + 2 - starts[begin],
        ))  # fmt: skip
    return bands
