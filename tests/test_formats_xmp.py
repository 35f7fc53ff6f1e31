"""Recipes in XMP packets: put in among what others wrote, found again, taken out; and packets that make no sense."""

from __future__ import annotations

import lzma
from base64 import b64encode
from xml.etree import ElementTree

import pytest

from imgconv.errors import PictureError, WriteError
from imgconv.formats.xmp import NAMESPACE, RDF, Embedded, recipe_of, unfit, with_recipe, without_recipe

SMALL = Embedded('kernel = ["a < b & c"]\nborder = "]]>"\n', "imgconv 1, numpy 2")
LARGE = Embedded("# " + "".join(map(str, range(9999))) + "\n", "imgconv 1")
OTHERS = b"""<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
 <r:Description r:about="uuid:1" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:format="image/png">
  <dc:title><r:Alt><r:li xml:lang="x-default">caf\xc3\xa9</r:li></r:Alt></dc:title>
 </r:Description>
</r:RDF></x:xmpmeta>
        \n<?xpacket end="w"?>"""


@pytest.mark.parametrize("embedded", [SMALL, LARGE])
@pytest.mark.parametrize("packet", [b"", OTHERS, OTHERS.replace(b"r:", b"rdf:").replace(b":r=", b":rdf=")])
def test_a_recipe_is_found_again_and_the_rest_stays(packet, embedded):
    found = with_recipe(packet, embedded, "PNG")
    assert recipe_of(found) == embedded
    assert without_recipe(found) == packet or not packet
    for other in (SMALL, LARGE):
        again = with_recipe(found, other, "PNG")
        assert recipe_of(again) == other
        assert again.count(NAMESPACE.encode()) == 1
    root = ElementTree.fromstring(found.strip())
    abouts = {element.get(f"{{{RDF}}}about") for element in root.iter(f"{{{RDF}}}Description")}
    assert abouts == ({"uuid:1"} if packet else {""})
    assert not packet or "café" in ElementTree.tostring(root, "unicode")


def test_a_recipe_that_another_tool_has_written_anew_is_found_and_taken_out():
    text = SMALL.recipe.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;").replace("\n", "&#10;")
    packet = OTHERS.replace(b'dc:format="', f'xmlns:ns1="{NAMESPACE}" ns1:recipe="{text}" dc:format="'.encode())
    packet = packet.replace(b"<dc:title>", b"<ns1:versions>imgconv 1, numpy 2</ns1:versions><dc:title>")
    assert recipe_of(packet) == SMALL
    assert recipe_of(without_recipe(packet)) is None
    assert b"image/png" in without_recipe(packet)
    assert b"x-default" in without_recipe(packet)


def test_without_a_recipe():
    assert recipe_of(b"") is recipe_of(OTHERS) is None
    assert without_recipe(OTHERS) == OTHERS


@pytest.mark.parametrize(
    "packet", [b"no xml", OTHERS[:-60], b"<a/>", OTHERS.decode().encode("utf-16"), b"\xff" + OTHERS]
)
def test_nothing_is_put_into_what_makes_no_sense(packet):
    with pytest.raises(WriteError, match="makes no sense"):
        with_recipe(packet, SMALL, "PNG")


def hostile(word, text):
    start = f'<a xmlns:i="{NAMESPACE}"><i:{word}>'
    return f"{start}{text}</i:{word}></a>".encode()


@pytest.mark.parametrize(
    "packet",
    [
        hostile("recipe", "x").replace(b"</a>", b""),
        b'<!DOCTYPE a [<!ENTITY x "y">]>' + hostile("recipe", "&x;"),
        hostile("recipe_xz", "no base64"),
        hostile("recipe_xz", b64encode(b"no xz").decode()),
        hostile("recipe_xz", b64encode(lzma.compress(bytes(5 * 2**20))).decode()),
        hostile("recipe_xz", b64encode(lzma.compress(b"\xff")).decode()),
        hostile("recipe_xz", b64encode(lzma.compress(b"abc")[:-9]).decode()),
        hostile("recipe", "é").decode().encode("latin-1"),
        hostile("recipe", "x") + b" " * 2**24,
    ],
)
def test_hostile_packets_are_refused(packet):
    with pytest.raises(PictureError):
        recipe_of(packet)


def test_a_deep_packet_is_read_without_recursion():
    assert recipe_of(b"<b>" * 10**5 + hostile("recipe", "x") + b"</b>" * 10**5) == Embedded("x", "")


def test_formats_say_what_they_cannot_hold():
    assert not unfit("PNG")
    for form in ("GIF", "PPM", "BMP", "NPY", "CSV"):
        assert f"{form} cannot hold a recipe; --embed takes PNG, JPEG, MPO, TIFF, WEBP" in unfit(form)
