"""The compiled loops between pixels of three bytes and Pillow's, which keeps three samples in four bytes."""

from __future__ import annotations

from imgconv.native.emit import I8, Code, Pointer, Value

AT_ONCE = 4  # pixels: 16 bytes, within which every CPU can move them in one step
FILLER = 255  # what Pillow itself puts into the fourth byte


def pack(code: Code, target: Pointer, source: Pointer, pixels: Value) -> Value:
    """Pixels of 3 bytes, from pixels of 4."""
    return _move(code, target, source, pixels, 4, 3)


def unpack(code: Code, target: Pointer, source: Pointer, pixels: Value) -> Value:
    """Pixels of 4 bytes, from pixels of 3."""
    return _move(code, target, source, pixels, 3, 4)


def _move(code: Code, target: Pointer, source: Pointer, pixels: Value, size_in: int, size_out: int) -> Value:
    # of 16 bytes, 4 lie beyond the pixels on the side of three: the next step puts right what they hold, but not at the
    # end, which may be another thread's
    many = (pixels - 2).most(0) / AT_ONCE * AT_ONCE
    places = [p * size_in + c if c < 3 else 16 for p in range(AT_ONCE) for c in range(size_out)]
    places += [16] * (16 - len(places))
    filler = code.constant(I8, FILLER, 16)
    with code.loop(0, many, AT_ONCE) as p:
        before = source.load(p * size_in, 16)
        target.store(before.shuffled(filler, places), p * size_out)
    with code.loop(many, pixels) as p:
        to, at = target + p * size_out, source + p * size_in
        for c in range(3):
            to[c] = at[c]
        if size_out == 4:
            to[3] = code.constant(I8, FILLER)
    return code.number(0)
