"""Readers who disagree."""

import numpy as np
import pytest

from rs_monitor.estimation.readers import reader_model, unanimous

SAID = {"classes": (1, 2), "prior_readings": 10.0, "prior_accuracy": 0.9}


def test_unanimous_labels():
    labels = [[1, 1, 1], [1, 2, 1], [2, 0, 2], [0, 0, 0]]
    assert unanimous(labels).tolist() == [1, 0, 2, 0]


def test_misreading_rates_are_found_again():
    rng = np.random.default_rng(8)
    truth = np.where(rng.random(600) < 0.4, 1, 2)
    rates = np.array([0.02, 0.05, 0.25])
    wrong = rng.random((600, 3)) < rates
    labels = np.where(wrong, 3 - truth[:, None], truth[:, None])
    model = reader_model(labels, np.zeros(600), **SAID)
    missed = 1 - np.array([[reader[k, k] for k in range(2)] for reader in model.confusion])
    assert missed.mean(axis=1) == pytest.approx(rates, abs=0.03)
    best = min(np.mean(labels[:, r] != truth) for r in range(3))
    assert np.mean(model.settled != truth) <= best


def test_a_lone_voice_for_a_rare_class_is_mistrusted():
    """One of three sees change where hardly any is: likelier a slip than change."""
    labels = np.full((300, 3), 2)
    labels[:6, 0] = 1
    model = reader_model(labels, np.zeros(300), **SAID)
    assert (model.settled == 2).all()
    assert model.probabilities[:6, 0].max() < 0.2
    draws = model.draw(10, seed=1)
    assert draws.shape == (10, 300)
    assert (draws == 1).mean() < 0.01
    assert (model.draw(10, seed=1) == draws).all()


def test_nobody_read_the_unit():
    model = reader_model([[1, 1], [0, 0], [2, 2]], [0, 0, 0], **SAID)
    assert model.settled.tolist() == [1, 0, 2]
    assert (model.draw(3, seed=0)[:, 1] == 0).all()


def test_two_readers_who_contradict_each_other_settle_nothing():
    """Otherwise the class of the lower code would win every dispute."""
    labels = np.array([[1, 2], [1, 2], [2, 1], [2, 1]])
    model = reader_model(
        labels, np.zeros(4), classes=(1, 2), prior_readings=10.0, prior_accuracy=0.9
    )
    np.testing.assert_allclose(model.probabilities, 0.5)
    assert model.settled.tolist() == [0, 0, 0, 0]
    assert {*np.unique(model.draw(50, 1)).tolist()} == {1, 2}
