"""Bare arrays in files: what is written reads back, and hostile files are refused in one line."""

from __future__ import annotations

import io
import math
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgconv.arrayfile import npy_bytes, parse_matrix, parse_npy, parse_number, parse_text, read_bytes, text_bytes
from imgconv.errors import PictureError

TYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", ">i2", ">f8", ">u4"]


def numpy_file(array, **options):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_npy_of_every_real_type_order_and_version(dtype, order, version):
    array = np.asarray(np.random.default_rng(0).integers(0, 2, (3, 4, 2)), dtype=dtype, order=order)
    found = parse_npy(numpy_file(array, version=version))
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)


def test_npy_bytes_are_what_numpy_loads():
    array = np.arange(24.0).reshape(2, 3, 4)[:, ::-1]
    assert np.array_equal(np.load(io.BytesIO(npy_bytes(array)), allow_pickle=False), array)


def header(text):
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00",
        b"\x93NUMPY\x09\x00" + bytes(20),
        numpy_file(np.ones(4), version=(2, 0)).replace(b"NUMPY\2", b"NUMPY\x82"),
        numpy_file(np.ones(4))[:-1],
        numpy_file(np.ones(3, complex)),
        numpy_file(np.array(["a"])),
        numpy_file(np.array([{}], dtype=object)),
        numpy_file(np.zeros(2, [("a", "f4"), ("b", "i2")])),
        numpy_file(np.array(["2020-01-01"], "M8[D]")),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999, 99999999999)}"),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 4)}"),
        header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': (0, {2**70})}}"),
        header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': {(1,) * 99}}}") + bytes(8),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (True, 7)}") + bytes(56),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': 4}"),
        header("__import__('os').system('false')"),
        header("(" * 500),
        header("{" + "'a': 1, " * 3000),
    ],
)
def test_a_hostile_npy_is_refused(data):
    with pytest.raises(ValueError, match=r"\w") as caught:
        parse_npy(data)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.filterwarnings("ignore:::numpy")
@settings(max_examples=200, deadline=None, database=None)
@given(st.lists(st.tuples(st.integers(0, 140), st.integers(1, 255)), min_size=1, max_size=3))
def test_a_damaged_npy_is_an_array_or_a_value_error(flips):
    data = bytearray(numpy_file(np.arange(6, dtype="i2").reshape(2, 3)))
    for position, change in flips:
        data[position % len(data)] ^= change
    try:
        found = parse_npy(bytes(data))
    except ValueError:
        found = np.zeros(1)
    assert found.dtype.kind in "biuf"


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@settings(max_examples=60, deadline=None, database=None)
@given(data=st.data())
def test_text_reads_back_to_the_same_numbers(dtype, data):
    width = {"f2": 16, "f4": 32, "f8": 64}[dtype]
    rows = st.lists(st.floats(width=width, allow_nan=False, allow_infinity=False), min_size=3, max_size=3)
    array = np.array(data.draw(st.lists(rows, min_size=1, max_size=3)), dtype)
    for separator in (" ", ","):
        assert np.array_equal(parse_text(text_bytes(array, separator)).astype(dtype), array)


def test_text_is_written_short():
    assert text_bytes(np.array([[1.0, -0.5, 1e20], [0.1, 1e-7, 255]]), " ") == b"1 -0.5 1e+20\n0.1 1e-07 255\n"
    assert text_bytes(np.array([[True, False]]), ",") == b"1,0\n"
    assert text_bytes(np.array([[2**64 - 1]], np.uint64), ",") == b"18446744073709551615\n"
    assert text_bytes(np.array([[0.1]], np.float32), ",") == b"0.1\n"


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("1 2\n3 4", [[1, 2], [3, 4]]),
        ("1,2\r\n3 ,4\r\n", [[1, 2], [3, 4]]),
        ("# a remark\n\n 1\t2 # more\n3, 4\n", [[1, 2], [3, 4]]),
        ("\ufeff1 2", [[1, 2]]),
        ("1/9 -1/2", [[1 / 9, -0.5]]),
        ("1e-3 +.5", [[0.001, 0.5]]),
    ],
)
def test_text_that_is_a_matrix(text, rows):
    assert parse_text(text.encode()).tolist() == rows


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "holds no numbers"),
        (b"# only a remark\n", "holds no numbers"),
        (b"1 2\n3\n", "row 2 has 1 number, row 1 has 2"),
        (b"1 2\n\n3 4 5\n", "row 3 has 3 numbers, row 1 has 2"),
        (b"1 nan\n", "row 1: 'nan' is not a finite number"),
        (b"1 1e400\n", "not a finite number"),
        (b"1 two\n", "'two' is not a number"),
        (b"1 1_0\n", "'1_0' is not a number"),
        (b"1,,2\n", "row 1"),
        (b"1/0\n", "not a number"),
        ("١ ٢".encode(), "not a number"),
        (b"\xff\xfe1\0", "is not text"),
        (b"x" * 100_000, "is not a number"),
    ],
)
def test_text_that_is_no_matrix_names_the_row(data, told):
    with pytest.raises(ValueError, match=told) as caught:
        parse_text(data)
    assert len(str(caught.value)) < 200


def test_rows_may_be_parted_by_semicolons():
    assert parse_matrix("1 2; 3 4", rows=";").tolist() == [[1, 2], [3, 4]]


@given(st.text(max_size=12))
@settings(max_examples=200, deadline=None, database=None)
def test_a_number_is_finite_or_refused(text):
    try:
        value = parse_number(text)
    except ValueError:
        value = 0.0
    assert math.isfinite(value)


def test_only_regular_files_of_a_sensible_size_are_read(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    os.mkfifo(tmp_path / "pipe")
    assert read_bytes(tmp_path / "a", 5, PictureError) == b"12345"
    for path, told in [
        (tmp_path / "a", "more than the 4"),
        (tmp_path / "pipe", "not a regular file"),
        (tmp_path, "is a folder"),
        (tmp_path / "b", "no such file"),
        (tmp_path / "a" / "b", "not a directory"),
    ]:
        with pytest.raises(PictureError, match=told) as caught:
            read_bytes(path, 4, PictureError)
        assert str(caught.value).startswith(f"{path}: ")
