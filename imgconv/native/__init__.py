"""Machine code: compiled once, kept, loaded later without Numba; and the vectors that loops are written with."""
