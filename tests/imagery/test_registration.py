import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from benchmarks import registration as study
from rs_monitor.errors import GridMismatch, NoObservations
from rs_monitor.imagery.load import load_cube
from rs_monitor.imagery.registration import (
    COLUMNS,
    choose_reference,
    fit_shift,
    reference_shift,
    registration_uncertainty_m,
    shifts_to_apply,
    stack_shifts,
    window_shifts,
)

RULES = study.registration_rules()
LIMIT_PX = 0.1


def ground(rows, cols, seed=3):
    """Texture without symmetry, in fine pixels."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.standard_normal((rows, cols)), 2.0)
    return (2000 + 4000 * smooth).astype("float32")


def seen_all(image):
    return np.ones(image.shape[-2:], bool)


def error_px(found, shift):
    return float(np.hypot(found.dy_px - shift[0], found.dx_px - shift[1]))


@pytest.fixture(scope="module")
def pairs(shared_data):
    makers = study.taizhou, study.brandenburg, study.small
    made = {make.__name__: make(shared_data) for make in makers}
    return {name: dataclasses.replace(p, **_corner(p)) for name, p in made.items()}


def _corner(pair):
    """A part is enough for a test, and quicker."""
    return {date: getattr(pair, date)[:, :360, :360] for date in ("before", "after")}


def test_the_sign_says_where_the_content_lies():
    image = ground(160, 160)
    moved = np.roll(image, (2, -3), axis=(0, 1))
    found = study.measure(image[np.newaxis], moved[np.newaxis], RULES)
    assert (found.status, round(found.dy_px, 2), round(found.dx_px, 2)) == ("measured", 2, -3)


@pytest.mark.parametrize("name", ["taizhou", "brandenburg", "small"])
@pytest.mark.parametrize(
    "shift", [(0.1, 0.0), (0.0, -0.25), (-0.35, 0.35), (1.8, -1.4), (0.0, 3.0)]
)
def test_known_shifts_of_real_images(pairs, name, shift):
    found = study.measured_under("same scene", pairs[name], shift, RULES, 1)
    assert found.measured
    assert error_px(found, shift) <= LIMIT_PX


@pytest.mark.parametrize("condition", ["noise", "30 % cloud, each", "other light", "other band"])
def test_known_shifts_under_trouble(pairs, condition):
    shift = (-0.6, 2.2)
    found = study.measured_under(condition, pairs["taizhou"], shift, RULES, 1)
    assert found.measured
    assert error_px(found, shift) <= LIMIT_PX


def test_another_date_follows_an_added_shift(pairs):
    shift = (1.3, -0.5)
    own, both = (
        study.measured_under("other date", pairs["taizhou"], s, RULES, 1) for s in ((0, 0), shift)
    )
    assert own.measured
    assert both.measured
    assert error_px(both, (own.dy_px + shift[0], own.dx_px + shift[1])) <= LIMIT_PX


def test_the_way_round_three_dates_closes(shared_data):
    days = study.slovenia(shared_data)
    legs = [study.measure(days[a], days[b], RULES) for a, b in ((0, 1), (1, 2), (0, 2))]
    first, second, direct = (np.array([leg.dy_px, leg.dx_px]) for leg in legs)
    assert np.hypot(*direct) > 0.5
    assert np.hypot(*(first + second - direct)) <= LIMIT_PX


def test_two_places_are_not_measured(pairs):
    table = study.unrelated([pairs["taizhou"]], RULES, (100,)).iloc[0]
    assert table["pairs"] >= 20
    assert table["called measured"] == 0


def test_ground_without_features_gives_its_reason():
    table = study.featureless(RULES).set_index("ground")
    assert set(table["status"]) == {"not_measured"}
    assert table.loc["constant", "reason"] == "0 of 36 seen windows show a match; needed 4"
    assert table.loc["30 x 30 px", "reason"] == "the grid holds no window of 32 px"


def test_bright_and_dark_may_swap_from_field_to_field():
    image = ground(240, 240)
    fields = np.add.outer(np.arange(240) // 24, np.arange(240) // 24) % 2 * 2 - 1
    moved = np.roll(2000 + fields * (image - 2000), 1, axis=1)
    found = study.measure(image[np.newaxis], moved[np.newaxis], RULES)
    assert found.measured
    assert error_px(found, (0, 1)) <= LIMIT_PX


def test_nan_counts_as_unseen_and_gaps_do_not_hold_the_result():
    image = ground(200, 200)
    moved = np.roll(image, (0, 2), axis=(0, 1))
    image[40:60, 30:120] = np.nan
    moved[40:60, 30:120] = np.nan
    table = window_shifts(image, moved, seen_all(image), seen_all(moved), RULES)
    found = fit_shift([table], RULES, item_ids=["a"])
    assert error_px(found, (0, 2)) <= LIMIT_PX
    assert table[:, 3].min() < 1 < table[:, 3].max() + 1e-6


def test_clouds_leave_windows_out():
    image = ground(200, 200)
    seen = seen_all(image)
    seen[:, 60:] = False
    table = window_shifts(image, image, seen_all(image), seen, RULES)
    left_out = table[:, 3] < RULES.min_seen_fraction
    assert 0 < left_out.sum() < len(table)
    assert np.isnan(table[left_out, :3]).all()
    assert np.isfinite(table[~left_out, :3]).all()


def test_blocks_in_any_hands_give_the_same_fit():
    image = ground(220, 140)
    moved = ndimage.shift(image, (0.7, -0.4), order=3)
    tables = [
        window_shifts(image[part], moved[part], seen_all(image[part]), seen_all(image[part]), RULES)
        for part in (np.s_[:128], np.s_[128:])
    ]
    again = window_shifts(
        image[128:], moved[128:], seen_all(image[128:]), seen_all(image[128:]), RULES
    )
    assert np.array_equal(tables[1], again)
    one = fit_shift(tables, RULES, item_ids=["a"])
    assert one == fit_shift([np.concatenate(tables)], RULES, item_ids=["a"])
    assert error_px(one, (0.7, -0.4)) <= LIMIT_PX


def test_a_stack_is_its_pairs():
    dates = np.stack([ground(130, 130)[np.newaxis], np.roll(ground(130, 130), 1, 0)[np.newaxis]])
    seen = np.ones((2, 130, 130), bool)
    found = stack_shifts(dates, seen, reference=0, rules=RULES)
    assert found.shape[2] == len(COLUMNS)
    assert np.isnan(found[0]).all()
    assert np.array_equal(found[1], window_shifts(dates[0], dates[1], seen[0], seen[1], RULES))


def test_shapes_must_agree():
    with pytest.raises(GridMismatch, match="needed one shape"):
        window_shifts(ground(99, 99), ground(99, 98), *[np.ones((99, 99), bool)] * 2, RULES)


def windows(*shifts, peak=30.0, seen=1.0):
    return np.array([(dy, dx, peak, seen) for dy, dx in shifts])


def test_the_median_of_those_who_agree():
    table = windows((0.4, 1.0), (0.5, 1.1), (0.6, 1.2), (0.5, 1.1), (5.0, -4.0), (-3.0, 2.0))
    found = fit_shift([table], RULES, item_ids=["a", "b"])
    assert (found.dy_px, found.dx_px, found.item_ids) == (0.5, 1.1, ("a", "b"))
    assert (found.windows_used, found.windows) == (4, 6)
    assert found.spread_px == pytest.approx(1.4826 * 0.05 * 2**0.5)
    assert found.uncertainty_px == pytest.approx(
        np.hypot(1.2533 * found.spread_px, RULES.method_px)
    )


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (np.empty((0, 4)), "the grid holds no window of 32 px"),
        (windows(*[(0, 0)] * 5, seen=0.1), "0 of 5 windows were seen by both scenes; needed 4"),
        (windows(*[(0, 0)] * 5, peak=1.0), "0 of 5 seen windows show a match; needed 4"),
        (
            windows(*[(5 - 2 * i, 3 * (i % 3)) for i in range(6)]),
            "1 of 6 matches agree; needed 4 and 25% of 6 seen windows",
        ),
    ],
)
def test_why_nothing_was_measured(table, reason):
    found = fit_shift([table], RULES, item_ids=["a"])
    assert (found.status, found.reason) == ("not_measured", reason)
    assert np.isnan([found.dy_px, found.dx_px, found.spread_px, found.uncertainty_px]).all()


DAYS = np.array(["2020-01-01", "2020-06-01", "2020-07-01", "2020-12-31"], "M8[ns]")


@pytest.mark.parametrize(
    ("clear", "chosen"),
    [
        ((0.9, 0.9, 0.9, 0.9), 2),  # 2 July is the middle
        ((0.9, 0.9, 0.5, 0.9), 1),
        ((0.99, 0.3, 0.5, 0.93), 0),
        ((0.96, 0.3, 0.5, 0.95), 0),  # as near as the last one, but clearer
    ],
)
def test_the_reference_is_clear_and_central(clear, chosen):
    assert choose_reference(["a", "b", "c", "d"], DAYS, clear, RULES) == chosen


def test_the_reference_does_not_depend_on_the_order():
    same = np.repeat(DAYS[1], 3)
    for order in ("bca", "cab"):
        index = choose_reference(list(order), same, [0.5, 0.5, 0.5], RULES)
        assert order[index] == "a"


@pytest.mark.parametrize("clear", [[], [0.0, 0.0], [float("nan")]])
def test_no_reference_without_ground(clear):
    with pytest.raises(NoObservations):
        choose_reference(["a"] * len(clear), DAYS[: len(clear)], clear, RULES)


def shifted(dy, dx, *items, spread=0.0, uncertainty=0.0):
    known = dataclasses.replace(reference_shift(items), dy_px=dy, dx_px=dx)
    return dataclasses.replace(known, spread_px=spread, uncertainty_px=uncertainty)


def unknown(item):
    return fit_shift([], RULES, item_ids=[item])


def test_what_is_worth_undoing():
    shifts = [
        shifted(0.3, -0.4, "z", "b"),
        shifted(0.1, 0.1, "small"),
        shifted(0.3, 0.0, "unsure", uncertainty=0.2),
        unknown("dark"),
        shifted(-1.0, 0.0, "a"),
    ]
    found = shifts_to_apply(shifts, RULES)
    assert list(found.items()) == [("a", (-1.0, 0.0)), ("b", (0.3, -0.4)), ("z", (0.3, -0.4))]


def test_what_is_left_between_two_periods():
    before = [shifted(0.0, 0.0, "a"), shifted(0.0, 0.0, "b")]
    after = [shifted(0.3, 0.4, "c"), shifted(0.3, 0.4, "d")]
    assert registration_uncertainty_m(before, after, 10.0, RULES) == pytest.approx(5.0)
    applied = {"c": (0.3, 0.4), "d": (0.3, 0.4)}
    assert registration_uncertainty_m(before, after, 10.0, RULES, applied=applied) == 0.0


def test_scatter_and_spread_are_not_averaged_away():
    before = [shifted(0.0, 0.3, "a"), shifted(0.0, -0.3, "b")]
    after = [shifted(0.0, 0.0, "c", spread=0.24, uncertainty=0.32)] * 7
    expected = 30.0 * np.hypot(0.3, 0.4)
    assert registration_uncertainty_m(before, after, 30.0, RULES) == pytest.approx(expected)


def test_a_period_nobody_could_measure_has_no_figure():
    known, dark = [shifted(0.0, 0.0, "a")], [unknown("b"), unknown("c")]
    assert np.isnan(registration_uncertainty_m(known, dark, 10.0, RULES))
    assert np.isnan(registration_uncertainty_m(known, known + dark, 10.0, RULES))
    assert np.isnan(registration_uncertainty_m(known, [], 10.0, RULES))
    assert registration_uncertainty_m(known, known + dark[:1], 10.0, RULES) == 0.0


def test_loading_undoes_what_was_measured(scene, make):
    fine, factor, shift = ground(520, 520)[np.newaxis], 3, (0.8, -1.3)
    images = [study.coarse(fine, factor, s)[0].astype("uint16") for s in ((0.0, 0.0), shift)]
    days = ("2024-05-01T02:50:00Z", "2024-05-11T02:50:00Z")
    items = [
        scene(name, image, when=day) for name, image, day in zip("ab", images, days, strict=True)
    ]
    options = {"geobox": make.grid(*images[0].shape), "bands": ["red"], "resampling": "cubic"}
    seen = np.ones((2, *images[0].shape), bool)

    def shift_of_b(**more):
        values = load_cube(items, **options, **more)["red"].values[:, np.newaxis].astype("float32")
        clear = seen & (values[:, 0] > 0)
        return fit_shift(
            [stack_shifts(values, clear, reference=0, rules=RULES)[1]], RULES, item_ids=["b"]
        )

    found = shift_of_b()
    assert error_px(found, shift) <= LIMIT_PX
    assert shift_of_b(shifts=shifts_to_apply([found], RULES)).length_px <= LIMIT_PX
