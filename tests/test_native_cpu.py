"""Results do not depend on how wide a CPU's vectors are: code for narrower and for wider ones gives the same bytes."""

import json
import os
import subprocess
import sys

import pytest

from imgconv.native import link
from imgconv.native.cpu import cpu

# each method on each type that it takes, hashed; with a target, code is compiled for that
CASES = """
import hashlib, json, sys
import numpy as np
from imgconv.native import cpu as cpus
target = json.loads(sys.argv[1])
if target:
    import llvmlite.binding as llvm
    kind, features, more = target
    llvm.get_host_cpu_name = lambda: kind
    class Features:
        flatten = staticmethod(lambda: features)
    llvm.get_host_cpu_features = Features
    from imgconv.native import kept
    have = cpus.cpu()
    narrow = frozenset(f for f in have.features if not f.startswith("avx512") and "-" + f not in features)
    made = have._replace(features=narrow | set(more), identity=f"{target}")
    cpus.cpu = kept.cpu = lambda: made
    if "avx512bw" in more:
        # no CPU here has these instructions: what they do, as Intel's manual defines them
        from imgconv.native.emit import I8, I16, I32, Value
        def pairs(self, weights):
            weights = Value(self.code, self.code.builder.bitcast(weights.ir, self.ir.type))
            first, second = (
                self.shuffled(self, places).to(I32) * weights.shuffled(weights, places).to(I32, signed=True)
                for places in (list(range(0, self.lanes, 2)), list(range(1, self.lanes, 2)))
            )
            return (first + second).most(-(2**15)).least(2**15 - 1).to(I16)
        def words_times(self, weights):
            first, second = (
                a.shuffled(a, places).to(I32, signed=True) * b.shuffled(b, places).to(I32, signed=True)
                for a, b in [(self.seen_as(I16), weights.seen_as(I16))]
                for places in (list(range(0, a.lanes, 2)), list(range(1, a.lanes, 2)))
            )
            return first + second
        def upper_times(self, other):
            return (self.to(I32) * other.to(I32)).upper(16).to(I16)
        def packed(self, other):
            half, low, high, lane = (I8, 0, 255, 8) if self.kind == I16 else (I16, -(2**15), 2**15 - 1, 4)
            runs = [list(range(first, first + lane)) for first in range(0, self.lanes, lane)]
            places = [place for run in runs for place in (*run, *(self.lanes + n for n in run))]
            first, second = (value.most(low).least(high).to(half) for value in (self, other))
            return first.shuffled(second, places)
        Value.pairs, Value.packed, Value.words_times, Value.upper_times = pairs, packed, words_times, upper_times
import imgconv
from imgconv.conventions import METHODS
rng = np.random.default_rng(0)
kernels = {
    "dense": rng.normal(size=(3, 3)), "whole": rng.integers(-3, 9, (5, 5)), "gaussian": "gaussian:3", "box": "box:4",
    "wide": "gaussian:12", "dense 7": rng.normal(size=(7, 7)),
}
hashes = {}
for dtype in ("uint8", "uint16", "int32", "float32", "float64"):
    array = rng.integers(0, 250, (83, 71, 3)).astype(dtype)
    for name, kernel in kernels.items():
        for method in METHODS:
            if method != "auto":
                try:
                    result = imgconv.correlate(array, kernel, method=method, border="reflect")
                except imgconv.ImgconvError:
                    continue
                hashes[f"{method} {dtype} {name}"] = hashlib.sha256(result.tobytes()).hexdigest()[:16]
for width in range(1, 131):
    array = rng.integers(0, 256, (9, width)).astype(np.uint8)
    for name in ("edge_enhance", "box:2"):
        result = imgconv.correlate(array, name, method="integer", border="edge")
        hashes[f"{width} {name}"] = hashlib.sha256(result.tobytes()).hexdigest()[:16]
for name in ("gaussian:2", "unsharp:2"):
    array = rng.integers(0, 256, (83, 71, 3)).astype(np.uint8)
    hashes[name] = hashlib.sha256(imgconv.correlate(array, name, like="pillow").tobytes()).hexdigest()[:16]
print(json.dumps(hashes))
"""
AVX2 = "x86-64-v3", "+fma,+avx2,+avx"
TARGETS = {
    "AVX2": (*AVX2, ()),
    "AVX": ("x86-64-v2", "+fma,+avx,-avx2", ()),  # whole numbers 16 bytes wide
    # what stands for multiplying and adding in pairs; bytes one by one, in words of LLVM's that every CPU has
    "AArch64": ("x86-64", "+fma,+avx,-avx2,-ssse3", ("asimd",)),
    "AVX-512 in halves": (*AVX2, ("avx512f", "avx512bw")),  # 64 bytes wide: LLVM splits each vector
}


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    return hashes(None, tmp_path_factory.mktemp("native"))


def hashes(target, folder):
    environment = os.environ | ({"IMGCONV_CACHE_DIR": str(folder)} if target else {})
    words = [sys.executable, "-c", CASES, json.dumps(target)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert not done.returncode, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(not link.possible(), reason="code for another x86 is compiled on Linux only")
@pytest.mark.skipif(not {"fma", "avx2"} <= cpu().features, reason="this CPU does not fuse, or has no AVX2")
@pytest.mark.parametrize("name", ["AVX2"] if "avx512bw" in cpu().features else ["AVX", "AArch64", "AVX-512 in halves"])
def test_vectors_of_another_width_give_the_same_bytes(native, name, tmp_path):
    other = hashes(TARGETS[name], tmp_path)
    assert len(native) > 320
    assert {case for case in native if native[case] != other[case]} == set()
