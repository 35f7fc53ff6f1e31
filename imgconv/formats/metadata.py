"""What a file says about its picture beside the pixels: which of it travels, and what does not, in words."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from imgconv.formats.table import FORMATS

# the words of --metadata, and their keys of `Picture.info`; of PNG's texts one is the comment, the rest are chunks
KEYS = {
    "exif": "exif", "iptc": "photoshop", "xmp": "xmp", "icc": "icc_profile", "dpi": "dpi", "text": "comment",
    "colour": None, "time": None, "other": None,
}  # fmt: skip
NAMES = {"exif": "EXIF data", "xmp": "XMP", "icc_profile": "ICC profile", "dpi": "resolution", "comment": "comment"}

UNKNOWN_DPI = ((1, 1), (72, 72))  # what is written, after EXIF's word, where it is not known


def select(info: Mapping[str, Any], words: Container[str]) -> dict[str, Any]:
    """What the file said about its picture without the metadata that is not in `words`, which are of KEYS."""
    dropped = {key for word, key in KEYS.items() if word not in words}
    kept = {key: value for key, value in info.items() if key not in dropped}
    if "chunks" in kept:
        kept["chunks"] = tuple(chunk for chunk in kept["chunks"] if chunk.word in words)
    if "lost" in kept:
        kept["lost"] = tuple((word, name) for word, name in kept["lost"] if word in words)
    return kept


def words_in(info: Mapping[str, Any]) -> list[str]:
    """The words for what a file says."""
    there = {chunk.word for chunk in info.get("chunks", ())} | {word for word, _ in info.get("lost", ())}
    return [word for word, key in KEYS.items() if word in there or (key and info.get(key))]


def left_out(info: Mapping[str, Any], form: str) -> list[str]:
    """What a file of the format will not hold of what another said about its picture, in one line for each reason."""
    keeps = next((known.keeps for known in FORMATS if known.name == form), ())
    notes = []
    names = [name for key, name in NAMES.items() if info.get(key) and key not in keeps]
    if "resolution" in names and (info["dpi"] in UNKNOWN_DPI or ("exif" in keeps and _is_in_exif(info.get("exif")))):
        names.remove("resolution")
    if info.get("photoshop") and "photoshop" not in keeps:
        from imgconv.formats.photoshop import iptc_of

        names.append("IPTC data" if iptc_of(info["photoshop"]) else "Photoshop data")
    if info.get("chunks") and "chunks" not in keeps:
        from imgconv.formats.png.chunks import names_of

        names += names_of(info["chunks"])
    if names:
        notes.append(f"{form} cannot hold its {listed(names)}: left out")
    if lost := [name for _, name in info.get("lost", ())]:
        notes.append(f"its {listed(lost)} cannot travel: left out")
    return notes


def _is_in_exif(exif: bytes | None) -> bool:
    """Whether EXIF data has a resolution, too."""
    from imgconv.formats.exif import states_resolution

    return exif is not None and states_resolution(exif)


def listed(names: list[str]) -> str:
    """a, b and c."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
