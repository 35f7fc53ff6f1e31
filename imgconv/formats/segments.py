"""The segments of a JPEG file: what they say of its picture, how that was coded, and what does not travel."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

LARGEST = 65533  # bytes in a segment
EXIF, ICC, PHOTOSHOP = b"Exif\0\0", b"ICC_PROFILE\0", b"Photoshop 3.0\0"
PROFILE = 255 * (LARGEST - len(ICC) - 2)  # which is in so many segments at most
MOST = {"exif": ("EXIF data", LARGEST), "comment": ("comment", LARGEST), "icc_profile": ("ICC profile", PROFILE)}
XMP, XMP_MORE = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
XMP_BYTES = LARGEST - len(XMP)  # in one segment
READ = {
    "APP0": (b"JFIF\0",), "APP1": (EXIF, XMP, XMP_MORE), "APP2": (ICC,), "APP13": (PHOTOSHOP,), "APP14": (b"Adobe\0",),
}  # fmt: skip
NAME = re.compile(rb"[ -~]{2,40}")
SCAN, END = b"\xff\xda", b"\xff\xd9"
ANY_END = re.compile(b"\xff[\xd9]")  # five times as fast as `bytes.find`, for a set is no part of the text to be found
PICTURE = b"\xff\xd8\xff"  # the beginning of one
FILLING = b"\0\xff\r\n"
# of segments that Pillow reads, or passes over, by their length
READ_MARKERS = (*range(0xC0, 0xC8), *range(0xC9, 0xD0), *range(0xDB, 0xF0), 0xFE)
TABLES = (0xC4, 0xC8, 0xCC)  # markers that are no frame's, though among theirs
RESTARTS = 0xDD  # the marker of the restart interval
BLOCK = 8  # rows and columns of samples that are coded together
ARITHMETIC = 0xC8  # and above: frames that are coded so


def about(image: Any, data: bytes) -> dict[str, Any]:
    """What the segments of a JPEG file, which Pillow has opened, say beside EXIF data and the profile.

    As `Picture.info` has it; `lost` is what does not travel to any file: words of `--metadata`, and names.
    """
    info: dict[str, Any] = {}
    said: Any = image.info
    lost = [
        ("other", f"segment {name}" + (f" ({word[0].decode().strip()})" if (word := NAME.match(body)) else ""))
        for name, body in image.applist
        if name != "COM" and not body.startswith(READ.get(name, ()))
    ]
    if comment := b"\n".join(body for name, body in image.applist if name == "COM"):
        info["comment"] = comment
    if photoshop := b"".join(body[len(PHOTOSHOP) :] for _, body in image.applist if body.startswith(PHOTOSHOP)):
        info["photoshop"] = photoshop
    if more := [body[len(XMP_MORE) :] for _, body in image.applist if body.startswith(XMP_MORE)]:
        from imgconv.formats import xmp  # here, as below, because few pictures have any

        if whole := xmp.joined(said.get("xmp", b""), more):
            info["xmp"] = whole
        else:
            lost.append(("xmp", "extended XMP"))
    if not said.get("icc_profile") and any(body.startswith(ICC) for _, body in image.applist):
        lost.append(("icc", "damaged ICC profile"))
    across, down = said.get("jfif_density", (1, 1))
    if said.get("jfif_unit") == 0 and across != down:
        lost.append(("dpi", f"pixel aspect ratio {across}:{down}"))
    frame, pixels = frame_in(data)
    end = ANY_END.search(data, pixels) if pixels else None
    behind = data[end.end() :] if end else b""
    if behind.strip(FILLING):
        if image.format == "MPO":  # whose other pictures are counted elsewhere
            lost = [(word, name) for word, name in lost if "(MPF)" not in name]
        else:
            kind = " (a video)" if behind[4:8] == b"ftyp" else " (another picture)" if PICTURE in behind else ""
            lost.append(("other", f"{len(behind):,} bytes behind its pixels{kind}"))
        if packet := info.get("xmp", said.get("xmp")):
            from imgconv.formats import xmp

            info["xmp"] = xmp.alone(packet)
    interval = next((int.from_bytes(data[at + 4 : end], "big") for kind, at, end in each(data) if kind == RESTARTS), 0)
    return info | coding(image, frame, interval) | {"lost": tuple(dict.fromkeys(lost))}


def coding(image: Any, frame: int, interval: int = 0) -> dict[str, Any]:
    """How the pixels were coded, for the encoder of the result; `unlike` is what that cannot do as it was.

    Each with the option that decides it, if there is one.
    """
    from PIL.JpegImagePlugin import get_sampling

    layers, said = image.layer, image.info
    tables = [table for *_, table in layers]
    names = {layer[0] for layer in layers}
    unlike = []
    if frame > ARITHMETIC:
        unlike.append(("", "was coded arithmetically and has Huffman codes now, which lose nothing"))
    if len(layers) == 4 and said.get("adobe_transform") == 2:
        unlike.append(("", "was YCCK and is CMYK now"))
        tables = tables[:1]  # the others are for chroma
    while len(tables) > 1 and tables[-1] == tables[-2]:  # the encoder goes on with the last
        tables.pop()
    found = image.quantization
    in_rgb = said.get("adobe_transform") == 0 if "adobe" in said else names == set(b"RGB")
    subsampling = get_sampling(image)
    if len(layers) == 3 and subsampling < 0:
        factors = ", ".join(f"{across}×{down}" for _, across, down, _ in layers)
        note = f"had a sampling ({factors}) that cannot be written, and has 4:4:4 now, which loses nothing"
        unlike.append(("subsampling", note))
    across = BLOCK * max([1, *(layer[1] for layer in layers)]) if len(layers) > 1 else BLOCK
    rows, part = divmod(interval, -(-image.width // across))
    restarts = {"restart_marker_blocks": interval} if part else {"restart_marker_rows": rows}
    return {
        "restarts": restarts if interval else {},
        "qtables": [found[table] for table in tables] if set(tables) <= set(found) else [],
        "subsampling": subsampling,
        "progressive": bool(said.get("progressive")),
        "keep_rgb": len(layers) == 3 and "jfif" not in said and in_rgb,
        "unlike": tuple(unlike),
    }


def each(data: bytes | bytearray) -> Iterator[tuple[int, int, int]]:
    """The markers of a JPEG up to its pixels, and where each segment begins and ends."""
    at = 2
    while data[at : at + 1] == b"\xff" and data[at : at + 2] != SCAN and len(data) >= at + 4:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        yield data[at + 1], at, end
        at = end


def coded_together(data: bytes | bytearray, frame: int) -> tuple[int, int]:
    """Columns and rows of the pixels that are coded together, by the segment of a frame that begins there."""
    channels = data[frame + 9]
    factors = data[frame + 11 :: 3][:channels] if channels > 1 else b"\x11"
    across, down = (BLOCK * max([1, *(factor >> shift & 15 for factor in factors)]) for shift in (4, 0))
    return across, down


def before_pixels(data: bytes) -> bytes:
    """A JPEG file as far as Pillow reads it before the pixels; all of it where that cannot be told for sure."""
    at = 2
    for marker, start, end in each(data):
        if marker not in READ_MARKERS or end < start + 4:
            break
        at = end
    return data[:at] if data[at : at + 2] == SCAN else data


def frame_in(data: bytes) -> tuple[int, int]:
    """The marker of the frame, and where the first coded pixels are; 0 where that cannot be told."""
    at, frame = 2, 0
    while data[at : at + 1] == b"\xff":
        marker = data[at + 1 : at + 2]
        if marker == SCAN[1:]:
            return frame, at
        if b"\xc0" <= marker <= b"\xcf" and marker[0] not in TABLES:
            frame = marker[0]
        at += 1 if marker == b"\xff" else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return frame, 0


def segment(marker: int, name: bytes, data: bytes) -> bytes:
    """Data in as many segments as it takes, each with a name in front."""
    size = LARGEST - len(name)
    pieces = (name + data[at : at + size] for at in range(0, len(data), size))
    return b"".join(bytes([0xFF, marker]) + (len(piece) + 2).to_bytes(2, "big") + piece for piece in pieces)


def into_options(options: dict[str, Any]) -> list[str]:
    """Has Pillow's encoder write what it does not know; takes out what is longer than JPEG holds, and names that."""
    notes = []
    for key, (name, most) in MOST.items():
        if len(options.get(key, b"")) > most:
            del options[key]
            notes.append(f"its {name} is longer than JPEG holds and left out")
    extra = segment(0xED, PHOTOSHOP, options.pop("photoshop", b""))
    if len(options.get("xmp", b"")) > XMP_BYTES:
        from imgconv.formats import xmp

        packet = options.pop("xmp")
        if parts := xmp.parted(packet):
            options["xmp"], mark, more = parts
            head, size = XMP_MORE + mark + len(more).to_bytes(4, "big"), LARGEST - len(XMP_MORE) - 40
            for at in range(0, len(more), size):
                extra += segment(0xE1, head + at.to_bytes(4, "big"), more[at : at + size])
        else:
            notes.append("its XMP is longer than JPEG holds in one piece, and makes no sense: left out")
    if extra:
        options["extra"] = extra
    return notes
