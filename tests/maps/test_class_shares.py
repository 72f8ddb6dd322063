import geopandas as gpd
import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from shapely.geometry import Polygon, box

from rs_monitor.codes import CodeSystem, LandCover
from rs_monitor.errors import ModelMismatch, NoObservations
from rs_monitor.maps.calibration import Calibrator
from rs_monitor.maps.class_shares import (
    EstimatedShares,
    at_shares,
    estimated_shares,
    model_at_shares,
    own_shares,
    shares_of_survey,
    surveyed_areas,
)
from rs_monitor.maps.classifier import LandCoverClassifier
from rs_monitor.maps.land_cover import class_probabilities
from tests.comparison import assert_close
from tests.maps.small_models import CLASSES, SPEC, small_model, small_samples

CRS = "EPSG:4547"
WEST, SOUTH = 500_000.0, 4_000_000.0
GRID = GeoBox.from_bbox(
    (WEST, SOUTH, WEST + 1000, SOUTH + 1000), crs=CRS, resolution=10, tight=True
)
SURVEY3 = CodeSystem.SURVEY3


def survey(*parcels, crs=CRS):
    """Rows of (code, x0, y0, x1, y1) in metres from the grid's corner."""
    shapes = [box(WEST + x0, SOUTH + y0, WEST + x1, SOUTH + y1) for _, x0, y0, x1, y1 in parcels]
    return gpd.GeoDataFrame({"land_code": [p[0] for p in parcels]}, geometry=shapes, crs=crs)


def test_bayes_by_hand():
    # likelihoods of a signature: 0.6, 0.3, 0.1; equal shares, then 1/10, 1/2, 4/10
    likelihood, new = np.array([0.6, 0.3, 0.1]), np.array([0.1, 0.5, 0.4])
    balanced = likelihood / likelihood.sum()
    posterior = [0.06 / 0.25, 0.15 / 0.25, 0.04 / 0.25]
    equal = own_shares(None, [40, 40, 40])
    assert_close(at_shares(balanced[None], equal, new)[0], np.array(posterior), atol=1e-12)
    moved = Calibrator.of_trees(equal).with_prior(new)
    assert_close(moved.apply(balanced[None])[0], np.array(posterior, dtype="f4"), atol=1e-5)
    # from 1/4, 1/4, 1/2: the same posterior
    own = np.array([0.25, 0.25, 0.5])
    stated = likelihood * own / np.sum(likelihood * own)
    assert_close(at_shares(stated[None], own, new)[0], np.array(posterior), atol=1e-12)


def test_a_row_not_seen_stays_so_and_rows_sum_to_one():
    rows = np.array([[0.2, 0.8], [np.nan, np.nan], [1.0, 0.0]])
    moved = at_shares(rows, [0.5, 0.5], [3.0, 1.0])
    assert np.isnan(moved[1]).all()
    assert_close(moved[[0, 2]], np.array([[3 / 7, 4 / 7], [1.0, 0.0]]), atol=1e-12)


@pytest.mark.parametrize("apart", [1.0, 2.5])
def test_trees_of_small_leaves_go_with_the_shares_of_their_rows(apart):
    # one class nine times as frequent, trees balanced; scored where both are equally frequent
    rng = np.random.default_rng(3)

    def drawn(*counts):
        labels = np.repeat([1, 2], counts)
        signature = rng.normal(size=(len(labels), 6))
        signature[:, :3] += (labels == 2)[:, None] * apart / np.sqrt(3)
        return signature.astype(np.float32), labels

    trees = LandCoverClassifier(trees=60, min_leaf=3, max_features=0.3, random_state=0)
    trees.fit(*drawn(1800, 200))
    signature, labels = drawn(1500, 1500)
    stated = np.clip(trees.predict_proba(signature), 1e-3, None)
    rows = own_shares(trees.calibrator_, [1800, 200])
    assert_close(rows, np.array([0.9, 0.1]), atol=1e-12)
    loss, off = {}, {}
    for name, own in {"rows": rows, "equal": np.array([0.5, 0.5])}.items():
        moved = at_shares(stated, own, [0.5, 0.5])
        loss[name] = -np.log(moved[np.arange(len(labels)), labels - 1]).mean()
        off[name] = abs(moved[:, 1].mean() - 0.5)
    assert loss["rows"] < 0.9 * loss["equal"]
    assert off["rows"] < 0.8 * off["equal"]


@pytest.mark.parametrize("calibration", ["none", "temperature", "bias_temperature"])
def test_a_model_moves_as_its_probabilities_do(calibration):
    model = small_model("forest", calibration)
    features = np.ascontiguousarray(small_samples(seed=5).features.T)[:, None, :]
    features[:, 0, 7] = np.nan
    new, rows = [0.7, 0.2, 0.1], [10, 30, 40]
    own = own_shares(model.calibrator, rows)
    moved_model = model_at_shares(model, new, rows=rows)
    moved = class_probabilities(moved_model, features, SPEC.names)[:, 0].T
    stated = class_probabilities(model, features, SPEC.names)[:, 0].T
    assert_close(moved, at_shares(stated, own, new).astype("f4"), atol=5e-5)
    assert np.isnan(moved[7]).all()
    assert np.abs(moved - stated)[:7].max() > 0.05
    back = model_at_shares(moved_model, own, rows=rows)
    assert_close(class_probabilities(back, features, SPEC.names)[:, 0].T, stated, atol=5e-5)
    assert_close(own_shares(moved_model.calibrator, rows), np.array(new), atol=1e-12)
    assert moved_model.trees is model.trees


def test_the_shares_of_a_survey_are_of_what_can_be_named():
    areas = {LandCover.PADDY: 600.0, LandCover.FOREST: 300.0, LandCover.ROAD: 100.0}
    found = shares_of_survey(areas, CLASSES)
    assert_close(np.array(found.shares), np.array([0.5, 0.25, 0.25]), atol=1e-12)
    assert found.left_out_m2 == {LandCover.ROAD: 100.0}
    assert found.not_surveyed == (LandCover.BUILT,)
    with pytest.raises(NoObservations, match="without any class of the model"):
        shares_of_survey({LandCover.ROAD: 5.0}, CLASSES)


def test_all_parcels_with_a_class_count_by_their_part_in_the_grids():
    parcels = survey(
        ("0101", 0, 0, 300, 100),
        ("0101", -100, 500, 100, 600),  # half within
        ("0103", 400, 0, 500, 100),
        ("1006", 600, 0, 603, 900),  # a road no wider than a third of a pixel
        ("1203", 700, 0, 800, 100),  # a ridge
        ("0304", 800, 0, 900, 100),  # swamp under trees
        ("0301", 5000, 0, 6000, 100),  # beyond the grid
        ("9999", 900, 0, 950, 100),
    )
    bow = Polygon([(WEST, SOUTH), (WEST + 50, SOUTH + 50), (WEST + 50, SOUTH), (WEST, SOUTH + 50)])
    broken = gpd.GeoDataFrame({"land_code": ["0301"]}, geometry=[bow], crs=CRS)
    found = surveyed_areas(
        gpd.GeoDataFrame(np.concatenate([parcels, broken]), columns=parcels.columns, crs=CRS),
        GRID,
        system=SURVEY3,
    )
    assert list(found) == [LandCover.PADDY, LandCover.UPLAND_CROP, LandCover.ROAD]
    plane = np.array([300 * 100 + 100 * 100, 100 * 100, 3 * 900])
    assert_close(np.array(list(found.values())) / plane, np.ones(3), atol=1e-3)


def test_ground_of_two_grids_counts_once_and_the_order_of_rows_nothing():
    parcels = survey(("0101", 0, 0, 300, 100), ("0103", 900, 0, 1500, 100))
    east = GeoBox.from_bbox(
        (WEST + 500, SOUTH, WEST + 2000, SOUTH + 1000), crs=CRS, resolution=10, tight=True
    )
    both = surveyed_areas(parcels, (GRID, east), system=SURVEY3)
    assert both[LandCover.UPLAND_CROP] / both[LandCover.PADDY] == pytest.approx(2, rel=1e-6)
    again = surveyed_areas(parcels[::-1], (east, GRID), system=SURVEY3)
    assert again == both
    moved = surveyed_areas(parcels.to_crs("EPSG:4490"), (GRID, east), system=SURVEY3)
    assert moved == pytest.approx(both, rel=1e-5)


def test_shares_of_other_classes_are_refused():
    with pytest.raises(ModelMismatch, match="3 shares above 0"):
        model_at_shares(small_model(), [0.5, 0.5], rows=[1, 1, 1])


OWN, NEW = np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.3, 0.5])


def ground(shares, rows=20_000, seed=0):
    """Probabilities that hold for ``OWN``, on ground of other shares; signatures are normal."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, rows, p=shares)
    centers = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
    signature = centers[labels] + rng.normal(size=(rows, 2))
    distance = ((signature[:, None] - centers) ** 2).sum(axis=2)
    likelihood = np.exp(-0.5 * distance)
    return at_shares(likelihood / likelihood.sum(axis=1, keepdims=True), [1, 1, 1], OWN), labels


def em(probabilities, own=OWN, tolerance=1e-9, max_rounds=5000) -> EstimatedShares:
    return estimated_shares(probabilities, own, tolerance=tolerance, max_rounds=max_rounds)


def test_unknown_shares_are_found_and_the_likelihood_never_falls():
    stated, labels = ground(NEW)
    found = em(stated)
    assert found.settled
    assert np.abs(stated.mean(axis=0) - NEW).max() > 0.1
    assert_close(found.shares, np.bincount(labels) / len(labels), atol=0.01)
    assert found.gains[0] == pytest.approx(0, abs=1e-12)
    assert found.gains[-1] > 0.1
    assert np.diff(found.gains).min() >= -1e-12
    # what the moved probabilities then state is what was found
    assert_close(at_shares(stated, OWN, found.shares).mean(axis=0), found.shares, atol=1e-6)


def test_right_shares_stay():
    rows = np.array([[0.9, 0.1, 0.0], [0.3, 0.5, 0.2], [0.6, 0.3, 0.1]])
    rows = np.vstack([rows, 4 * OWN - rows.sum(axis=0)])
    found = em(rows)
    assert_close(found.shares, OWN, atol=1e-12)
    assert len(found.gains) == 2
    assert found.settled


def test_one_round_by_hand():
    # from equal shares a round gives the mean of the rows: 1.2 / 2 and 0.8 / 2
    rows = np.array([[0.2, 0.8], [1.0, 0.0]])
    found = em(rows, own=[0.5, 0.5], max_rounds=1)
    assert_close(found.shares, np.array([0.6, 0.4]), atol=1e-12)
    assert not found.settled
    ratio = np.log([0.2 * 1.2 + 0.8 * 0.8, 1.2]).mean()
    assert found.gains == pytest.approx([0, ratio], abs=1e-12)


def test_rows_not_seen_and_the_order_of_rows_and_classes_change_nothing():
    stated, _ = ground(NEW, rows=500)
    found = em(stated)
    holes = np.insert(stated, [3, 90, 400], np.nan, axis=0)
    assert np.array_equal(em(holes).shares, found.shares)
    assert_close(em(stated[::-1]).shares, found.shares, atol=1e-10)
    order = [2, 0, 1]
    assert_close(em(stated[:, order], OWN[order]).shares, found.shares[order], atol=1e-10)
    assert_close(em(stated, own=5 * OWN).shares, found.shares, atol=1e-12)


def test_shares_of_other_columns_and_unseen_ground_are_refused():
    with pytest.raises(ModelMismatch, match="a share above 0 for each column"):
        em(np.full((4, 2), 0.5))
    with pytest.raises(ModelMismatch, match="a share above 0"):
        em(np.full((4, 3), 1 / 3), own=[0.5, 0.5, 0.0])
    with pytest.raises(NoObservations, match="no row that was seen"):
        em(np.full((4, 3), np.nan))
