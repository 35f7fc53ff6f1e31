import itertools

import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import imgconv
from imgconv import memory
from imgconv.conventions import BORDERS, METHODS
from imgconv.engine import run, stage
from imgconv.engine.band import SAMPLE_TYPES
from imgconv.engine.plan import PADDINGS, Correlation, plan
from imgconv.engine.proof import interpolation
from imgconv.errors import PictureError, UsageError
from imgconv.recipe.recipe import Recipe

scipy_signal = pytest.importorskip("scipy.signal")
scipy_ndimage = pytest.importorskip("scipy.ndimage")

PADDED = tuple(oracle.PAD_MODES)
SHAPES = [(1, 1), (1, 2), (2, 1), (2, 2), (3, 3), (1, 9), (9, 1), (4, 3), (5, 5), (4, 4), (7, 7), (3, 6)]
SIZES = [(1, 1), (1, 5), (2, 2), (3, 4), (5, 5), (7, 67), (20, 3)]


def picture(rng, shape, dtype):
    if np.dtype(dtype).kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(max(limits.min, -(10**6)), min(limits.max, 10**6), shape, endpoint=True).astype(dtype)


def correlate(
    src, weights, scale=1.0, offset=0.0, anchor=None, border="edge", outside=0.0, padding="same", threads=None,
    method="direct",
):  # fmt: skip
    rows, columns = weights.shape
    anchor = anchor or ((rows - 1) // 2, (columns - 1) // 2)
    c = Correlation(np.asarray(weights, float), scale, offset, anchor, border, outside, padding)
    chosen = plan(c, src.dtype.name, method)
    return run.execute(chosen, src, threads)


def in_small_pieces(monkeypatch, band, tile):
    """Bands of so many rows in as many threads as are asked for, and tiles of so many samples."""
    monkeypatch.setattr(run, "BAND_ROWS", band)
    monkeypatch.setattr(run, "HALO_SHARE", 0)
    monkeypatch.setattr(run, "THREAD_WORK", 1.0)
    monkeypatch.setattr(stage, "TILE", tile)
    monkeypatch.setattr(stage, "LONG_TILE", tile)


@pytest.mark.parametrize("dtype", SAMPLE_TYPES)
@pytest.mark.parametrize("border", PADDED)
def test_every_pixel_is_the_oracles(dtype, border):
    rng = np.random.default_rng(1)
    for number, (shape, size) in enumerate(itertools.product(SHAPES, SIZES)):
        src = picture(rng, (*size, 1 + number % 4), dtype)
        weights = rng.standard_normal(shape) + 0.3
        if number % 3 == 0:
            weights[rng.random(shape) < 0.5] = 0
        rows, columns = shape
        for padding in PADDINGS:
            for anchor in {((rows - 1) // 2, (columns - 1) // 2), (rows // 2, columns // 2), (0, columns - 1)}:
                how = dict(scale=1.7, offset=3.25, anchor=anchor, border=border, outside=7.0, padding=padding)
                if padding == "valid" and (size[0] < rows or size[1] < columns):
                    with pytest.raises(PictureError, match="leaves nothing"):
                        correlate(src, weights, **how)
                    continue
                expected = oracle.correlate(src, weights, **how)
                got = correlate(src, weights, **how)
                np.testing.assert_array_equal(got.array, expected, str((shape, size, how)))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32"])
def test_clipped_samples_are_counted(dtype):
    rng = np.random.default_rng(2)
    for shape, size in itertools.product([(3, 3), (5, 5), (2, 4)], [(1, 1), (5, 64), (33, 71)]):
        src = picture(rng, (*size, 3), dtype)
        weights = rng.integers(-3000, 3000, shape).astype(float)
        assert correlate(src, weights).clipped == oracle.clipped_count(src, weights)


@pytest.mark.parametrize("shape", [(2, 2), (3, 3), (4, 3), (5, 4), (1, 6), (7, 7)])
def test_scipy_agrees_to_the_last_digits(shape):
    rng = np.random.default_rng(3)
    src, weights = rng.standard_normal((11, 13)), rng.standard_normal(shape)
    rows, columns = shape
    for padding in PADDINGS:
        ours = correlate(src[:, :, None], weights, border="constant", padding=padding).array[:, :, 0]
        theirs = scipy_signal.correlate2d(src, weights, mode=padding)
        if padding == "same":  # for even kernels correlate2d takes the anchor (k - 1) // 2 too
            assert theirs.shape == ours.shape
        np.testing.assert_allclose(ours, theirs, atol=1e-12, rtol=1e-12)
        mirrored = (rows - 1 - (rows - 1) // 2, columns - 1 - (columns - 1) // 2)
        turned = correlate(src[:, :, None], weights[::-1, ::-1], border="constant", padding=padding, anchor=mirrored)
        np.testing.assert_allclose(
            turned.array[:, :, 0], scipy_signal.convolve2d(src, weights, mode=padding), atol=1e-12, rtol=1e-12
        )
    modes = {"edge": "nearest", "reflect": "mirror", "symmetric": "reflect", "wrap": "wrap", "constant": "constant"}
    for border, mode in modes.items():
        ours = correlate(src[:, :, None], weights, border=border, anchor=(rows // 2, columns // 2)).array[:, :, 0]
        theirs = scipy_ndimage.correlate(src, weights, mode=mode)
        np.testing.assert_allclose(ours, theirs, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("border", PADDED)
def test_a_picture_smaller_than_the_kernel_is_no_error(border):
    rng = np.random.default_rng(4)
    src, weights = picture(rng, (2, 3, 2), "uint8"), rng.random((31, 17))
    expected = oracle.correlate(src, weights, scale=200, border=border)
    np.testing.assert_array_equal(correlate(src, weights, scale=200, border=border).array, expected)


def test_keep_copies_the_frame_and_computes_the_rest():
    rng = np.random.default_rng(5)
    src, weights = picture(rng, (9, 12, 3), "uint8"), rng.random((4, 3))
    got = correlate(src, weights, scale=7, border="keep").array
    expected = src.copy()
    expected[1:-2, 1:-1] = oracle.correlate(src, weights, scale=7, padding="valid")
    np.testing.assert_array_equal(got, expected)
    small = src[:3, :2].copy()
    np.testing.assert_array_equal(correlate(small, weights, border="keep").array, small)


def test_keep_cannot_fill_what_lies_outside():
    with pytest.raises(UsageError, match="keep"):
        correlate(np.zeros((4, 4, 1), np.uint8), np.ones((3, 3)), border="keep", padding="full")


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (9, 8)])
def test_renormalize_counts_only_what_is_inside(size):
    rng = np.random.default_rng(6)
    for shape in [(3, 3), (2, 4), (5, 5), (1, 7)]:
        weights = rng.random(shape) + 0.1
        anchor = ((shape[0] - 1) // 2, (shape[1] - 1) // 2)
        src = rng.random((*size, 2))
        got = correlate(src, weights, scale=weights.sum(), border="renormalize").array
        np.testing.assert_allclose(got, oracle.renormalized(src, weights, anchor) / weights.sum(), rtol=1e-12)
        grey = np.full((*size, 1), 200, np.uint8)  # a mean of equal samples is that sample, at the border too
        assert (correlate(grey, weights, scale=weights.sum(), border="renormalize").array == 200).all()


def test_renormalize_takes_nan_as_missing():
    rng = np.random.default_rng(7)
    src, weights = rng.random((9, 11, 2)), rng.random((3, 3)) + 0.1
    src[rng.random(src.shape) < 0.3] = np.nan
    got = correlate(src, weights, scale=weights.sum(), border="renormalize").array
    np.testing.assert_allclose(got, oracle.renormalized(src, weights, (1, 1)) / weights.sum(), rtol=1e-12)
    alone = np.full((5, 5, 1), np.nan)
    assert np.isnan(correlate(alone, weights, border="renormalize").array).all()


def test_renormalize_needs_weights_with_a_sum():
    with pytest.raises(UsageError, match="sum to 0"):
        correlate(np.zeros((4, 4, 1), np.uint8), np.array([[-1.0, 0, 1]]), border="renormalize")


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("columns", [7, 16, 33, 64, 417])
def test_sums_over_16_bits_are_cut_and_counted_in_every_lane(columns, streamed, monkeypatch):
    rng = np.random.default_rng(columns)
    if streamed:
        monkeypatch.setattr(stage, "STREAMED_BYTES", 0)
    for channels in (1, 2, 3, 4):
        src = picture(rng, (11, columns, channels), "uint16")
        weights = rng.integers(1, 5, (3, 3)) * rng.choice([-1.0, 1.0], (3, 3))
        got = correlate(src, weights)
        np.testing.assert_array_equal(got.array, oracle.correlate(src, weights))
        assert got.clipped == oracle.clipped_count(src, weights)


@pytest.mark.parametrize("border", ["edge", "constant"])
@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-6, 1e-30])
def test_sums_over_16_bits_are_cut_at_their_limits_however_large(scale, border):
    src = np.arange(40, dtype=np.uint16).reshape(2, 20, 1) % 3
    ones = np.full((3, 3), 1.0)
    for offset in (-3e38, -1e10, -3e9, -9, -1, -0.501, -0.5, 0, 6e4, 65526.4, 65535.4, 65535.5, 65536, 3e9, 1e10, 3e38):
        for weights in (ones, -ones) if abs(offset) < 1e38 else (ones,):
            how = {"scale": scale, "offset": offset, "border": border, "outside": 70000.0}
            got = correlate(src, weights, **how)
            np.testing.assert_array_equal(got.array, oracle.correlate(src, weights, **how), str(how))
            assert got.clipped == oracle.clipped_count(src, weights, **how), str(how)


@pytest.mark.parametrize("shape", [(3, 3), (5, 5), (9, 2)])
def test_bytes_do_not_depend_on_threads_bands_or_tiles(shape, monkeypatch):
    rng = np.random.default_rng(8)
    src, weights = picture(rng, (301, 210, 3), "uint8"), rng.standard_normal(shape)
    once = correlate(src, weights, scale=3, threads=1)
    for threads, band, tile in [(2, 128, 2304), (3, 6, 64), (7, 2, 100), (2, 1, 17)]:
        in_small_pieces(monkeypatch, band, tile)
        again = correlate(src, weights, scale=3, threads=threads)
        np.testing.assert_array_equal(again.array, once.array)
        assert again.clipped == once.clipped


LOCAL = [border for border in BORDERS if border not in ("wrap", "renormalize")]


@pytest.mark.parametrize("parts", [2, 4, 32, 1000])
@pytest.mark.parametrize("band", [4, 5, 48])
@pytest.mark.parametrize("before", [0, 3])
def test_bands_get_smaller_and_cover_every_row_once(parts, band, before):
    rows = run.Span(7, 1000)
    bands = list(run._bands(rows, rows.start - before, band, parts))
    assert [row for span in bands for row in range(*span)] == list(range(*rows))
    sizes = [span.stop - span.start for span in bands[1:]]
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes[0], bands[0].stop - bands[0].start) <= max(1003 // parts, band)
    assert all((span.stop - rows.start + before) % band == 0 for span in bands[:-1])


def links(rng, dtype, count, methods=("direct", "auto")):
    """Plans for a chain: any shapes, anchors, borders and paddings that go together."""
    plans = []
    for _ in range(count):
        shape = tuple(int(n) for n in rng.integers(1, 6, 2))
        border, padding = str(rng.choice(LOCAL)), str(rng.choice(PADDINGS))
        if border == "keep" and padding == "full":
            padding = "same"
        anchor = tuple(int(rng.integers(0, k)) for k in shape)
        weights = rng.integers(-3, 9, shape).astype(float)
        c = Correlation(weights, float(rng.integers(1, 30)), float(rng.integers(-9, 9)), anchor, border, 7.0, padding)
        plans.append(plan(c, dtype, str(rng.choice(methods))))
    return plans


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_chain_gives_the_bytes_and_counts_of_one_plan_at_a_time(dtype, monkeypatch):
    rng = np.random.default_rng(11)
    for number in range(60):
        size = (int(rng.integers(12, 60)), int(rng.integers(12, 40)))
        src = picture(rng, (*size, 1 + number % 4), dtype)
        plans = links(rng, dtype, 1 + number % 3)
        expected, clipped = src, 0
        for each in plans:
            expected, more = run.execute(each, expected, 1)
            clipped += more
        in_small_pieces(monkeypatch, int(rng.choice([1, 4, 16])), 64)
        got = run.Chain(plans, src.shape).run(src, threads=1 + number % 3)
        np.testing.assert_array_equal(got.array, expected)
        assert got.clipped == clipped
        monkeypatch.undo()


@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_parts_of_a_picture_together_give_the_bytes_and_counts_of_the_whole(dtype):
    rng = np.random.default_rng(12)
    for number in range(60):
        src = picture(rng, (int(rng.integers(12, 50)), 17, 1 + number % 4), dtype)
        chain = run.Chain(links(rng, dtype, 1 + number % 3), src.shape)
        whole = chain.run(src)
        rows, clipped = chain.target_shape[0], 0
        edges = sorted({0, rows, *(int(n) for n in rng.integers(0, rows + 1, 3))})
        for span in itertools.starmap(stage.Span, itertools.pairwise(edges)):
            needed = chain.needed(span)
            part = chain.run(src[needed.start : needed.stop].copy(), needed.start, span)
            np.testing.assert_array_equal(part.array, whole.array[span.start : span.stop])
            clipped += part.clipped
        assert clipped == whole.clipped


def test_a_row_of_one_pixel_is_found_whatever_its_strides():
    """NumPy takes an array for contiguous whose axes of length 1 have strides that mean nothing."""
    src = picture(np.random.default_rng(0), (9, 1, 3), "uint8")
    c = Correlation(np.array([[1.0]]), 1, 0, (0, 0), "edge", 0, "same")
    chain = run.Chain([plan(c, "uint8")], (9, 1, 1))
    for y in range(9):
        row = src[y : y + 1, :, 1:2]
        assert row.flags.c_contiguous
        assert row.strides[0] == 3
        assert chain.run(row, y, stage.Span(y, y + 1)).array.item() == src[y, 0, 1]


@pytest.mark.parametrize("border", LOCAL)
@pytest.mark.parametrize(("sigma", "size"), [(4.5, (70, 41)), (6.5, (131, 77)), (20.0, (300, 20)), (9.0, (5, 9))])
def test_interpolated_sums_are_the_same_in_bands_parts_and_tiles(border, sigma, size, monkeypatch):
    rng = np.random.default_rng(13)
    src = picture(rng, (*size, 3), "uint8")
    weights = gaussian(sigma, 1.5)
    rows, columns = weights.shape
    c = Correlation(weights, 1.0, 0.0, (rows // 2 - 3, columns // 2), border, 99.0, "same")
    chosen = plan(c, "uint8", "decimated")
    whole = run.execute(chosen, src, 1)
    exact = correlate(src, weights, anchor=c.anchor, border=border, outside=99.0)
    assert np.abs(whole.array.astype(int) - exact.array).max() <= 1
    chain = run.Chain([chosen], src.shape)
    edges = sorted({0, size[0], *(int(n) for n in rng.integers(0, size[0], 3))})
    for span in itertools.starmap(stage.Span, itertools.pairwise(edges)):
        needed = chain.needed(span)
        part = chain.run(src[needed.start : needed.stop].copy(), needed.start, span)
        np.testing.assert_array_equal(part.array, whole.array[span.start : span.stop])
    in_small_pieces(monkeypatch, 12, 40)
    np.testing.assert_array_equal(run.execute(chosen, src, 3).array, whole.array)


@pytest.mark.parametrize(
    ("dtype", "shape", "kind"),
    [("uint8", (3, 257), "box"), ("uint8", (3, 258), "box_wide"), ("uint8", (301, 301), "box_wide"),
     ("uint16", (90, 91), "box")],
)  # fmt: skip
def test_large_boxes_are_running_sums_too(dtype, shape, kind):
    """Against exact sums of whole numbers, by cumulative sums over a padded picture."""
    rng = np.random.default_rng(16)
    rows, columns = shape
    src = rng.integers(0, np.iinfo(dtype).max, (40, 333, 2), endpoint=True).astype(dtype)
    c = Correlation(np.ones(shape), float(rows * columns), 0.0, (rows // 2, columns // 2), "reflect", 0.0, "same")
    chosen = plan(c, dtype, "box")
    assert chosen.variant.name == kind
    around = ((rows // 2, rows - 1 - rows // 2), (columns // 2, columns - 1 - columns // 2), (0, 0))
    sums = np.pad(src.astype(np.int64), around, "reflect").cumsum(axis=0).cumsum(axis=1)
    sums = np.pad(sums, ((1, 0), (1, 0), (0, 0)))
    sums = sums[rows:, columns:] - sums[:-rows, columns:] - sums[rows:, :-columns] + sums[:-rows, :-columns]
    got = run.execute(chosen, src, 2).array
    assert np.abs(got - sums / (rows * columns)).max() < 0.52


@pytest.mark.parametrize("sigma", [16.0, 40.0])
def test_wide_gaussians_over_16_bits_are_summed_in_float64(sigma):
    rng = np.random.default_rng(17)
    weights = gaussian(sigma, sigma)
    side = len(weights)
    c = Correlation(weights, 1.0, 0.0, (side // 2, side // 2), "reflect", 0.0, "same")
    chosen = plan(c, "uint16", "separable")
    assert chosen.variant.name == "separable_double"
    assert chosen.error_bound >= 1
    src = picture(rng, (90, 70, 2), "uint16")
    got = run.execute(chosen, src, 2).array.astype(float)
    column = weights.sum(axis=1)
    exact = scipy_ndimage.correlate1d(src.astype(float), column, axis=0, mode="mirror")
    exact = scipy_ndimage.correlate1d(exact, column, axis=1, mode="mirror")
    assert np.abs(got - exact).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("shape", [(25, 23), (19, 32)])
def test_many_taps_over_16_bits_are_summed_row_by_row(shape):
    rng = np.random.default_rng(15)
    weights = rng.random(shape) + 0.01
    c = Correlation(weights, float(weights.sum()), 0.0, (shape[0] // 2, shape[1] // 2), "edge", 0.0, "same")
    chosen = plan(c, "uint16", "fused")
    assert chosen.variant.name == "fused_by_rows"
    src = picture(rng, (61, 50, 3), "uint16")
    direct = correlate(src, weights, scale=weights.sum(), anchor=c.anchor)
    got = run.execute(chosen, src, 1)
    assert np.abs(got.array.astype(int) - direct.array).max() <= 1


@pytest.mark.parametrize("method", ["direct", "fused", "separable"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_that_go_past_the_caches_are_the_same(method, dtype, monkeypatch):
    rng = np.random.default_rng(14)
    weights = np.outer(rng.random(5) + 0.1, rng.random(4) + 0.1)
    for columns in (16, 32, 48, 400, 17):  # rows of the last one lie on cache lines each in its own way
        src = picture(rng, (37, columns, 1), dtype)
        near = correlate(src, weights, method=method)
        monkeypatch.setattr(stage, "STREAMED_BYTES", 0)
        np.testing.assert_array_equal(correlate(src, weights, method=method).array, near.array)
        monkeypatch.undo()


def test_interpolated_sums_are_off_by_no_more_than_they_say():
    """Sums in float64, against the picture that is the worst for the taps that come out."""
    for sigma in (4.0, 5.5, 10.0, 33.0):
        taps = gaussian(sigma, 1.0).sum(axis=1)
        spread, mixes = interpolation(taps, 0.05 / 127.5)
        for phase, mix in enumerate(mixes):
            moves = [spread * (n - len(mix) // 2 + 1) - phase for n in range(len(mix))]
            around = max(map(abs, moves)) + 1
            made = np.zeros(len(taps) + 2 * around)
            for move, weight in zip(moves, mix, strict=True):
                made[around + move : around + move + len(taps)] += weight * taps
            wanted = np.pad(taps, around)
            worst = np.where(made > wanted, 255.0, 0.0)  # black and white
            assert abs(worst @ made - worst @ wanted) <= 0.05 + 1e-9
            np.testing.assert_allclose(mix.sum(), 1, atol=1e-12)
    assert interpolation(np.ones(41), 0.05 / 127.5) is None  # a box has corners


def test_signed_integers_are_rounded_half_up():
    src = np.array([[[-7], [-2], [3], [5]]], np.int32)
    got = correlate(src, np.array([[1.0]]), scale=2).array.ravel().tolist()
    assert got == [-3, -1, 2, 3]  # -3.5, -1, 1.5, 2.5
    assert correlate(src, np.array([[1.0]])).array.ravel().tolist() == src.ravel().tolist()


def test_extreme_samples_survive():
    limits = np.iinfo(np.int32)
    src = np.array([[[limits.min], [limits.max]]], np.int32)
    np.testing.assert_array_equal(correlate(src, np.array([[1.0]])).array, src)
    double = correlate(src, np.array([[2.0]]))
    np.testing.assert_array_equal(double.array, src)
    assert double.clipped == 2


def test_nan_and_infinity_pass_through_and_taps_of_zero_do_not_spread_them():
    src = np.zeros((5, 5, 1), np.float32)
    src[2, 2] = np.nan
    got = correlate(src, np.array([[0.0, 1, 0], [0, 1, 0], [0, 0, 0]])).array[:, :, 0]
    assert np.isnan(got[2, 2])
    assert np.isnan(got[3, 2])
    assert np.isnan(got).sum() == 2


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_properties_of_correlation(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    rows, columns = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6))
    src = rng.standard_normal((data.draw(st.integers(1, 9)), data.draw(st.integers(1, 40)), 2))
    other = rng.standard_normal(src.shape)
    weights = rng.standard_normal((rows, columns))
    border = data.draw(st.sampled_from([b for b in BORDERS if b in PADDED]))
    a = correlate(src, weights, border=border).array
    b = correlate(other, weights, border=border).array
    together = correlate(2 * src + other, weights, border=border).array
    np.testing.assert_allclose(together, 2 * a + b, atol=1e-12)  # linear
    each = [correlate(src[:, :, c : c + 1].copy(), weights, border=border).array for c in range(2)]
    np.testing.assert_array_equal(np.concatenate(each, axis=2), a)  # channel by channel
    second = rng.standard_normal((2, 3))
    chain = correlate(correlate(src, weights, border="constant", padding="full").array, second,
                      border="constant", padding="full").array  # fmt: skip
    composed = scipy_signal.convolve2d(weights, second)
    at_once = correlate(src, composed, border="constant", padding="full").array
    np.testing.assert_allclose(chain, at_once, atol=1e-11)  # a chain is the composed kernel


def gaussian(*sigmas):
    """Rows and columns of a gaussian out to 4 sigma, whose weights sum to 1."""
    across = [np.arange(-np.ceil(4 * s), np.ceil(4 * s) + 1) for s in sigmas]
    row, column = (np.exp(-(x**2) / (2 * s * s)) for x, s in zip(across, sigmas, strict=True))
    return np.outer(row, column) / (row.sum() * column.sum())


def kinds_of_weights(rng, number):
    rows, columns = rng.integers(1, 9, 2)
    if number % 4 == 0:
        return rng.integers(-9, 10, (rows, columns)).astype(float), float(rng.integers(1, 20))
    if number % 4 == 1:
        return np.full((rows, columns), float(rng.integers(1, 4))), float(rows * columns)
    if number % 8 == 3:
        return rng.random((rows + 6, 2)) @ rng.standard_normal((2, columns + 6)), 5.0
    if number % 8 == 6:
        return gaussian(rng.uniform(2.5, 8), rng.uniform(1, 4)), 1.0
    if number % 4 == 2:
        return np.outer(rng.random(rows) + 0.1, rng.random(columns) - 0.2), 3.0
    return rng.random((rows, columns)), 7.0


@pytest.mark.parametrize("method", ["auto", "fused", "integer", "fixed", "separable", "decimated", "box", "fourier"])
@pytest.mark.parametrize("dtype", SAMPLE_TYPES)
def test_every_method_keeps_its_bound(method, dtype):
    rng = np.random.default_rng(9)
    done = 0
    for number in range(48):
        weights, scale = kinds_of_weights(rng, number)
        size = (rng.integers(1, 40), rng.integers(1, 130), rng.integers(1, 5))
        src = (rng.random(size) * (255 if np.dtype(dtype).kind in "ui" else 1)).astype(dtype)
        how = dict(
            scale=scale, offset=float(number % 5), border=PADDED[number // 2 % 6], outside=float(number % 5 and 9)
        )
        padding = PADDINGS[2 * (number % 2)]
        c = Correlation(weights, scale, how["offset"], ((weights.shape[0] - 1) // 2, (weights.shape[1] - 1) // 2),
                        how["border"], how["outside"], padding)  # fmt: skip
        try:
            chosen = plan(c, dtype, method)
        except UsageError:
            continue
        done += 1
        exact = correlate(src, weights, **how, padding=padding)
        got = run.execute(chosen, src, None)
        difference = np.abs(got.array.astype(float) - exact.array.astype(float)).max()
        if chosen.error_bound == 0:
            np.testing.assert_array_equal(got.array, exact.array, str((weights, how)))
            assert got.clipped == exact.clipped
        else:
            largest = 1 if np.dtype(dtype).kind in "ui" else max(float(np.abs(src).max()), how["outside"])
            assert difference <= chosen.error_bound * largest, (weights, how, chosen.reason)
    floating = ("auto", "separable", "fused")
    methods = {
        "uint8": (*floating, "fourier", "box", "integer", "fixed", "decimated"),
        "uint16": (*floating, "fourier", "box"),
        "int32": ("auto", "separable", "fourier"),
        "float32": floating,
        "float64": floating,
    }
    assert (done > 0) == (method in methods[dtype])


@pytest.mark.parametrize("method", ["direct", "fused", "fixed", "separable", "decimated", "box", "integer", "fourier"])
def test_no_loop_leaves_its_buffers(method, monkeypatch):
    """Every buffer is given with a margin that must not change."""
    rng = np.random.default_rng(10)
    buffers = []

    class Guarded:
        def __getattr__(self, name):
            return getattr(np, name)

        def empty(self, shape, dtype=float):
            return fresh(int(np.prod(shape)) * np.dtype(dtype).itemsize).view(dtype).reshape(shape)

    def fresh(size):
        raw = np.full(size + 8192, 0xAB, np.uint8)
        buffers.append((raw, size))
        return raw[4096 : 4096 + size]

    for module in (run, memory):
        monkeypatch.setattr(module, "np", Guarded())
    monkeypatch.setattr(stage, "fresh", fresh)
    monkeypatch.setattr(run, "THREAD_WORK", 1e5)
    for number in range(40):
        weights, _ = kinds_of_weights(rng, number)
        if number % 10 == 1:
            weights = np.ones((41, 43))
        if number % 10 == 2:
            weights = np.ones((3 + number % 4, 3 + number % 4))
        for dtype in SAMPLE_TYPES:
            src = (rng.random((rng.integers(1, 50), rng.integers(1, 1200), rng.integers(1, 5))) * 200).astype(dtype)
            try:
                correlate(src, weights, scale=weights.sum() or 1, method=method, threads=2)
            except UsageError:
                continue
            assert buffers
            for raw, size in buffers:
                assert (raw[:4096] == 0xAB).all()
                assert (raw[4096 + size :] == 0xAB).all()
            buffers.clear()


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1.0, 1e6, 1e30])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "float64"])
def test_every_method_is_as_exact_under_every_scale(dtype, scale):
    # the tolerances of proofs follow what the weights can make; log's are small and nearly separable
    rng = np.random.default_rng(21)
    whole = dtype[0] in "ui"
    array = (rng.integers(0, 200, (40, 45)) if whole else rng.random((40, 45))).astype(dtype)
    for spec in ("log:sigma=3", "gaussian:sigma=2.5", "box:size=5", "1 2 1; 2 4 2; 1 2 1"):
        kernel = imgconv.kernel(spec)
        scaled = imgconv.Kernel(kernel.weights * 1e-4, scale=kernel.scale)
        exact = scipy_ndimage.correlate(
            array.astype(float), kernel.weights, mode="nearest"
        )  # to which 1e-16 is no weight
        exact *= 1e-4 / kernel.scale / scale
        reach = np.abs(scaled.weights / scaled.scale).sum() / scale * (200 if whole else 1)
        limits = np.iinfo(dtype) if whole else None
        for method in METHODS:
            try:
                done = imgconv.correlate(array, scaled, scale=scale * scaled.scale, method=method)
            except imgconv.UsageError:
                continue  # it cannot be used here
            what = f"{spec} {method}"
            if limits:
                expected = np.clip(np.floor(exact + 0.5), limits.min, limits.max)
                assert np.abs(done - expected).max() <= max(1, reach * 1e-13), what
            else:
                assert np.abs(done - exact).max() <= reach * (2e-6 if dtype == "float32" else 1e-13), what


@pytest.mark.parametrize("power", [-1000, -150, -126, 0, 100, 900])
def test_weights_and_scale_times_a_power_of_two_give_the_same_bytes(power):
    # single precision has no exponents for 1e-46, but their quotients are what they were
    array = np.random.default_rng(22).integers(0, 256, (20, 30), np.uint8)
    for weights in ([[1, 2, 3, 2, 1]], [[1, -3, 5], [2, 0.3, 7], [1, 1, 1]]):
        plain = imgconv.correlate(array, weights, scale="abs-sum")
        np.testing.assert_array_equal(
            imgconv.correlate(array, np.ldexp(np.array(weights), power), scale="abs-sum"), plain
        )


@pytest.mark.parametrize("scale", [2.0, 9.0, 16.0])
def test_dyadic_fractions_are_the_whole_numbers_over_a_power_of_two(scale):
    array = np.random.default_rng(23).integers(0, 256, (20, 30, 3), np.uint8)
    for weights in (np.array([[-1, -1, -1], [-1, 10, -1], [-1, -1, -1]]), np.ones((3, 3)), np.arange(25).reshape(5, 5)):
        plans = []
        for factor in (1.0, 0.5, 2.0**-20, 4.0):
            recipe = Recipe((imgconv.Kernel(weights * factor, scale=scale * factor),))
            done, _, report = recipe.apply(array)
            forced = imgconv.correlate(array, weights * factor, scale=scale * factor, method="direct")
            np.testing.assert_array_equal(done, forced)
            plans.append((report.plans[0].method, report.plans[0].error_bound))
        assert len(set(plans)) == 1, plans
    fractions = Recipe((imgconv.Kernel(np.array([[-1, -1, -1], [-1, 10, -1], [-1, -1, -1]]) / 2),)).apply(array)
    assert fractions[2].plans[0].method == "integer"


@pytest.mark.parametrize(
    "taps", [[127, 1, 0], [1, 127, -1], [-127, 0, -1], [64, 64, -128], [-128, 100, 28], [0, 0, 1], [127, 0, -127]]
)
@pytest.mark.parametrize("size", [3, 5])
def test_sums_of_bytes_are_exact_at_their_limits(taps, size):
    weights = np.zeros((size, size))
    weights[size // 2, :3] = taps
    source = np.random.default_rng(24).choice(np.array([0, 255], np.uint8), (9, 150, 3))
    made = plan(Correlation(weights, 128.0, 0.0, (size // 2, size // 2), "edge", 0.0, "same"), "uint8", "integer")
    padded = np.pad(source, ((size // 2, size // 2), (size // 2, size // 2), (0, 0)), "edge").astype(np.int64)
    sums = sum(int(tap) * padded[size // 2 : -(size // 2), n : n + 150] for n, tap in enumerate(taps))
    filtered = run.execute(made, source)
    assert np.array_equal(filtered.array, np.clip((sums + 64) // 128, 0, 255))
    assert filtered.clipped == ((sums + 64) // 128 != filtered.array).sum()


@pytest.mark.parametrize(
    ("other", "middle", "scale", "offset"),
    [
        (-1, 10, 2, 0), (-1, 9, 1, 0), (-1, 8, 1, 128), (1, 1, 9, 0), (1, 1, 25, 0), (1, 5, 13, 0), (-2, 32, 16, 3),
        (2, -9, 3, 60), (0, 3, 1, 0), (0, 0, 1, 7), (1, -20, 7, -77), (-5, 110, 4, 0), (-1, 127, 16, 0),
        (-1, 126, 16, 0), (4, 4, 36, 0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [3, 5])
def test_weights_that_are_alike_but_for_the_middle_one(other, middle, scale, offset, size):
    rng = np.random.default_rng(25)
    weights = np.full((size, size), other)
    weights[size // 2, size // 2] = middle
    for width in (*range(1, 101), 700):
        border, channels = PADDED[width % len(PADDED)], 1 + width % 5
        source = rng.choice(np.array([0, 1, 100, 254, 255], np.uint8), (1 + width % 11, width, channels))
        around = oracle.padded(source.astype(int), (size, size), (size // 2, size // 2), border, 0, "same")
        windows = np.lib.stride_tricks.sliding_window_view(around, (size, size), (0, 1))
        exact = (2 * (windows * weights).sum((3, 4)) + (2 * offset + 1) * scale) // (2 * scale)
        filtered = correlate(source, weights, scale, offset, border=border, method="integer")
        assert np.array_equal(filtered.array, exact.clip(0, 255))
        assert filtered.clipped == ((exact < 0) | (exact > 255)).sum()


def test_all_samples_of_a_wide_picture_are_counted_where_they_are_clipped():
    source = np.full((9, 20000, 1), 200, np.uint8)
    made = plan(Correlation(np.full((3, 3), 2.0), 1.0, 0.0, (1, 1), "edge", 0.0, "same"), "uint8", "integer")
    assert run.execute(made, source).clipped == source.size
