"""compare against SciPy and OpenCV: each gets the conventions that hold, and what it lacks is said."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from makers import noise

from imgconv.cli import cli
from imgconv.compare import compare
from imgconv.conventions import COMPARED
from imgconv.formats.picture import Picture
from imgconv.kernels.spec import kernel
from imgconv.peers.table import PEERS
from imgconv.recipe.options import Options
from imgconv.recipe.recipe import Recipe

LOPSIDED = "1 2 3 4; 3 0 -1 2"


def on(array, peer, spec, **options):
    if not PEERS[peer].installed:
        pytest.skip(f"{peer} is not installed")
    picture = Picture(array, "RGB" if array.ndim == 3 and array.dtype == np.uint8 else "", "PNG")
    return compare(peer, picture, Recipe((kernel(spec),), Options(**options)), rounds=1)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize("anchor", [(0, 0), (1, 3), (0, 2), "low", "high"])
@pytest.mark.parametrize("mode", ["correlate", "convolve"])
@pytest.mark.parametrize("peer", ["scipy", "opencv"])
def test_anchor_and_flip_reach_the_peer(peer, mode, anchor, dtype):
    found = on(noise(14, 17, 3, dtype=dtype), peer, LOPSIDED, mode=mode, anchor=anchor, border="edge")
    assert (found.equal, found.lacks, found.all_pixels) == (True, "", 14 * 17)


@pytest.mark.parametrize("border", ["edge", "reflect", "symmetric", "constant", "wrap", "wrap-x", "constant:9", "keep"])
@pytest.mark.parametrize("peer", ["scipy", "opencv"])
def test_borders_reach_the_peer_or_only_the_inner_part_is_compared(peer, border):
    found = on(noise(14, 17, 3), peer, LOPSIDED, border=border)
    lacks = border in ("keep", "wrap-x") or (peer == "opencv" and border in ("wrap", "constant:9"))
    assert found.equal
    assert found.lacks == (f"border {border}" if lacks else "")
    assert found.all_pixels == (13 * 14 if lacks else 14 * 17)


@pytest.mark.parametrize(("like", "peer"), [("ndimage", "scipy"), ("scipy", "scipy"), ("opencv", "opencv")])
@pytest.mark.parametrize("spec", [LOPSIDED, "3x3: 1,2,3 4,5,6 7,8,-9", "edge_enhance"])
def test_like_gives_the_tools_own_bytes(like, peer, spec):
    for dtype in ("uint8", "uint16", "float64"):
        assert on(noise(14, 17, 3, dtype=dtype), peer, spec, like=like).equal


def test_padding_valid_needs_no_border():
    for peer in ("scipy", "opencv"):
        found = on(noise(14, 17, 3), peer, LOPSIDED, border="renormalize", padding="valid")
        assert (found.equal, found.lacks, found.all_pixels) == (True, "", 13 * 14)


def test_ties_show_and_are_explained(tmp_path):
    if not PEERS["opencv"].installed:
        pytest.skip("OpenCV is not installed")
    np.save(tmp_path / "a.npy", noise(14, 17))
    words = ["compare", str(tmp_path / "a.npy"), "-k", "edge_enhance", "--border", "edge", "--peer", "opencv"]
    found = CliRunner().invoke(cli, [*words, "--rounds", "1"], standalone_mode=False)
    assert found.return_value == 1
    assert "by 1 at most" in found.stdout
    assert "--like opencv" in found.stdout


@pytest.mark.parametrize(
    ("options", "told"),
    [({"stride": (2, 2)}, "--stride"), ({"padding": "full"}, "size"), ({"after": "abs"}, "--after")],
)
def test_what_no_peer_has_is_said(options, told):
    for peer in COMPARED:
        found = on(noise(14, 17, 3), peer, "sobel_x", **options)
        assert told in found.impossible
        assert not found.equal


def test_peers_decide_where_pillow_cannot(tmp_path):
    np.save(tmp_path / "a.npy", noise(14, 17, dtype="uint16"))
    words = ["compare", str(tmp_path / "a.npy"), "-k", LOPSIDED, "--rounds", "1", "--json"]
    found = CliRunner().invoke(cli, words, standalone_mode=False)
    told = json.loads(found.stdout)
    able = [each for each in told["peers"] if not each["impossible"]]
    assert told["peers"][0]["peer"] == "pillow"
    assert "3×3 or 5×5" in told["impossible"]
    assert found.return_value == (0 if able else 1)
    assert {"pixels", "pillow_s", "ratio", "imgconv_s", "only_border"} <= told.keys()


def test_a_peer_that_is_not_installed_is_left_out(monkeypatch, tmp_path):
    monkeypatch.setattr("imgconv.peers.table.find_spec", lambda name: None if name in ("scipy", "cv2") else True)
    np.save(tmp_path / "a.npy", noise(9, 9))
    words = ["compare", str(tmp_path / "a.npy"), "-k", "blur", "--rounds", "1"]
    assert CliRunner().invoke(cli, words, standalone_mode=False).stdout.count("\n") == 1
    alone = CliRunner().invoke(cli, [*words, "--peer", "scipy"], standalone_mode=False)
    assert "not installed" in alone.stdout
    assert alone.return_value == 1


def test_scipy_has_no_half_floats():
    found = on(noise(9, 9).astype(np.float16), "scipy", "blur")
    assert found.impossible == "it is not compared on float16"
