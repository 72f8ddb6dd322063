import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rs_monitor.kernels.bayes_smooth import LEAST_PROBABILITY, bayes_smooth
from tests.comparison import assert_close

LAW = settings(deadline=None, derandomize=True, max_examples=20)


def proba(seed, classes=3, height=9, width=8):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(classes, 0.4), (height, width)).transpose(2, 0, 1).astype("f4")


def logit(p):
    p = min(max(p, LEAST_PROBABILITY), 1 - LEAST_PROBABILITY)
    return math.log(p / (1 - p))


def by_hand(p, radius_px, share, smoothness, y, x):
    posterior = []
    for plane in p.astype("f8"):
        near = plane[
            max(0, y - radius_px) : y + radius_px + 1, max(0, x - radius_px) : x + radius_px + 1
        ]
        values = sorted((logit(v) for v in near.ravel() if not math.isnan(v)), reverse=True)
        used = values[: math.ceil(share * len(values))]
        mean, variance = np.mean(used), np.var(used, ddof=1)
        value = (variance * logit(plane[y, x]) + smoothness * mean) / (variance + smoothness)
        posterior.append(1 / (1 + math.exp(-value)))
    return np.array(posterior) / sum(posterior)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_the_posterior_is_the_papers(share):
    p = proba(1)
    p[:, 2, 3] = np.nan
    out = bayes_smooth(p, radius_px=2, share=share, smoothness=20.0)
    for y, x in [(0, 0), (3, 3), (8, 7), (2, 4)]:
        expected = by_hand(p, 2, share, 20.0, y, x).astype("f4")
        assert_close(out[:, y, x], expected, atol=2e-6)


def test_a_lone_pixel_yields_and_an_edge_stays():
    p = np.empty((2, 9, 12), "f4")
    p[0, :, :6], p[0, :, 6:] = 0.9, 0.1
    p[0, 4, 2] = 0.3
    p[1] = 1 - p[0]
    out = bayes_smooth(p, radius_px=2, share=0.5, smoothness=20.0)
    assert (out[0, :, :6] > 0.5).all()
    assert (out[0, :, 6:] < 0.5).all()


def test_what_was_not_seen_stays_so_and_does_not_speak():
    p = proba(2)
    p[:, 1:3, 1:4] = np.nan
    out = bayes_smooth(p, radius_px=1, share=1.0, smoothness=5.0)
    assert np.array_equal(np.isnan(out), np.isnan(p))
    filled = p.copy()
    filled[:, 2, 2] = 1 / 3
    far = (slice(None), slice(5, None), slice(None))
    assert_close(
        out[far], bayes_smooth(filled, radius_px=1, share=1.0, smoothness=5.0)[far], atol=0
    )


def test_a_pixel_alone_keeps_its_order():
    p = np.full((3, 3, 3), np.nan, "f4")
    p[:, 1, 1] = [0.2, 0.5, 0.3]
    out = bayes_smooth(p, radius_px=1, share=0.5, smoothness=20.0)
    assert_close(out[:, 1, 1], np.array([0.2, 0.5, 0.3], "f4"), atol=1e-6)


@LAW
@given(seed=st.integers(0, 99), order=st.permutations(range(3)))
def test_rows_sum_to_one_and_classes_may_change_places(seed, order):
    p = proba(seed)
    out = bayes_smooth(p, radius_px=2, share=0.5, smoothness=10.0)
    assert_close(out.sum(axis=0), np.ones(out.shape[1:], "f4"), atol=1e-6)
    again = bayes_smooth(p[list(order)], radius_px=2, share=0.5, smoothness=10.0)
    assert_close(again, out[list(order)], atol=1e-6)
