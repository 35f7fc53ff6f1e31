"""Codecs alone: what is left of a work where nothing is filtered.

python -m imgconv.bench.codecs LIBRARY PROCESSES FOLDER FILE...: files by so many processes.
"""

from __future__ import annotations

import sys
from multiprocessing import Pool
from pathlib import Path

QUALITY = 90  # of every JPEG file; ffmpeg counts otherwise


def pillow(source: Path, target: Path, threads: int = 1) -> None:
    """As imgconv reads and writes a JPEG."""
    from PIL import Image, JpegImagePlugin

    with Image.open(source) as image:
        sampling = JpegImagePlugin.get_sampling(image)
        image.save(target, qtables=image.quantization, subsampling=sampling)  # type: ignore[attr-defined]


def png(source: Path, target: Path, threads: int = 1) -> None:
    """imgconv's own, over isa-l and zlib-ng."""
    import numpy as np

    from imgconv.formats.limits import DEFAULT
    from imgconv.formats.png import codec

    with source.open("rb", buffering=0) as read, target.open("wb", buffering=0) as written:
        frame = codec.frame_of(read, source.stat().st_size, DEFAULT, threads)
        assert frame is not None  # it is an ordinary one
        assert frame.read is not None
        array = np.empty(frame.about.array.shape, frame.about.array.dtype)
        frame.read(array)
        sink = codec.PngSink(array.shape, array.dtype, threads=threads)
        sink.begin(written)
        sink.write(array)
        sink.end()


def simplejpeg(source: Path, target: Path, threads: int = 1) -> None:
    """libjpeg-turbo."""
    import simplejpeg

    data = source.read_bytes()
    colours, sampling = ("GRAY", "Gray") if simplejpeg.decode_jpeg_header(data)[2] == "Gray" else ("RGB", "420")
    array = simplejpeg.decode_jpeg(data, colours)
    target.write_bytes(simplejpeg.encode_jpeg(array, QUALITY, colours, sampling))


def imagecodecs(source: Path, target: Path, threads: int = 1) -> None:
    """libpng, libjpeg-turbo."""
    import imagecodecs as codecs

    if target.suffix == ".jpg":
        target.write_bytes(codecs.jpeg8_encode(codecs.jpeg8_decode(source.read_bytes()), level=QUALITY))
    else:
        target.write_bytes(codecs.png_encode(codecs.png_decode(source.read_bytes()), level=1))


# ending -> how a table calls it -> how it is done; first of all as imgconv does it
CODECS = {
    ".jpg": {
        "codecs alone: Pillow": pillow,
        "codecs alone: simplejpeg": simplejpeg,
        "codecs alone: imagecodecs": imagecodecs,
    },
    ".png": {"codecs alone: imgconv": png, "codecs alone: imagecodecs": imagecodecs},
}


def main() -> None:
    """Does the files."""
    library, processes, folder, *names = sys.argv[1:]
    work = CODECS[Path(names[0]).suffix][library]
    with Pool(int(processes)) as pool:
        pool.starmap(work, [(Path(name), Path(folder, name)) for name in names])


if __name__ == "__main__":
    main()
