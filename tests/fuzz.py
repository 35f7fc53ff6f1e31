"""Mutated files through the command line: no traceback, no hang, no memory beyond reason, no pixel but Pillow's.

    python tests/fuzz.py --files 20000 --seed 1       the same files each time; those that fail are kept
    python tests/fuzz.py --atheris [DIR] [-runs=N]    guided by coverage, where atheris is installed

Every file is a small sound one, made anew and then broken: bits, bytes, numbers, blocks; inside PNG chunks whose
checksums are made right again; in tags of TIFF directories. One process takes many; when it dies, the next goes on.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import io
import json
import os
import random
import re
import resource
import shlex
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("IMGCONV_CACHE_DIR", str(Path(tempfile.gettempdir()) / f"imgconv-tests-{os.getuid()}"))

import numpy as np
from makers import chunk, noise, saved
from PIL import Image
from sound import Seed, seeds

LONGEST_S = 10  # of CPU time: other processes may be about
STUCK_S = 200  # of any time
LARGEST_MEMORY = 2**30  # bytes beyond what the process had, for a file of less than 1 MB
ADDRESSES = 2**34  # bytes: what is asked for beyond is refused, so that this machine lives on
NUMBERS = (0, 1, 2, 7, 8, 127, 128, 255, 256, 2**15, 65535, 2**16, 2**24, 2**30, 2**31 - 1, 2**31, 2**32 - 1)
WORDS = (b"0", b"-1", b"1/0", b"1e308", b"1e-320", b"nan", b"inf", b"99999999999999999999", b"", b"[", b'"', b"\xff",
         b"0x10", b"1_0", b"True", b"-", b";", b"#", b"\n", b"\r", b"\0", b"1/3", b"\xef\xbb\xbf")  # fmt: skip


# what is done to them


def mutated(data: bytes, others: list[bytes], dice: random.Random) -> bytes:
    """The bytes with one to four things wrong; `others` are of the same format."""
    for _ in range(dice.choice((1, 1, 1, 1, 2, 2, 3, 4))):
        if data.startswith(b"\x89PNG") and dice.random() < 0.8:
            data = in_chunk(data, others, dice)
        elif data[:4] in (b"II*\0", b"MM\0*") and dice.random() < 0.5:
            data = in_directory(data, dice)
        elif data.startswith(b"\x93NUMPY") and dice.random() < 0.6:
            data = with_header(data, dice)
        elif data.strip()[:1].isascii() and b"\0" not in data and dice.random() < 0.6:
            data = set_word(data, others, dice)
        else:
            data = dice.choice(MUTATORS)(data, others, dice)
    return data[: 2**20 - 1]


def flip(data: bytes, others: list[bytes], dice: random.Random) -> bytes:
    return replaced(data, at := place(data, dice), bytes([byte ^ 1 << dice.randrange(8) for byte in data[at : at + 1]]))


def set_byte(data: bytes, others: list[bytes], dice: random.Random) -> bytes:
    return replaced(data, place(data, dice), bytes([dice.choice((0, 1, 127, 128, 254, 255, dice.randrange(256)))]))


def set_number(data: bytes, others: list[bytes], dice: random.Random) -> bytes:
    number, form = dice.choice(NUMBERS) + dice.choice((0, 0, 0, 1, -1)), dice.choice("BHIQ")
    packed = struct.pack(dice.choice("<>") + form, number % 2 ** (8 * struct.calcsize("<" + form)))
    return replaced(data, place(data, dice), packed)


def set_word(data: bytes, others: list[bytes], dice: random.Random) -> bytes:
    """Another number, or something that is none, in text."""
    words = list(re.finditer(rb"[-+.\w]+", data[:4096]))
    if not words:
        return data
    word = dice.choice(words)
    return data[: word.start()] + dice.choice((*WORDS, *[str(dice.choice(NUMBERS)).encode()] * 40)) + data[word.end() :]


def cut(data: bytes, others: list[bytes], dice: random.Random) -> bytes:
    return data[: place(data, dice)]


def take_out(data: bytes, others: list[bytes], dice: random.Random) -> bytes:
    at = place(data, dice)
    return data[:at] + data[at + length(dice) :]


def double(data: bytes, others: list[bytes], dice: random.Random) -> bytes:
    at = place(data, dice)
    part = data[at : at + length(dice)]
    return data[:at] + part * dice.choice((2, 2, 3, 100)) + data[at + len(part) :]


def put_in(data: bytes, others: list[bytes], dice: random.Random) -> bytes:
    at = place(data, dice)
    return data[:at] + bytes([dice.choice((0, 255, dice.randrange(256)))]) * length(dice) + data[at:]


def splice(data: bytes, others: list[bytes], dice: random.Random) -> bytes:
    other = dice.choice(others)
    return data[: place(data, dice)] + other[place(other, dice) :]


def swap(data: bytes, others: list[bytes], dice: random.Random) -> bytes:
    other = dice.choice(others)
    at = place(other, dice)
    return replaced(data, place(data, dice), other[at : at + length(dice)])


MUTATORS: tuple[Callable[[bytes, list[bytes], random.Random], bytes], ...] = (
    flip, flip, set_byte, set_byte, set_number, set_number, set_word, cut, take_out, double, put_in, splice, swap,
)  # fmt: skip


def place(data: bytes, dice: random.Random) -> int:
    """Anywhere, and more often among the first bytes, where headers are."""
    return dice.randrange(min(len(data), dice.choice((32, 128, len(data), len(data)))) + 1) if data else 0


def length(dice: random.Random) -> int:
    return dice.choice((1, 2, 4, 12, dice.randrange(1, 300)))


def replaced(data: bytes, at: int, part: bytes) -> bytes:
    return data[:at] + part + data[at + len(part) :]


def in_chunk(data: bytes, others: list[bytes], dice: random.Random) -> bytes:
    """A PNG whose chunks are all right outside, one of them with something wrong inside."""
    chunks, at = [], 8
    while at + 12 <= len(data) and len(chunks) < 1000:
        (size,) = struct.unpack(">I", data[at : at + 4])
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + min(size, len(data))]))
        at += 12 + size
    if not chunks:
        return data
    number = dice.randrange(len(chunks))
    name, body = chunks[number]
    if name in (b"IDAT", b"zTXt", b"iCCP") and dice.random() < 0.5:  # what has been compressed
        start = 0 if name == b"IDAT" else body.find(b"\0") + 2
        with contextlib.suppress(zlib.error):
            plain = dice.choice(MUTATORS)(zlib.decompressobj().decompress(body[start:], 2**20), others, dice)
            body = body[:start] + zlib.compress(plain)
    else:
        body = dice.choice(MUTATORS)(body, others, dice)
    chunks[number] = dice.choice((*[name] * 20, name[:3] + b"x", b"tRNS", b"PLTE", b"IDAT")), body
    return data[:8] + b"".join(chunk(name, body) for name, body in chunks)


def in_directory(data: bytes, dice: random.Random) -> bytes:
    """A TIFF with another type, count or value of a tag."""
    order = "<" if data[:2] == b"II" else ">"
    (at,) = struct.unpack(order + "I", data[4:8].ljust(4, b"\0"))
    (count,) = struct.unpack(order + "H", data[at : at + 2].ljust(2, b"\0"))
    at += 2 + 12 * dice.randrange(max(1, min(count, 40)))
    if len(data) < at + 12:
        return data
    tag, kind, values, value = struct.unpack(order + "HHII", data[at : at + 12])
    number = dice.choice(NUMBERS)
    changed = dice.choice((
        (tag, dice.randrange(20), values, value), (tag, kind, number, value), (tag, kind, values, number),
        (tag, kind, values, value ^ 1 << dice.randrange(32)), (tag, 3, 1, number % 65536), (tag, 4, 1, number),
        (dice.choice((254, 256, 258, 259, 262, 273, 274, 277, 284, 317, 320, 322, 330, 338, 339, 34665, 700)), kind,
         values, value),
    ))  # fmt: skip
    return replaced(data, at, struct.pack(order + "HHII", *changed))


def with_header(data: bytes, dice: random.Random) -> bytes:
    """An .npy file whose header is well-formed, and says something else."""
    sizes = (2, 3, 6, 4, True, False, 1.0, -1, 2**63, *NUMBERS)
    shape = dice.choice(((2, 3), (3, 2), (2, 3, 4), tuple(dice.choice(sizes) for _ in range(dice.randrange(5)))))
    kinds = ("|b1", "|u1", "|i1", "<i2", ">u2", "<i4", "<u8", "<f2", ">f4", "<f8", "<f16", "<c8", "<O", "|S2", "<M8[s]")
    text = str({"descr": dice.choice(kinds), "fortran_order": dice.choice((True, False, False, 1)), "shape": shape})
    body = data[data.find(b"\n") + 1 :] * dice.choice((1, 1, 1, 10))
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text) + 1) + text.encode() + b"\n" + body


# what must hold


def commands(seed: Seed, dice: random.Random) -> list[str]:
    """The words of a command that reads `in` with the seed's ending."""
    file = "in" + seed.ending
    if seed.role == "kernel":
        return dice.choice(
            (["kernels", "show", f"./{file}"], ["apply", "sound.png", "-k", f"./{file}", "-o", "out.npy"])
        )
    if seed.role == "mask":
        return ["apply", "sound.png", "-k", "blur", "--mask", file, "-o", "out.npy"]
    other = "out" + dice.choice((seed.ending, ".png", ".tif", ".jpg", ".ppm", ".webp"))
    exact = ["-k", "identity", "--alpha", "straight", "-o", "out.npy"]
    whole = ["-k", "blur", "--border", "wrap", "-o", "out.npy"]
    options = (exact, exact, exact, whole, ["-k", "blur", "-o", other], ["-k", "blur", "--auto-orient", "-o", other])
    return ["apply", file, *dice.choice(options)]


class Answer(NamedTuple):
    """What a command gave in this process, and what no command may do: a traceback, too much time or memory."""

    status: int
    out: str
    said: str
    problem: str | None = None


def answer_to(words: Sequence[str], longest: float = LONGEST_S) -> Answer:
    """Runs a command."""
    from click.exceptions import ClickException

    from imgconv.cli import cli
    from imgconv.errors import ImgconvError

    out, err = io.StringIO(), io.StringIO()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak of memory begins anew
    before = memory("VmRSS")
    faulthandler.dump_traceback_later(STUCK_S, exit=True)
    signal.setitimer(signal.ITIMER_PROF, longest)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = cli.main(list(words), standalone_mode=False) or 0
    except (ImgconvError, ClickException) as refused:
        status = 2
        err.write(f"{refused}\n")
    except BaseException:
        return Answer(1, "", "", traceback.format_exc())
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_PROF, 0)
    said, more = err.getvalue(), memory("VmHWM") - before
    problem = said if "Traceback" in said or "Warning:" in said else None
    return Answer(status, out.getvalue(), said, f"took {more / 2**30:.1f} GB" if more > LARGEST_MEMORY else problem)


def problem_of(seed: Seed, data: bytes, words: list[str], longest: float = LONGEST_S) -> str | None:
    """What is wrong with the answer to a file, in the current folder; None when nothing is."""
    Path("in" + seed.ending).write_bytes(data)
    status, _, said, problem = answer_to([*words, *(["--overwrite", "-v"] if words[0] == "apply" else [])], longest)
    if problem:
        return problem
    if status and (len(said) > 2000 or len(said.strip().splitlines()) > 1 + (status == 1) * 9):
        return f"not one line: {said[:2000]}"
    if not status and words[:1] + words[2:4] == ["apply", "-k", "identity"]:
        return difference(seed, data, np.load("out.npy"), "damaged and left out" in said)
    return None


def memory(key: str) -> int:
    """Bytes, from the process's status; 0 where there is none."""
    with contextlib.suppress(OSError, IndexError):
        return 1024 * int(Path("/proc/self/status").read_text().split(key + ":")[1].split()[0])
    return 0


def difference(seed: Seed, data: bytes, found: np.ndarray, told: bool) -> str | None:
    """How the samples that imgconv read differ from Pillow's, or NumPy's; `told`: it passed over damaged metadata."""
    if seed.ending == ".npy":
        try:
            expected = np.load(io.BytesIO(data), allow_pickle=False)
        except Exception as refused:
            return f"NumPy refuses what was accepted: {refused}"
        return None if np.array_equal(found, expected, equal_nan=found.dtype.kind == "f") else "not NumPy's numbers"
    if seed.ending in (".txt", ".csv", ".heic"):
        return None
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data)) as image:
            image.load()
            key = "transparency" in image.info
            expected = np.asarray(plain(image))
    except Exception as refused:
        if told or (found.dtype == np.uint16 and found.ndim == 3):  # which Pillow does not have
            return None
        return f"Pillow refuses what was accepted: {type(refused).__name__} {refused}"
    if found.dtype != np.uint8 or expected.dtype != np.uint8 or image.mode == "LAB":
        return None
    if key and image.mode == "L":  # Pillow looks for its transparent level among pixels that it has widened
        found, expected = found[..., 0], expected[..., 0]
    if found.shape != expected.shape:
        return f"shape {found.shape}, Pillow's is {expected.shape}"
    wrong = int((found != expected).sum())
    return f"{wrong} of {found.size} samples are not Pillow's, mode {image.mode}" if wrong else None


def plain(image: Image.Image) -> Image.Image:
    key = "transparency" in image.info
    modes = {"1": "LA" if key else "L", "P": "RGBA" if key else "RGB", "PA": "RGBA", "RGBa": "RGBA", "RGBX": "RGB",
             "La": "LA"} | ({"L": "LA", "RGB": "RGBA"} if key else {})  # fmt: skip
    return image.convert(modes[image.mode]) if image.mode in modes else image


# many of them


def nth(number: int, seed: int, sound: list[Seed]) -> tuple[Seed, bytes, list[str]]:
    """The file of a number, and what is done with it: always the same. Those of seed 0 are sound."""
    dice = random.Random(f"{seed} {number}")
    if seed == 0:
        chosen = sound[number % len(sound)]
        return chosen, chosen.data, commands(chosen, dice)
    role = dice.choice(("picture",) * 6 + ("kernel",) * 2 + ("mask",))
    ending = dice.choice(sorted({seed.ending for seed in sound if seed.role == role}))
    chosen = dice.choice([seed for seed in sound if (seed.role, seed.ending) == (role, ending)])
    others = [each.data for each in sound if each.ending == chosen.ending]
    return chosen, mutated(chosen.data, others, dice), commands(chosen, dice)


def run(numbers: range, seed: int, seconds: float = 1e9, keep: Path | None = None) -> dict[int, str]:
    """Tries the files of some numbers until the seconds are over; what was wrong, by number, and kept in a folder."""
    end = time.monotonic() + seconds
    problems = {
        number: problem
        for number, problem in in_processes(__file__, numbers, lambda: [seed, end - time.monotonic()], end)
        if problem
    }
    for number in problems if keep else ():
        sound, data, command = nth(number, seed, seeds())
        keep.mkdir(parents=True, exist_ok=True)
        (keep / f"{seed}-{number}{sound.ending}").write_bytes(data)
        problems[number] += f"\n    imgconv {shlex.join(command)}"
    return problems


def in_processes(
    script: str, numbers: range, words: Callable[[], list[Any]], end: float = float("inf")
) -> Iterator[tuple[int, Any]]:
    """What a script called with --work, the first number, the last and `words` tells of each; of those that it does
    not survive, how it ended. The next process goes on behind."""
    start = numbers.start
    while start < numbers.stop and time.monotonic() < end:
        with tempfile.TemporaryFile("w+") as dump, tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, str(Path(script).resolve()), "--work", start, numbers.stop, *words()]
            child = subprocess.Popen(
                list(map(str, command)), stdout=subprocess.PIPE, stderr=dump, text=True, cwd=folder
            )
            assert child.stdout is not None
            with child.stdout as lines:
                for line in lines:
                    number, told = json.loads(line)
                    start = number + 1
                    yield number, told
            if child.wait():  # in the file behind the last one that was told
                dump.seek(0)
                yield start, f"the process ended with {child.returncode}: {dump.read()[-3000:]}"
                start += 1
            elif start < numbers.stop:
                return


def work(start: int, stop: int, seed: int, seconds: float) -> None:
    """Tries files in the current folder, and tells of each on standard output."""
    end, sound = time.monotonic() + seconds, prepare()
    limit()
    for number in range(start, stop):
        if time.monotonic() > end:
            break
        chosen, data, command = nth(number, seed, sound)
        print(json.dumps([number, problem_of(chosen, data, command)]), flush=True)


def limit() -> None:
    """Bounds what this process may take; in the time that a command may, it says where it is, and ends."""
    warnings.filterwarnings("ignore", module=r"PIL\.")  # as `imgconv` does
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    faulthandler.register(signal.SIGPROF, chain=True)


def prepare() -> list[Seed]:
    """The sound files; the current folder gets what the commands need."""
    warnings.filterwarnings("ignore", module=r"PIL\.")  # as `imgconv` does
    Path("sound.png").write_bytes(saved(Image.fromarray(noise(6, 7, 3)), "PNG"))
    return seeds()


def by_coverage(words: list[str]) -> None:
    """Files that atheris thinks of, by where they lead in imgconv; the first byte chooses the command."""
    import atheris

    with atheris.instrument_imports(include=["imgconv"]):
        import imgconv.batch.run
        import imgconv.cli.apply
        import imgconv.cli.kernels  # noqa: F401
    folder = Path(words[0] if words and not words[0].startswith("-") else tempfile.mkdtemp()).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(tempfile.mkdtemp())
    sound = prepare()
    kinds = sorted({(seed.role, seed.ending) for seed in sound})
    for number, seed in enumerate(sound):
        (folder / f"seed-{number}").write_bytes(bytes([kinds.index(seed[:2])]) + seed.data)

    def once(data: bytes) -> None:
        if data:
            seed = Seed(*kinds[data[0] % len(kinds)], data[1:])
            problem = problem_of(seed, seed.data, commands(seed, random.Random(zlib.crc32(data))), 0)
            if problem:
                raise AssertionError(problem)

    # its own clock keeps the file
    atheris.Setup(
        [sys.argv[0], f"-timeout={LONGEST_S}", *[word for word in words if word.startswith("-")], str(folder)], once
    )
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=20_000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the number of the first")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "imgconv-fuzz", help="a folder")
    parser.add_argument("--atheris", action="store_true", help="be guided by coverage; what follows is libFuzzer's")
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    given, rest = parser.parse_known_args()
    if given.atheris:
        by_coverage(rest)
    elif given.work:
        start, stop, seed, seconds = given.work
        work(int(start), int(stop), int(seed), float(seconds))
    else:
        problems = run(range(given.first, given.first + given.files), given.seed, keep=given.keep)
        for number, problem in problems.items():
            print(f"{number}: {problem}\n")
        print(f"{len(problems)} of {given.files:,} files", *([f"are in {given.keep}"] if problems else []))
        sys.exit(bool(problems))


if __name__ == "__main__":
    main()
