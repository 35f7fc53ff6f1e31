"""Links an object file that LLVM wrote into an image that runs wherever it lies, and loads it without LLVM.

LLVM takes 35 ms to import, half of what a small picture needs. A loop refers only to its own constants and, where
LLVM saw one, to memset or memcpy; so the object file itself, its relative addresses filled in, can be copied to
memory and run. Done for Linux on x86-64 (ELF, System V ABI 1.0, tables 4.8 to 4.10); elsewhere LLVM loads the object.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import sys
from typing import NamedTuple

import numpy as np

RELOCATION_SECTION, SYMBOL_SECTION = 4, 2
PC32, PLT32 = 2, 4
UNDEFINED, COMMON = 0, 0xFFF2
ALLOCATED = 2  # code and constants, jump tables among them; not what is for debuggers
STUB = b"\xff\x25\x00\x00\x00\x00"  # jmp *0(%rip): to the address in the 8 bytes behind it
HELPERS = ("memset", "memcpy", "memmove")  # what a stub may stand for


class Section(NamedTuple):
    """What is needed of a section header."""

    name: int
    kind: int
    flags: int
    offset: int
    size: int
    link: int
    info: int


def possible() -> bool:
    """Whether objects can be linked here."""
    return sys.platform == "linux" and os.uname().machine == "x86_64" and struct.calcsize("P") == 8


def linked(code: bytes, symbol: str) -> tuple[bytes, int, list[str]] | None:
    """An object file as (image, offset of `symbol`, helpers), or None when it holds what is not understood.

    The image ends with a stub for each helper, whose address `load` fills in.
    """
    (table,) = struct.unpack_from("<Q", code, 40)
    entry, count = struct.unpack_from("<HH", code, 58)
    sections = []
    for number in range(count):
        name, kind, flags, _, offset, size, link, info = struct.unpack_from("<IIQQQQII", code, table + number * entry)
        sections.append(Section(name, kind, flags, offset, size, link, info))
    image = bytearray(code)
    helpers: list[str] = []
    stubs: dict[str, int] = {}
    start = None
    for section in sections:
        if section.kind == SYMBOL_SECTION:
            for at in range(section.offset, section.offset + section.size, 24):
                name, _, _, index, value = struct.unpack_from("<IBBHQ", code, at)
                if index not in (UNDEFINED, COMMON) and _text(code, sections[section.link], name) == symbol:
                    start = sections[index].offset + value
        if section.kind != RELOCATION_SECTION or not sections[section.info].flags & ALLOCATED:
            continue
        symbols, place_in = sections[section.link], sections[section.info]
        for at in range(section.offset, section.offset + section.size, 24):
            place, what, addend = struct.unpack_from("<QQq", code, at)
            name, _, _, index, value = struct.unpack_from("<IBBHQ", code, symbols.offset + (what >> 32) * 24)
            if what & 0xFFFFFFFF not in (PC32, PLT32):
                return None
            if index == UNDEFINED:
                helper = _text(code, sections[symbols.link], name)
                if helper not in HELPERS:
                    return None
                if helper not in stubs:
                    helpers.append(helper)
                    stubs[helper] = len(image)
                    image += STUB + bytes(8)
                target = stubs[helper]
            elif index < count:
                target = sections[index].offset + value
            else:
                return None
            at_place = place_in.offset + place
            struct.pack_into("<i", image, at_place, target + addend - at_place)
    return None if start is None else (bytes(image), start, helpers)


def load(image: bytes, helpers: list[str]) -> int:
    """Copies an image into memory that can be run, for the life of the process; returns its address.

    Raises
    ------
    OSError
        When the system gives no such memory.
    """
    library = ctypes.CDLL(None)
    filled = bytearray(image)
    for number, helper in enumerate(reversed(helpers), 1):
        address = ctypes.cast(getattr(library, helper), ctypes.c_void_p).value
        slot = len(image) - (number - 1) * (len(STUB) + 8) - 8
        filled[slot : slot + 8] = struct.pack("<Q", address or 0)
    memory = _run_after_write(filled)
    if memory is None:
        # where no memory can be run that was written (PR_SET_MDWE, seccomp as systemd has it), a nameless file can
        with open(os.memfd_create("imgconv"), "wb", buffering=0) as file:
            file.write(filled)
            memory = mmap.mmap(file.fileno(), len(filled), prot=mmap.PROT_READ | mmap.PROT_EXEC)
    # never given back, even when Python is taken apart: a thread whose join was interrupted may still run there
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(memory))
    return int(np.frombuffer(memory, np.uint8).ctypes.data)


def may_compile() -> bool:
    """Whether memory can be run that was written, as LLVM's own loader needs it: it ends the process elsewhere."""
    return not possible() or _run_after_write(b"\xc3") is not None


def _run_after_write(code: bytes | bytearray) -> mmap.mmap | None:
    memory = mmap.mmap(-1, len(code))
    memory.write(code)
    protect = ctypes.CDLL(None).mprotect
    protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    start = np.frombuffer(memory, np.uint8).ctypes.data
    return None if protect(start, len(memory), mmap.PROT_READ | mmap.PROT_EXEC) else memory


def _text(code: bytes, table: Section, at: int) -> str:
    start = table.offset + at
    return code[start : code.index(b"\0", start)].decode()
