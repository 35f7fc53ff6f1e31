"""The table of peers: each does what its row says, and says what it lacks."""

from __future__ import annotations

import numpy as np
import pytest
from makers import noise
from oracle import correlate

from imgconv.bench.works import EDGE_ENHANCE
from imgconv.conventions import COMPARED
from imgconv.kernels.value import Kernel
from imgconv.peers import pillow
from imgconv.peers.table import PEERS
from imgconv.peers.task import Task, Unsupported
from imgconv.recipe.options import Options
from imgconv.recipe.settings import correlation

MODES = {"L": 1, "RGB": 3}


def task(side, kind="dense", mode="RGB", **options):
    weights = np.arange(1.0, side * side + 1).reshape(side, side)
    return Task(
        kind, ((correlation(Kernel(weights / weights.sum()), Options(**{"border": "edge"} | options)), None),), mode, 1
    )


def able(name):
    if not PEERS[name].installed:
        pytest.skip(f"{name} is not installed")
    return PEERS[name]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("name", [name for name in PEERS if name not in ("numpy", "halide")])
def test_each_slides_the_kernel_that_its_row_allows(name, dtype, mode):
    source = noise(14, 17, MODES[mode], dtype=dtype).reshape(14, 17, MODES[mode])
    peer, asked = able(name), task(3, mode=mode)
    if name.startswith("pillow") and dtype != "uint8":
        with pytest.raises(Unsupported, match="8-bit"):
            peer.prepare(asked, source)
        return
    if name == "ipp" and MODES[mode] != 3:
        with pytest.raises(Unsupported, match="three channels"):
            peer.prepare(asked, source)
        return
    target = np.empty_like(source)
    found = np.asarray(peer.prepare(asked, source, target, 1)()).reshape(source.shape)
    expected = correlate(source.astype(float), asked.weights)
    inside = (slice(1, -1), slice(1, -1))  # Pillow has a border of its own
    level = {"uint8": 3, "uint16": 20, "float32": 0.02}[dtype]  # some cut, libvips rounds the weights; flipped: 50
    assert np.abs(found[inside] - expected[inside]).max() <= level
    assert not peer.borders or np.abs(found - expected).max() <= level


@pytest.mark.parametrize(
    ("name", "asked", "told"),
    [
        ("numpy", task(3), "no dense"),
        ("pillow", task(7), "3×3 or 5×5, this one is 7×7"),
        ("pillow", task(3, mode=""), "not arrays of uint8"),
        ("halide", task(9), "this one is 9×9"),
        ("scikit-image", task(3, "box"), "no box"),
        ("libvips", task(3, anchor=(0, 0)), "middle"),
        ("pillow", task(3, padding="valid"), "size of the picture"),
        ("opencv", Task("copy", ()), "no copy"),
    ],
)
def test_what_a_peer_lacks_is_said_without_it(name, asked, told):
    with pytest.raises(Unsupported, match=told):
        PEERS[name].prepare(asked, noise(9, 9, 3))


def test_tiles_of_ipp_stay_in_their_memory():
    able("ipp")
    kernel = Kernel(np.array(EDGE_ENHANCE, float), scale=2)
    asked = Task("dense", ((correlation(kernel, Options(border="edge")), None),))
    source = noise(387, 516, 3)
    expected = PEERS["opencv"].prepare(asked, source, np.empty_like(source), 1)()
    for _ in range(20):  # one byte written beside it, and sooner or later the process ends
        found = PEERS["ipp"].prepare(asked, source, None, 2)()
        assert np.abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("asked", [task(3), task(5), task(3, "gaussian"), task(5, "box")])
def test_pillow_does_the_same_in_a_process_of_its_own(asked, monkeypatch, tmp_path):
    monkeypatch.setattr(pillow, "FOLDER", tmp_path)  # there, but empty: the process finds the ordinary one
    source = noise(14, 17, 3)
    run, theirs = pillow.prepare_simd(asked, source, None, 1), pillow.prepare(asked, source, None, 1)
    for _ in range(2):
        np.testing.assert_array_equal(np.asarray(run()), np.asarray(theirs()))


def test_compare_asks_peers_of_the_table():
    assert set(COMPARED) <= set(PEERS)
    for name, peer in PEERS.items():
        assert name == peer.name.lower()
        assert bool(peer.version) or not peer.installed
