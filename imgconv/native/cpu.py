"""The CPU of this machine."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from imgconv.native import link


class Cpu(NamedTuple):
    """What code that is compiled for a CPU depends on."""

    name: str  # as it calls itself
    identity: str  # everything that tells one from another
    features: frozenset[str]


@cache
def cpu() -> Cpu:
    """This machine's; on Linux without asking LLVM."""
    if link.possible():
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            first = file.read(16_384).partition("\n\n")[0]
        lines = [line.partition(":") for line in first.splitlines()]
        facts = {name.strip(): value.strip() for name, _, value in lines}
        if "flags" in facts:
            names = ("vendor_id", "cpu family", "model", "stepping", "flags")
            identity = " ".join(facts.get(name, "") for name in names)
            return Cpu(facts.get("model name", "?"), identity, frozenset(facts["flags"].split()))
    import llvmlite.binding as llvm

    name, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    have = frozenset(feature[1:] for feature in features.split(",") if feature.startswith("+"))
    return Cpu(name, f"{name} {features}", have)


def fuses() -> bool:
    """Whether the CPU multiplies and adds in one step."""
    return bool({"fma", "neon"} & cpu().features)


def adds_pairs() -> bool:
    """Whether the CPU multiplies bytes and adds the products in pairs, in one step."""
    return "ssse3" in cpu().features
