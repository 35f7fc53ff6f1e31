"""What methods cost, in CPU cycles for 16 samples of 8 bits: one table for all CPUs, of which only ratios matter."""

from __future__ import annotations

# of one tap (or one halving of a column), measured with one thread; imgconv bench --costs prints them for a machine
COSTS = {
    "unrolled": 1.2, "listed": 1.4, "integer": 0.6, "pairs": 0.55, "fixed": 0.75, "fused": 0.59,
    "along": 1.35, "across": 0.7, "coarse": 0.7, "halving": 2.5, "complex": 1.1,
}  # fmt: skip
FEW_ROWS = {1: 2, 2: 1.3, 3: 1.15}  # what a tap costs more where fewer than four rows share what is loaded
