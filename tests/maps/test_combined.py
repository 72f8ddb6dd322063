"""The combined two-date method and lasting loss, on pairs whose truth is known."""

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from scipy.special import expit

from rs_monitor.codes import Change, LastingLoss
from rs_monitor.errors import GridMismatch
from rs_monitor.estimation.agreement import score_change
from rs_monitor.kernels.threshold import histogram
from rs_monitor.maps.combined import combined_block, combined_change, fit_combined
from rs_monitor.maps.context import with_context
from rs_monitor.maps.lasting_loss import Sums, loss_model
from rs_monitor.maps.magnitude_cut import find_cut
from rs_monitor.maps.two_date import fit_two_date, two_date_change
from rs_monitor.synthetic.pairs import PairSpec, synthetic_pair
from tests.maps.shipped_change_rules import CHANGE_RULES

RULES = CHANGE_RULES.combined


@pytest.fixture(scope="module")
def pair():
    return synthetic_pair(PairSpec(302, 0.5, size_px=160))


@pytest.fixture(scope="module")
def mapped(pair):
    fit = fit_combined(pair.before, pair.after, CHANGE_RULES)
    return fit, combined_change(pair.before, pair.after, fit)


def kappa(change, pair):
    pure = ~pair.truth["mixed"].values
    flagged = change.values == Change.CHANGE
    return score_change(flagged[pure], pair.truth["change"].values[pure]).kappa


def test_context_of_one_row_by_hand():
    # one pixel for, between two against; a third takes no part
    odds = np.array([[-1.0, 0.5, -1.0, np.nan]], dtype=np.float32)
    votes = 2 * expit(odds[0]) - 1
    for _ in range(3):
        left, mid, right = (
            -1.0 + 0.5 * votes[1],
            0.5 + 0.5 * (votes[0] + votes[2]),
            -1.0 + 0.5 * votes[1],
        )
        votes = 2 * expit(np.array([left, mid, right])) - 1
    got = with_context(odds, 0.5)
    np.testing.assert_allclose(got[0, :3], (votes + 1) / 2, rtol=1e-5)
    assert np.isnan(got[0, 3])
    assert got[0, 1] < expit(0.5)


def test_two_groups_are_cut_between_them():
    values = np.concatenate([np.full(900, 2.0), np.full(100, 20.0)])
    cut = find_cut(histogram(values + np.tile([0.0, 0.1], 500)), 6, RULES)
    assert cut.rule == "kmeans"
    assert 2.5 < np.exp(cut.at) < 20.0


def test_one_chi_square_is_left_whole():
    rng = np.random.default_rng(5)
    magnitude = np.sqrt(rng.chisquare(6, 40_000))
    cut = find_cut(histogram(magnitude), 6, RULES)
    assert cut.rule == "noise"
    assert (magnitude > np.exp(cut.at)).mean() < 4e-3


def test_a_few_changes_that_do_not_stand_apart_are_not_lost():
    rng = np.random.default_rng(5)
    few = rng.uniform(6.0, 15.0, 2_000)
    magnitude = np.concatenate([np.sqrt(rng.chisquare(6, 40_000)), few])
    cut = find_cut(histogram(magnitude), 6, RULES)
    assert (few > np.exp(cut.at)).mean() > 0.75


def test_nothing_changed_between_two_looks_at_one_ground(pair):
    rng = np.random.default_rng(6)
    again = (0.8 * pair.before + 7.0 + rng.normal(0.0, 1.0, pair.before.shape)).astype(np.float32)
    fit = fit_combined(pair.before, again, CHANGE_RULES)
    change = combined_change(pair.before, again, fit)
    assert float((change["change"] == Change.CHANGE).mean()) < 0.002
    assert not (change["loss"] == LastingLoss.LASTING).any()
    assert "noise" in change.attrs["threshold"]


def test_a_little_building_on_quiet_ground_is_found():
    quiet = synthetic_pair(PairSpec(304, 0.0, size_px=160))
    fit = fit_combined(quiet.before, quiet.after, CHANGE_RULES)
    assert kappa(combined_change(quiet.before, quiet.after, fit)["change"], quiet) > 0.8


def test_half_of_the_fields_changed(pair, mapped):
    assert kappa(mapped[1]["change"], pair) > 0.9


def test_most_fields_changed():
    most = synthetic_pair(PairSpec(302, 0.8, size_px=160))
    fit = fit_combined(most.before, most.after, CHANGE_RULES)
    ours = kappa(combined_change(most.before, most.after, fit)["change"], most)
    irmad = fit_two_date(most.before, most.after, method="irmad", threshold="kmeans")
    theirs = kappa(two_date_change(most.before, most.after, irmad)["change"], most)
    assert ours > 0.8
    assert ours > theirs + 0.2


def test_lasting_loss_is_mostly_works_and_crops_are_mostly_left_out(pair, mapped):
    lasting = (mapped[1]["loss"] == LastingLoss.LASTING).values
    works = pair.truth["works"].values
    assert works[lasting].mean() > 0.5
    lost_to_crops = pair.truth["crop_change"].values
    assert lasting[lost_to_crops].mean() < 0.005


def test_without_field_soil_nothing_is_called_lasting():
    none, some = (Sums(w, np.zeros(2), np.eye(2)) for w in (0.0, 500.0))
    model = loss_model([none, some, some, some], 500.0, 10_000.0, CHANGE_RULES.loss)
    assert model.soil is None
    assert "no field" in model.reason
    model = loss_model([some, some, some, none], 500.0, 10_000.0, CHANGE_RULES.loss)
    assert model.lasting is None
    assert "no built surface" in model.reason


def test_candidates_beyond_the_share_of_works_count_as_soil():
    # 1,000 of 10,000 pixels lost vegetation, 2 % may be works: 800 of them are soil
    at = [
        Sums(w, w * np.array([m]), w * np.array([[m * m]]))
        for w, m in ((200.0, 0.0), (1000.0, 1.0), (0.0, 0.0), (100.0, 5.0))
    ]
    model = loss_model(at, 1000.0, 10_000.0, CHANGE_RULES.loss)
    np.testing.assert_allclose(model.soil.mean, [0.8])
    np.testing.assert_allclose(model.log_prior, np.log(0.2 / 0.8))


def test_not_seen_stays_not_seen(pair):
    hidden = pair.before.where(~((pair.before["x"] > 1500) & (pair.before["x"] < 2000)))
    fit = fit_combined(hidden, pair.after, CHANGE_RULES)
    layers = combined_change(hidden, pair.after, fit)
    unseen = np.isnan(hidden[0]).values
    assert unseen.any()
    for name, code in (("change", Change.NOT_SEEN), ("loss", LastingLoss.NOT_SEEN)):
        np.testing.assert_array_equal(layers[name].values == code, unseen)
    assert np.isnan(layers["probability"].values[unseen]).all()


def test_a_widened_tile_gives_what_the_whole_gives(pair, mapped):
    fit, whole = mapped
    m = fit.margin_px
    window = (slice(None), slice(40 - m, 90 + m), slice(50 - m, 110 + m))
    tile = combined_block(pair.before.values[window], pair.after.values[window], fit=fit)
    inner = tile[:3, m:-m, m:-m]
    part = whole.isel(y=slice(40, 90), x=slice(50, 110))
    for layer, name in zip(inner, ("magnitude", "probability", "loss"), strict=True):
        np.testing.assert_allclose(layer, part[name].values, rtol=1e-5, atol=1e-6)


def test_any_chunking_gives_one_fit(pair, mapped):
    lazy = [
        xr.DataArray(da.from_array(d.values, chunks=(2, 50, 70)), dims=d.dims, coords=d.coords)
        for d in (pair.before, pair.after)
    ]
    fit = fit_combined(*lazy, CHANGE_RULES)
    np.testing.assert_array_equal(fit.mad.before, mapped[0].mad.before)
    assert fit.cut == mapped[0].cut
    layers = combined_change(*lazy, fit)
    assert isinstance(layers["loss"].data, da.Array)
    xr.testing.assert_identical(layers.compute(), mapped[1])


def test_gain_and_offset_do_not_matter(pair, mapped):
    other = fit_combined(2.0 * pair.before + 30.0, 0.5 * pair.after - 10.0, CHANGE_RULES)
    layers = combined_change(2.0 * pair.before + 30.0, 0.5 * pair.after - 10.0, other)
    same = layers["change"].values == mapped[1]["change"].values
    assert same.mean() > 0.995
    assert (layers["loss"].values == mapped[1]["loss"].values).mean() > 0.995


def test_unnamed_bands_tell_change_but_not_what_was_lost(pair):
    names = ["b1", "b2", "b3", "b4", "b5", "b6"]
    one, other = (date.assign_coords(band=names) for date in (pair.before, pair.after))
    fit = fit_combined(one, other, CHANGE_RULES)
    layers = combined_change(one, other, fit)
    assert "red and nir" in layers.attrs["lasting_loss"]
    changed = layers["change"].values == Change.CHANGE
    np.testing.assert_array_equal(layers["loss"].values == LastingLoss.CANNOT_TELL, changed)


def test_two_bands_are_refused(pair):
    with pytest.raises(GridMismatch, match="at least 3"):
        fit_combined(pair.before[:2], pair.after[:2], CHANGE_RULES)


def test_degrees_are_refused(pair):
    one, other = (
        date.assign_coords(x=date["x"] * 1e-5, y=date["y"] * 1e-5)
        for date in (pair.before, pair.after)
    )
    with pytest.raises(GridMismatch, match="metres"):
        fit_combined(one, other, CHANGE_RULES)
