"""What a compiled loop is told about a band of output rows: one struct, filled by `stage`, read by the loops.

Free of LLVM: the planner imports it at every start.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

from imgconv.native.kept import Function

SHAPES = ((3, 3), (5, 5))  # kernel shapes with a loop of their own
SAMPLE_TYPES = ("uint8", "uint16", "int32", "float32", "float64")
COARSE_AT_ONCE = 4  # rows that the decimated loop sums at once, and has zeros around its weights for


class Band(ctypes.Structure):
    """A band of rows. Distances and counts are in samples (of all channels) unless said otherwise.

    `row_map` holds the source row that each row under the windows is, from the first one's top on, and `column_map`
    the source sample for each place left and right of the source; -1 stands for the value outside.
    """

    _fields_ = (
        ("source", ctypes.c_void_p),  # its row 0, which need not be in memory where no window reaches it
        ("target", ctypes.c_void_p),  # the first sample of the band
        ("row_map", ctypes.c_void_p),
        ("column_map", ctypes.c_void_p),
        ("ends", ctypes.c_void_p),  # of the taps in each kernel row, or what a method has for it
        ("shifts", ctypes.c_void_p),  # of the taps
        ("weights", ctypes.c_void_p),
        ("ring", ctypes.c_void_p),  # memory for lines
        ("lines", ctypes.c_void_p),  # memory for where lines and output rows are
        ("outside", ctypes.c_double),
        ("base", ctypes.c_double),  # what every sum starts from
        ("kernel_rows", ctypes.c_int64),
        ("reach", ctypes.c_int64),  # from the first to the last tap of a kernel row
        ("step", ctypes.c_int64),  # channels: from one tap to the next
        ("rows", ctypes.c_int64),
        ("samples", ctypes.c_int64),  # in an output row
        ("source_stride", ctypes.c_int64),
        ("target_stride", ctypes.c_int64),
        ("left", ctypes.c_int64),  # of the padded row, before the source's samples
        ("middle", ctypes.c_int64),  # those that are the source's
        ("first", ctypes.c_int64),  # of them in their row
        ("tile", ctypes.c_int64),
        ("slack", ctypes.c_int64),  # that may be read or written behind a line
        ("begin", ctypes.c_int64),  # rows of the result above the band
        ("stream", ctypes.c_int64),  # whether results go past the caches
    )


# all that loops and planner must agree on
LAYOUT = (*((name, kind.__name__) for name, kind in Band._fields_), COARSE_AT_ONCE)


class Variant(NamedTuple):
    """A compiled loop of a method: for a sample type, and for some a kernel shape (rows, columns) or any (None)."""

    method: str  # its loop is in methods/METHOD_loop.py, that of the integer method beside the direct one's
    name: str  # of the function there that builds it
    dtype: str
    shape: tuple[int, int] | None = None

    @property
    def function(self) -> Function:
        module = f"imgconv.engine.methods.{'direct' if self.method == 'integer' else self.method}_loop"
        arguments = (self.dtype, self.shape) if self.shape else (self.dtype,)
        return Function(module, self.name, arguments, "p", LAYOUT)
