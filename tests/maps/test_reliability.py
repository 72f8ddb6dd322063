import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from rs_monitor.errors import ModelMismatch
from rs_monitor.maps.reliability import (
    brier_score,
    calibration_table,
    classwise_calibration_error,
    expected_calibration_error,
    group_interval,
    reliability_curve,
)

CLASSES = ["forest", "paddy"]
FOUR = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]])
TRUE = np.array(["forest", "paddy", "paddy", "paddy"])


def certain_share(seed, rows=2000, parcel=10, shift=0.0):
    """Rows of two classes in parcels that share their label; stated truly, or too high."""
    rng = np.random.default_rng(seed)
    parcels = np.arange(rows) // parcel
    p = rng.uniform(0.05, 0.95 - shift, parcels[-1] + 1)[parcels]
    labels = np.where(rng.random(parcels[-1] + 1)[parcels] < p, "paddy", "forest")
    stated = p + shift
    return np.stack([1 - stated, stated], axis=1), labels, parcels


def test_by_hand():
    """Tops 0.9 right, 0.8 wrong, 0.7 right, 0.6 right; two bins of equal width: one is empty."""
    width = {"bins": 2, "spacing": "width"}
    mass = {"bins": 2, "spacing": "mass"}
    assert expected_calibration_error(FOUR, TRUE, CLASSES, **width) == pytest.approx(0)
    # 0.6, 0.7 both right: 0.35 short of 1; 0.8, 0.9 half right: 0.35 over
    assert expected_calibration_error(FOUR, TRUE, CLASSES, **mass) == pytest.approx(0.35)
    # paddy 0.1, 0.2 once true of two, 0.6, 0.7 always: 0.35 and 0.35; forest mirrors it
    assert classwise_calibration_error(FOUR, TRUE, CLASSES, **mass) == pytest.approx(0.35)
    # squares of 0.1, 0.8, 0.3 and 0.4 in both classes
    assert brier_score(FOUR, TRUE, CLASSES) == pytest.approx(0.45)


def test_curve_by_hand():
    curve = reliability_curve(FOUR, TRUE, CLASSES, bins=2, spacing="mass")
    assert curve["rows"].tolist() == [2, 2]
    assert curve["stated_fraction"].tolist() == pytest.approx([0.65, 0.85])
    assert curve["true_fraction"].tolist() == pytest.approx([1, 0.5])


def test_curve_and_brier_score_are_scikit_learns():
    p, labels, _ = certain_share(1)
    truth = labels == "paddy"
    for ours, theirs in (("width", "uniform"), ("mass", "quantile")):
        curve = reliability_curve(p, labels, CLASSES, bins=10, spacing=ours, of="paddy")
        true, stated = calibration_curve(truth, p[:, 1], n_bins=10, strategy=theirs)
        # bins closed on one side or the other: a value on an edge may change its bin
        np.testing.assert_allclose(curve["true_fraction"], true, atol=0.03)
        np.testing.assert_allclose(curve["stated_fraction"], stated, atol=0.01)
    # scikit-learn's is of one class, half of the sum over both
    assert brier_score(p, labels, CLASSES) == pytest.approx(2 * brier_score_loss(truth, p[:, 1]))


def test_equal_probabilities_share_a_bin():
    p = np.repeat([[0.5, 0.5], [0.1, 0.9]], 50, axis=0)
    labels = np.array(["forest", "paddy"] * 25 + ["paddy"] * 45 + ["forest"] * 5)
    curve = reliability_curve(p, labels, CLASSES, bins=15, spacing="mass")
    assert curve["rows"].tolist() == [50, 50]
    error = expected_calibration_error(p, labels, CLASSES, bins=15, spacing="mass")
    assert error == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("spacing", ["mass", "width"])
def test_order_of_rows_and_classes_does_not_matter(spacing):
    p, labels, _ = certain_share(2)
    rows = np.random.default_rng(0).permutation(len(p))
    settings = {"bins": 15, "spacing": spacing}
    for measure in (expected_calibration_error, classwise_calibration_error):
        one = measure(p, labels, CLASSES, **settings)
        assert measure(p[rows], labels[rows], CLASSES, **settings) == pytest.approx(one)
        assert measure(p[:, ::-1], labels, CLASSES[::-1], **settings) == pytest.approx(one)


def test_a_known_shift_is_found():
    p, labels, _ = certain_share(3, rows=20_000, parcel=1, shift=0.2)
    error = classwise_calibration_error(p, labels, CLASSES, bins=10, spacing="mass")
    assert error == pytest.approx(0.2, abs=0.02)


def test_intervals_of_parcels_are_wider_than_of_pixels():
    p, labels, parcels = certain_share(4)
    settings = {"bins": 5, "spacing": "mass", "replicates": 100, "confidence": 0.95, "seed": 1}
    by_parcel = calibration_table(p, labels, CLASSES, parcels, **settings)
    by_pixel = calibration_table(p, labels, CLASSES, np.arange(len(p)), **settings)
    width = [np.ptp(t.loc["brier_score", ["low", "high"]]) for t in (by_parcel, by_pixel)]
    assert width[0] > 2 * width[1]
    assert list(by_parcel.index) == [
        "expected_calibration_error",
        "classwise_calibration_error",
        "brier_score",
    ]
    again = calibration_table(p, labels, CLASSES, parcels, **settings)
    assert again.equals(by_parcel)


def test_true_probabilities_are_not_called_wrong():
    """200 parcels: the error found is well above zero, its interval begins at about zero."""
    p, labels, parcels = certain_share(5)
    table = calibration_table(
        p,
        labels,
        CLASSES,
        parcels,
        bins=10,
        spacing="mass",
        replicates=100,
        confidence=0.95,
        seed=1,
    )
    found = table.loc["classwise_calibration_error"]
    assert found["value"] > 0.03
    assert found["low"] < 0.015


def test_the_interval_holds_the_known_brier_score():
    held = 0
    for seed in range(40):
        p, labels, parcels = certain_share(seed, rows=400)
        low, high = group_interval(
            lambda q, y: brier_score(q, y, CLASSES),
            p,
            labels,
            groups=parcels,
            replicates=100,
            confidence=0.9,
            seed=seed,
        )
        # 2 E[p (1 - p)] of p uniform in 0.05 to 0.95
        held += low <= 2 * (0.25 - 0.9**2 / 12) <= high
    assert 31 <= held <= 40


def test_a_single_group_has_no_interval():
    one = group_interval(np.mean, np.ones(5), groups=[3] * 5, replicates=20, confidence=0.9, seed=0)
    assert np.isnan(one).all()


def test_what_does_not_fit_is_refused():
    settings = {"bins": 5, "spacing": "mass"}
    with pytest.raises(ModelMismatch, match=r"shape \(4, 2\); needed \(3 labels, 2 classes\)"):
        expected_calibration_error(FOUR, TRUE[:3], CLASSES, **settings)
    with pytest.raises(ModelMismatch, match="leave the others out"):
        brier_score(np.where(FOUR > 0.8, np.nan, FOUR), TRUE, CLASSES)
