"""The recipe of a picture in its XMP packet (ISO 16684-1), under a namespace of imgconv's own, as a recipe file has it.

A packet may be anybody's. It is changed in its bytes, so that what other tools wrote stays as it was; and read as XML
without a document type, which is where entities are defined.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from imgconv.errors import PictureError, WriteError
from imgconv.formats.table import FORMATS

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

NAMESPACE = "urn:imgconv:1.0/"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
PLAIN_BYTES = 2**14  # longer recipes are compressed
LARGEST_RECIPE = 4 * 2**20  # bytes
LARGEST_PACKET = 2**24
WORDS = ("recipe", "recipe_xz", "versions")
NEW = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}">
</rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>""".encode()
OURS = re.compile(
    rb"<rdf:Description [^<>]*xmlns:imgconv=[^<>]*>\s*(?:<imgconv:\w+>[^<]*</imgconv:\w+>\s*)*</rdf:Description>\n?"
)
PREFIX = re.compile(rb"""xmlns:([\w.-]+)\s*=\s*["']%s["']""" % re.escape(NAMESPACE).encode())
ABOUT = re.compile(rb"""<(\w+):Description\b[^<>]*\s\1:about\s*=\s*("[^"<]*"|'[^'<]*')""")
END = re.compile(rb"</(?:[\w.-]+:)?RDF\s*>")
EXTENDED = re.compile(  # what says that there is more, in another part of the file
    rb"""\s[\w-]+:HasExtendedXMP\s*=\s*(?:"[^"]*"|'[^']*')|<([\w-]+:HasExtendedXMP)\s*>[^<]*</\1\s*>"""
)
DIGEST = re.compile(rb"HasExtendedXMP\s*(?:=\s*[\"']|>)\s*([0-9A-F]{32})")
INSIDE = re.compile(rb"<([\w-]+):RDF\b[^>]*>(.*)</\1:RDF\s*>", re.DOTALL)
MORE = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="%s"><rdf:Description rdf:about=""
 xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="%s"/></rdf:RDF></x:xmpmeta>"""
BEHIND = re.compile(  # what speaks of a gain map or a video behind the picture
    rb"""\s(?:hdrgm:\w+|GCamera:(?:MotionPhoto|MicroVideo)\w*)\s*=\s*(?:"[^"]*"|'[^']*')"""
    rb"|<(hdrgm:\w+|GCamera:(?:MotionPhoto|MicroVideo)\w*)\s*>[^<]*</\1\s*>"
)
DIRECTORY = b"Container:Directory"  # of the files there
CANNOT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # stand in XML


class Embedded(NamedTuple):
    """What made a picture."""

    recipe: str  # as a recipe file has it
    versions: str  # of imgconv and what it stands on


def with_recipe(packet: bytes, embedded: Embedded, form: str) -> bytes:
    """A packet, or an empty one, with a recipe in the place of one that was there, for a file of the format.

    Raises WriteError when the format cannot hold it, or the packet makes no sense.
    """
    embedded = Embedded(*(CANNOT.sub("?", text) for text in embedded))
    bare = without_recipe(packet) or NEW
    ends = list(END.finditer(bare))
    about = ABOUT.search(bare)
    same = about[2] if about else b'""'  # all descriptions in a packet are about the same
    if ends:
        bare = bare[: ends[-1].start()] + _description(embedded, same) + bare[ends[-1].start() :]
    try:
        sound = recipe_of(bare) == embedded
    except PictureError:
        sound = False
    if not sound:
        raise WriteError(
            "its XMP makes no sense, so that no recipe can be put in; --metadata without xmp leaves it out"
        )
    if why := unfit(form):
        raise WriteError(why)
    return bare


def unfit(form: str) -> str:
    """Why a format cannot hold a recipe; "" where it can."""
    names = [known.name for known in FORMATS if "xmp" in known.keeps]
    return "" if form in names else f"{form} cannot hold a recipe; --embed takes {', '.join(names)}"


def without_recipe(packet: bytes) -> bytes:
    """The packet without a recipe, which says how another picture was made."""
    bare = OURS.sub(b"", packet)
    for prefix in {re.escape(name) for name in PREFIX.findall(bare)}:  # another tool has written it anew
        name = rb"%s:(%s)" % (prefix, "|".join(WORDS).encode())
        bare = re.sub(rb"<%s\b[^<>]*>[^<]*</%s:\1\s*>" % (name, prefix), b"", bare)
        bare = re.sub(rb"""\s%s\s*=\s*(?:"[^"]*"|'[^']*')""" % name, b"", bare)
    return bare


def recipe_of(packet: bytes) -> Embedded | None:
    """The recipe in a packet, if there is one. Raises PictureError where the packet makes no sense."""
    if NAMESPACE.encode() not in packet:
        return None
    if len(packet) > LARGEST_PACKET or b"<!DOCTYPE" in packet:
        raise PictureError("its XMP is none that is read")
    if (root := _parsed(packet)) is None:
        raise PictureError("its XMP is no XML")
    found: dict[str, str] = {}
    for element in root.iter():
        for word in WORDS:
            name = f"{{{NAMESPACE}}}{word}"
            text = (element.text or "") if element.tag == name else element.get(name)
            if text is not None:
                found.setdefault(word, text)
    recipe = _unpacked(found["recipe_xz"]) if "recipe_xz" in found else found.get("recipe")
    return None if recipe is None else Embedded(recipe, found.get("versions", ""))


def joined(packet: bytes, parts: Sequence[bytes]) -> bytes | None:
    """The packet of a JPEG file with what its other segments hold of it; None where they do not fit together.

    A part is the digest of them all, their length, the place of this one, and its bytes.
    """
    from hashlib import md5

    named = DIGEST.search(packet)
    ours = sorted((part[36:40], part[40:]) for part in parts if named and part[:32] == named[1])
    more = b"".join(data for _, data in ours)
    inside = INSIDE.search(more) if is_xml(more) else None
    ends = list(END.finditer(packet))
    if not (named and inside and ends and md5(more, usedforsecurity=False).hexdigest().upper().encode() == named[1]):
        return None
    whole = EXTENDED.sub(b"", packet[: ends[-1].start()] + inside[2] + packet[ends[-1].start() :])
    return whole if is_xml(whole) else None


def parted(packet: bytes) -> tuple[bytes, bytes, bytes] | None:
    """A packet that says where the rest is, the digest of that, and the rest, which is all: for segments of JPEG.

    None where it makes no sense.
    """
    from hashlib import md5

    more = re.sub(rb"<\?xpacket.*?\?>", b"", packet).strip(b"\0 \r\n\t")
    if not (is_xml(more) and INSIDE.search(more)):
        return None
    digest = md5(more, usedforsecurity=False).hexdigest().upper()
    return (MORE % (RDF, digest)).encode(), digest.encode(), more


def alone(packet: bytes) -> bytes:
    """The packet of a picture with nothing behind it in its file any more."""
    start, end = packet.find(b"<" + DIRECTORY), packet.rfind(b"</" + DIRECTORY + b">")
    if 0 <= start < end:
        packet = packet[:start] + packet[end + 3 + len(DIRECTORY) :]
    return BEHIND.sub(b"", packet)


def is_xml(packet: bytes) -> bool:
    """Whether a packet makes sense as XML."""
    return _parsed(packet) is not None


def _parsed(packet: bytes) -> Element | None:
    """The packet as XML without a document type, if it is that."""
    from xml.etree.ElementTree import ParseError, fromstring

    try:
        return None if b"<!DOCTYPE" in packet else fromstring(packet.strip(b"\0 \r\n\t"))
    except (ParseError, ValueError, LookupError):
        return None


def _description(embedded: Embedded, about: bytes) -> bytes:
    from xml.sax.saxutils import escape

    recipe = embedded.recipe.encode()
    word, text = ("recipe", embedded.recipe) if len(recipe) <= PLAIN_BYTES else ("recipe_xz", _packed(recipe))
    properties = "".join(
        f"<imgconv:{name}>{escape(value)}</imgconv:{name}>\n"
        for name, value in (("versions", embedded.versions), (word, text))
    )
    start = f'<rdf:Description xmlns:rdf="{RDF}" rdf:about='.encode() + about
    return start + f' xmlns:imgconv="{NAMESPACE}">\n{properties}</rdf:Description>\n'.encode()


def _packed(recipe: bytes) -> str:
    from base64 import b64encode
    from lzma import compress

    return b64encode(compress(recipe)).decode()


def _unpacked(text: str) -> str:
    """Raises PictureError where it is not what `_packed` gives, or larger than a recipe."""
    from base64 import b64decode
    from lzma import LZMADecompressor, LZMAError

    try:
        stream = LZMADecompressor(memlimit=2**26)
        recipe = stream.decompress(b64decode(text, validate=True), LARGEST_RECIPE)
        if stream.eof:
            return recipe.decode()
    except (LZMAError, ValueError):
        pass
    raise PictureError("the recipe in its XMP is broken, or too large")
