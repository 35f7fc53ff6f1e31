"""The CPU of this machine."""

from __future__ import annotations

import os
from collections.abc import Set
from functools import cache
from typing import NamedTuple

from imgconv.native import link


class Cpu(NamedTuple):
    """What code that is compiled for a CPU depends on."""

    name: str  # as it calls itself
    identity: str  # everything that tells one from another
    features: frozenset[str]


# what Linux says of it: its features, and what tells one from another
TOLD = {
    "x86_64": ("flags", "vendor_id", "cpu family", "model", "stepping"),
    "aarch64": ("Features", "CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision"),
}


@cache
def cpu() -> Cpu:
    """This machine's; on Linux without asking LLVM."""
    if link.possible():
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            first = file.read(16_384).partition("\n\n")[0]
        lines = [line.partition(":") for line in first.splitlines()]
        facts = {name.strip(): value.strip() for name, _, value in lines}
        flags, *names = TOLD[os.uname().machine]
        if flags in facts:  # an emulator may show the file of another machine
            told = ", ".join(f"{name} {facts.get(name, '?')}" for name in names)
            return Cpu(facts.get("model name", told), f"{told} {facts[flags]}", frozenset(facts[flags].split()))
    import llvmlite.binding as llvm

    name, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    have = frozenset(feature[1:] for feature in features.split(",") if feature.startswith("+"))
    if llvm.get_process_triple().startswith(("aarch64", "arm64")):  # all have it, and LLVM does not ask every system
        have |= {"asimd"}
    return Cpu(name, f"{name} {features}", have)


def fuses() -> bool:
    """Whether the CPU multiplies and adds in one step."""
    return bool({"fma", "asimd"} & cpu().features)


def products_at_once(features: Set[str]) -> int:
    """How many products a 32-bit sum takes in one step: of four bytes, or of two numbers of 16 bits."""
    return 4 if {"dotprod", "asimddp"} & features else 2


def multiplies_bytes() -> bool:
    """Whether the CPU multiplies bytes and adds the products to numbers of 16 bits, in one step or two."""
    return bool({"ssse3", "asimd"} & cpu().features)
