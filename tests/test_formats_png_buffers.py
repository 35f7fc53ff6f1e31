"""PNG to and from memory that is no array, in a process in which NumPy must not be touched."""

import subprocess
import sys

import numpy as np
import pytest
from makers import decode_png, encode_png, noise, opened, saved
from PIL import Image

CHILD = """if True:
    import os
    import sys
    from types import ModuleType

    class Untouched(ModuleType):
        def __getattr__(self, name):
            raise AssertionError(f"numpy.{name} is asked for")

    sys.modules["numpy"] = Untouched("numpy")
    from imgconv import memory
    from imgconv.formats.png.codec import PngSink, decoder_of

    for name in sys.argv[1:]:
        with open(name, "rb") as file:
            decoder = decoder_of(file, os.path.getsize(name))
            samples = memory.empty(decoder.shape, memory.SampleType(decoder.dtype))
            third = len(samples) // 3
            decoder.read(samples[:third], 2)
            decoder.read(samples[third:], 2)
        sink = PngSink(samples.shape, samples.dtype, threads=2)
        with open(name + ".again", "wb") as file:
            sink.begin(file)
            for start in range(0, len(samples), 2 * sink.step):
                sink.write(samples[start : start + 2 * sink.step])
            sink.end()
"""


@pytest.mark.parametrize("shape", [(3, 1), (501, 301), (1100, 1024)])
def test_numpy_is_not_touched(tmp_path, shape):
    arrays = {"L": noise(*shape), "LA": noise(*shape, 2), "RGB": noise(*shape, 3) // 16, "RGBA": noise(*shape, 4)}
    decode_png(encode_png(arrays["L"]))  # the loops are compiled, for which Numba takes NumPy
    for mode, array in arrays.items():
        (tmp_path / mode).write_bytes(saved(Image.fromarray(array), "PNG", compress_level=1))
    child = [sys.executable, "-c", CHILD, *arrays]
    done = subprocess.run(child, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for mode, array in arrays.items():
        again = (tmp_path / f"{mode}.again").read_bytes()
        assert np.array_equal(np.asarray(opened(again)), np.asarray(opened((tmp_path / mode).read_bytes())))
        assert again == encode_png(array)
