"""Links an object file that LLVM wrote into an image that runs wherever it lies, and loads it without LLVM.

LLVM takes 35 ms to import, half of what a small picture needs. A loop refers only to its own constants and, where
LLVM saw one, to memset or memcpy; so the object file itself, its relative addresses filled in, can be copied to
memory and run. Done for Linux on x86-64 (ELF, System V ABI 1.0, tables 4.8 to 4.10) and on AArch64 (its ELF, 2024Q3,
tables of 5.7); elsewhere LLVM loads the object.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import sys
from typing import NamedTuple

from imgconv.memory import address_of

RELOCATION_SECTION, SYMBOL_SECTION = 4, 2
X86_64, AARCH64 = 62, 183  # machines, in an object's header
# relocations: of x86-64; and of AArch64, the second line for 12 bits of an address, by how far right these are moved
PC32, PLT32, PREL32, PAGE, JUMP26, CALL26 = 2, 4, 261, 275, 282, 283
LOW12 = {277: 0, 278: 0, 284: 1, 285: 2, 286: 3, 299: 4}  # of an addition, and where so many bytes are loaded or stored
UNDEFINED, COMMON = 0, 0xFFF2
ALLOCATED = 2  # code and constants, jump tables among them; not what is for debuggers
STUBS = {  # that jump to the address in the 8 bytes behind them
    X86_64: bytes.fromhex("ff2500000000"),  # jmp *0(%rip)
    AARCH64: bytes.fromhex("50000058 00021fd6"),  # ldr x16, #8; br x16
}
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
    return sys.platform == "linux" and os.uname().machine in ("x86_64", "aarch64") and struct.calcsize("P") == 8


def linked(code: bytes, symbol: str) -> tuple[bytes, int, dict[str, int]] | None:
    """An object file as (image, offset of `symbol`, helpers), or None when it holds what is not understood.

    The image ends with a stub for each helper; it is to lie at the start of a page, and to have their addresses where
    these say.
    """
    (machine,) = struct.unpack_from("<H", code, 18)
    (table,) = struct.unpack_from("<Q", code, 40)
    entry, count = struct.unpack_from("<HH", code, 58)
    sections = []
    for number in range(count):
        name, kind, flags, _, offset, size, link, info = struct.unpack_from("<IIQQQQII", code, table + number * entry)
        sections.append(Section(name, kind, flags, offset, size, link, info))
    image = bytearray(code) + bytes(-len(code) % 16)
    helpers: dict[str, int] = {}
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
            if index == UNDEFINED:
                helper = _text(code, sections[symbols.link], name)
                if helper not in HELPERS:
                    return None
                if helper not in helpers:
                    image += STUBS[machine] + bytes(8)
                    helpers[helper] = len(image) - 8
                target = helpers[helper] - len(STUBS[machine])
            elif index < count:
                target = sections[index].offset + value
            else:
                return None
            if not _relocate(image, what & 0xFFFFFFFF, place_in.offset + place, target + addend):
                return None
    return None if start is None else (bytes(image), start, helpers)


def _relocate(image: bytearray, what: int, place: int, target: int) -> bool:
    """Writes an address into the instruction or number at a place; False for a kind that is not known."""
    (word,) = struct.unpack_from("<I", image, place)
    away = target - place
    if what in (PC32, PLT32, PREL32):
        word = away & 0xFFFFFFFF
    elif what in (JUMP26, CALL26):
        word |= away >> 2 & 0x3FFFFFF
    elif what == PAGE:
        pages = (target >> 12) - (place >> 12)
        word |= (pages & 3) << 29 | (pages >> 2 & 0x7FFFF) << 5
    elif what in LOW12:
        word |= (target & 0xFFF) >> LOW12[what] << 10
    else:
        return False
    struct.pack_into("<I", image, place, word)
    return True


def load(image: bytes, helpers: dict[str, int]) -> int:
    """Copies an image into memory that can be run, for the life of the process; returns its address.

    Raises
    ------
    OSError
        When the system gives no such memory.
    """
    library = ctypes.CDLL(None)
    filled = bytearray(image)
    for helper, slot in helpers.items():
        address = ctypes.cast(getattr(library, helper), ctypes.c_void_p).value
        struct.pack_into("<Q", filled, slot, address or 0)
    memory = _run_after_write(filled)
    if memory is None:
        # where no memory can be run that was written (PR_SET_MDWE, seccomp as systemd has it), a nameless file can
        with open(os.memfd_create("imgconv"), "wb", buffering=0) as file:
            file.write(filled)
            memory = mmap.mmap(file.fileno(), len(filled), prot=mmap.PROT_READ | mmap.PROT_EXEC)
    # never given back, even when Python is taken apart: a thread whose join was interrupted may still run there
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(memory))
    start = address_of(memory)
    if os.uname().machine == "aarch64":  # where the cache of instructions does not see what was written
        ctypes.CDLL("libgcc_s.so.1").__clear_cache(ctypes.c_void_p(start), ctypes.c_void_p(start + len(filled)))
    return start


def may_compile() -> bool:
    """Whether memory can be run that was written, as LLVM's own loader needs it: it ends the process elsewhere."""
    return not possible() or _run_after_write(b"\xc3") is not None


def _run_after_write(code: bytes | bytearray) -> mmap.mmap | None:
    memory = mmap.mmap(-1, len(code))
    memory.write(code)
    protect = ctypes.CDLL(None).mprotect
    protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return None if protect(address_of(memory), len(memory), mmap.PROT_READ | mmap.PROT_EXEC) else memory


def _text(code: bytes, table: Section, at: int) -> str:
    start = table.offset + at
    return code[start : code.index(b"\0", start)].decode()
