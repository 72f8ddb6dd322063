import io

import numpy as np
import pytest
from PIL import Image
from shapely.geometry import box

from rs_monitor.codes import ClassStyle
from rs_monitor.errors import QuantityError
from rs_monitor.outputs.pictures import (
    chip_window,
    class_picture,
    mask_overlay,
    stretch_limits,
    svg_path,
    true_colour,
)


def decoded(png):
    return np.array(Image.open(io.BytesIO(png)))


def ground(geobox, column, row, width, height):
    a = geobox.affine
    left, top = a.c + a.a * column, a.f + a.e * row
    return box(left, top + a.e * height, left + a.a * width, top)


def test_pixels_not_seen_are_transparent():
    rgb = np.full((3, 4, 5), 0.5, dtype="float32")
    rgb[1, 2, 3] = np.nan
    rgb[:, 0, 0] = 1.0
    pixels = decoded(true_colour(rgb, np.array([[0.0, 1.0]] * 3)))
    assert pixels.shape == (4, 5, 4)
    assert pixels[2, 3].tolist() == [0, 0, 0, 0]
    assert pixels[0, 0].tolist() == [255, 255, 255, 255]
    assert (pixels[..., 3] == 0).sum() == 1


def test_stretch_ignores_extremes_and_empty_bands():
    rgb = np.tile(np.linspace(0, 1, 1001, dtype="float32"), (3, 1, 1))
    rgb[2] = np.nan
    limits = stretch_limits(rgb)
    np.testing.assert_allclose(limits[0], [0.02, 0.98], atol=1e-3)
    assert limits[2].tolist() == [0.0, 1.0]
    flat = stretch_limits(np.full((3, 2, 2), 0.3))
    assert (flat[:, 1] > flat[:, 0]).all()


def test_large_pictures_shrink_and_small_ones_stay():
    assert decoded(true_colour(np.zeros((3, 40, 80)), longest_px=20)).shape == (10, 20, 4)
    assert decoded(true_colour(np.zeros((3, 4, 8)), longest_px=20)).shape == (4, 8, 4)


def test_overlay_veils_the_mask_only():
    mask = np.zeros((10, 10), dtype=bool)
    mask[:5] = True
    image = Image.open(io.BytesIO(mask_overlay(mask, longest_px=20))).convert("RGBA")
    veiled = np.array(image)[..., 3] > 0
    np.testing.assert_array_equal(veiled, mask.repeat(2, axis=0).repeat(2, axis=1))


def test_three_bands_are_needed():
    with pytest.raises(QuantityError, match=r"got an array of shape \(2, 3, 3\)"):
        true_colour(np.zeros((2, 3, 3)))


def test_outline_is_drawn_in_pixels(geobox):
    path = svg_path(ground(geobox, 10, 20, 3, 4), geobox, (8, 15))
    corners = set(path.removeprefix("M").removesuffix("Z").split("L"))
    assert corners == {"2.00 5.00", "5.00 5.00", "5.00 9.00", "2.00 9.00"}


@pytest.mark.parametrize(
    ("column", "row", "expected"),
    [(100, 90, (slice(81, 101), slice(91, 111))), (0, 0, (slice(0, 20), slice(0, 20)))],
)
def test_window_stays_square_and_inside(geobox, column, row, expected):
    patch = ground(geobox, column, row, 2, 2)
    assert chip_window(patch, geobox, margin_px=5, least_px=20) == expected


def test_window_of_a_large_patch_is_the_grid(geobox):
    patch = ground(geobox, 0, 0, 240, 200)
    rows, columns = chip_window(patch, geobox, margin_px=5, least_px=20)
    assert (rows, columns) == (slice(0, 200), slice(0, 240))


def test_class_picture_has_the_colours_of_its_style_and_nothing_elsewhere():
    values = np.array([[1, 2, 0], [2, 99, 1]], np.uint8)
    style = {1: ClassStyle("a", "甲", (10, 20, 30)), 2: ClassStyle("b", "乙", (200, 100, 50))}
    picture = Image.open(io.BytesIO(class_picture(values, style, longest_px=90)))
    shown = np.asarray(picture.convert("RGBA"))
    one, two, none = [10, 20, 30, 255], [200, 100, 50, 255], [0, 0, 0, 0]
    assert shown.tolist() == [[one, two, none], [two, none, one]]
    small = Image.open(io.BytesIO(class_picture(np.ones((40, 20), np.uint8), style, longest_px=10)))
    assert small.size == (5, 10)
