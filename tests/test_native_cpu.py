"""Results do not depend on how wide a CPU's vectors are: code for narrower ones gives the same bytes."""

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
    kind, features = target
    llvm.get_host_cpu_name = lambda: kind
    class Features:
        flatten = staticmethod(lambda: features)
    llvm.get_host_cpu_features = Features
    from imgconv.native import kept
    have = cpus.cpu()
    narrow = frozenset(f for f in have.features if not f.startswith("avx512") and "-" + f not in features)
    made = have._replace(features=narrow, identity=kind + features)
    cpus.cpu = kept.cpu = lambda: made
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
            if method not in ("auto", "fourier"):  # NumPy's transforms, which no code here is
                try:
                    result = imgconv.correlate(array, kernel, method=method, border="reflect")
                except imgconv.ImgconvError:
                    continue
                hashes[f"{method} {dtype} {name}"] = hashlib.sha256(result.tobytes()).hexdigest()[:16]
for name in ("gaussian:2", "unsharp:2"):
    array = rng.integers(0, 256, (83, 71, 3)).astype(np.uint8)
    hashes[name] = hashlib.sha256(imgconv.correlate(array, name, like="pillow").tobytes()).hexdigest()[:16]
print(json.dumps(hashes))
"""
AVX2 = "x86-64-v3", "+fma,+avx2,+avx"
AVX = "x86-64-v2", "+fma,+avx,-avx2"  # whole numbers 16 bytes wide


def hashes(target, folder):
    environment = os.environ | ({"IMGCONV_CACHE_DIR": str(folder)} if target else {})
    words = [sys.executable, "-c", CASES, json.dumps(target)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert not done.returncode, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(not link.possible(), reason="code for another x86 is compiled on Linux only")
@pytest.mark.skipif(not {"fma", "avx2"} <= cpu().features, reason="this CPU does not fuse, or has no AVX2")
def test_narrower_vectors_give_the_same_bytes(tmp_path):
    native = hashes(None, tmp_path)
    narrow = hashes(AVX2 if "avx512f" in cpu().features else AVX, tmp_path)
    assert len(native) > 60
    assert {case for case in native if native[case] != narrow[case]} == set()
