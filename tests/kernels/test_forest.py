from dataclasses import replace

import numpy as np
import pytest

from rs_monitor.errors import ModelMismatch
from rs_monitor.kernels.forest import FlatForest, check_forest, forest_proba
from rs_monitor.kernels.tree_walk import seen_pixels
from rs_monitor.kernels.trees import LEAF_CUT, cut_keys
from tests.comparison import assert_close

NAN = float("nan")
CUTS = cut_keys(np.array([0.5, 2.0]), np.array([True, False]))
# two trees: x0 <= 0.5 ? (missing left) leaf A : leaf B;  x1 <= 2 ? leaf C : (missing right) leaf D
FOREST = FlatForest(
    roots=np.array([0, 3], "uint32"),
    column=np.array([1, 0, 0, 2, 0, 0], "uint16"),
    threshold=np.array([CUTS[0], LEAF_CUT, LEAF_CUT, CUTS[1], LEAF_CUT, LEAF_CUT], "uint32"),
    left=np.array([1, 1, 2, 1, 1, 2], "uint32"),
    leaf=np.array([0, 0, 1, 0, 2, 3], "uint32"),
    proba=np.array([[1, 0], [0, 1], [0.25, 0.75], [1, 0]], "float32"),
)


def changed(name, index, value):
    array = getattr(FOREST, name).copy()
    array[index] = value
    return {name: array}


@pytest.mark.parametrize(
    ("pixel", "expected"),
    [
        ([0.0, 0.0], [0.625, 0.375]),
        ([0.5, 2.0], [0.625, 0.375]),
        ([0.6, 2.0], [0.125, 0.875]),
        ([0.6, 2.1], [0.5, 0.5]),
        ([0.0, 3.0], [1.0, 0.0]),
        ([NAN, 0.0], [0.625, 0.375]),
        ([1.0, NAN], [0.5, 0.5]),
        ([NAN, NAN], [1.0, 0.0]),
    ],
)
def test_two_trees_by_hand(pixel, expected):
    found = forest_proba(np.array([pixel], "float32"), FOREST)
    assert_close(found, np.array([expected], "float32"), atol=1e-7)


def test_pixels_do_not_see_each_other():
    rng = np.random.default_rng(0)
    pixels = rng.uniform(0, 3, (1100, 2)).astype("float32")
    parts = [forest_proba(pixels[i : i + 7], FOREST) for i in range(0, 1100, 7)]
    assert_close(forest_proba(pixels, FOREST), np.concatenate(parts), atol=0)


@pytest.mark.parametrize("layout", ["turned", "planes", "part of planes", "into out"])
def test_one_answer_for_every_layout(layout):
    rng = np.random.default_rng(1)
    planes = rng.uniform(0, 3, (2, 37, 41)).astype("float32")
    pixels = np.ascontiguousarray(planes.reshape(2, -1).T)
    expected = forest_proba(pixels, FOREST)
    if layout == "turned":
        assert_close(forest_proba(np.asfortranarray(pixels), FOREST), expected, atol=0)
        return
    if layout == "part of planes":
        wide = np.full((2, 50, 60), NAN, "float32")
        wide[:, 5:42, 7:48] = planes
        planes = wide[:, 5:42, 7:48]
    out = np.empty((2, 37, 41), "float32") if layout == "into out" else None
    found = forest_proba(planes, FOREST, out=out)
    assert out is None or found is out
    assert_close(found, expected.T.reshape(2, 37, 41), atol=0)


@pytest.mark.parametrize("planes", [True, False])
def test_pixels_not_seen_are_left_out(planes):
    rng = np.random.default_rng(2)
    x = rng.uniform(0, 3, (2, 40, 60)).astype("float32")
    seen = rng.random((40, 60)) < 0.6
    seen[:12] = False
    expected = np.where(seen, forest_proba(x, FOREST), np.float32(NAN))
    if not planes:
        x, seen, expected = x.reshape(2, -1).T, seen.reshape(-1), expected.reshape(2, -1).T
    assert_close(forest_proba(x, FOREST, seen=seen), expected, atol=0)


def test_a_pixel_with_one_finite_value_is_seen():
    x = np.full((3, 4, 5), NAN, "float32")
    x[1, 2, 3], x[2, 0, 0], x[0, 3, 4] = -0.0, np.inf, 7
    x[:, 1, 1] = 2
    assert np.array_equal(seen_pixels(x), np.isfinite(x).any(axis=0))
    assert np.array_equal(seen_pixels(x[:, ::2, 1:]), np.isfinite(x[:, ::2, 1:]).any(axis=0))


def test_no_pixel():
    empty = np.empty((0, 2), "float32")
    assert_close(forest_proba(empty, FOREST), empty, atol=0)
    planes = np.empty((2, 0, 5), "float32")
    assert_close(forest_proba(planes, FOREST), planes, atol=0)


@pytest.mark.parametrize(
    ("part", "problem"),
    [
        (changed("left", 0, 0), "outside its tree"),
        (changed("left", 3, 0), "outside its tree"),
        (changed("left", 0, 2), "outside its tree"),
        (changed("left", 5, 2**32 - 1), "outside its tree"),
        (changed("left", 4, 2), "outside its tree"),
        (changed("threshold", 1, 7), "outside its tree"),
        (changed("column", 2, 3), "outside its tree"),
        (changed("roots", 0, 1), "roots are not in order"),
        (changed("roots", 1, 0), "roots are not in order"),
        (changed("roots", 1, 6), "roots are not in order"),
        (changed("leaf", 2, 4), "names no row"),
        (changed("proba", (0, 0), NAN), "not within 0 and 1"),
        (changed("proba", (0, 0), 1.5), "not within 0 and 1"),
        ({"left": FOREST.left[:-1].copy()}, "differ in length"),
        ({"left": FOREST.left.astype("int64")}, "left is not uint32"),
        ({"left": np.repeat(FOREST.left, 2)[::2]}, "left is not uint32"),
        ({"proba": FOREST.proba[:, 0].copy()}, "proba is not float32 with 2"),
        ({"roots": FOREST.roots[:0].copy()}, "there is no tree"),
    ],
)
def test_arrays_that_are_no_trees_are_refused(part, problem):
    with pytest.raises(ModelMismatch, match=f"{problem}.*train the model again"):
        replace(FOREST, **part)


def test_a_walk_that_would_never_end_is_refused():
    tree = FlatForest(
        roots=np.zeros(1, "uint32"),
        column=np.zeros(5, "uint16"),
        threshold=np.array([CUTS[1], CUTS[1], LEAF_CUT, LEAF_CUT, LEAF_CUT], "uint32"),
        left=np.array([1, 3, 2, 3, 4], "uint32"),
        leaf=np.array([0, 0, 1, 2, 3], "uint32"),
        proba=FOREST.proba,
    )
    left = np.array([1, 0, 2, 3, 4], "uint32")
    with pytest.raises(ModelMismatch, match="before its parent"):
        replace(tree, left=left)


def test_what_does_not_fit_is_refused():
    pixels = np.zeros((3, 2), "float32")
    with pytest.raises(ModelMismatch, match="got 1 features; the trees ask for at least 2"):
        forest_proba(pixels[:, :1], FOREST)
    with pytest.raises(ModelMismatch, match="got 1 features"):
        check_forest(FOREST, features=1, classes=2)
    with pytest.raises(ModelMismatch, match="forest of 2 classes; needed 3"):
        check_forest(FOREST, features=2, classes=3)
    with pytest.raises(ValueError, match=r"got out of float64 \(3, 2\)"):
        forest_proba(pixels, FOREST, out=np.empty((3, 2)))
    with pytest.raises(ValueError, match=r"got out of float32 \(2, 2\)"):
        forest_proba(pixels, FOREST, out=np.empty((2, 2), "float32"))
    with pytest.raises(ValueError, match=r"got seen of bool \(2,\)"):
        forest_proba(pixels, FOREST, seen=np.ones(2, bool))
    with pytest.raises(ValueError, match=r"got seen of bool \(15,\)"):
        forest_proba(np.zeros((2, 3, 5), "float32"), FOREST, seen=np.ones(15, bool))
    with pytest.raises(ValueError, match=r"got pixels of shape \(2,\)"):
        forest_proba(pixels[0], FOREST)
    check_forest(FOREST, features=2, classes=2)
