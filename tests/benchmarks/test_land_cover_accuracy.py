import numpy as np
import pandas as pd
import pytest

from benchmarks import land_cover_accuracy as study
from benchmarks import land_cover_methods as methods
from benchmarks.land_cover_data import (
    Site,
    clusters,
    mato_grosso,
    north_carolina,
    parcels_and_blocks,
    slovenia,
)


def site(pixels, classes=("a", "b"), merged=None):
    columns = {"season": 0, "row": 0, "col": 0, "core": True, "scored": True}
    frame = pd.DataFrame(pixels)
    frame = frame.assign(**{k: v for k, v in columns.items() if k not in frame})
    frame = frame.assign(owner=frame["parcel"], truth=frame["label"])
    return Site("made", "accuracy", "nothing", classes, (), frame, merged or {})


def found(truth, by_method, block, parcel=None):
    parcel = block if parcel is None else parcel
    pixels = pd.DataFrame({"truth": truth, "block": block, "parcel": parcel, "owner": parcel})
    count = 2
    probabilities = {
        name: np.eye(count, dtype=np.float32)[np.asarray(mapped)]
        for name, mapped in by_method.items()
    }
    made = Site("made", "accuracy", "nothing", ("a", "b"), (), pixels, {})
    outside = np.zeros(len(pixels), dtype=bool)
    return methods.Answers(made, pixels, probabilities, outside, 1, 1)


def test_places_within_a_step_are_one_cluster():
    x = np.array([0.0, 300.0, 600.0, 1000.0, 0.0])
    group = clusters(x, np.zeros(5), 330.0)
    # a chain of steps joins; the same place twice is one place
    assert len(set(group[:3])) == 1
    assert group[3] != group[0]
    assert group[4] == group[0]


def test_a_small_parcel_stays_whole_and_a_wide_one_is_cut():
    x = np.array([90.0, 110.0, 10.0, 150.0, 290.0])
    parcel = np.array([1, 1, 2, 2, 2])
    piece, block = parcels_and_blocks(parcel, x, np.zeros(5), 100.0)
    assert block[0] == block[1]
    assert piece[0] == piece[1]
    assert len(set(block[2:])) == 3
    assert len(set(piece)) == 4


def test_macro_figures_are_means_over_classes():
    # mapped a: 8 right, 2 of b; mapped b: 2 of a, 18 right
    matrices = np.array([[8.0, 2.0], [2.0, 18.0]])
    figures = study.macro(matrices, [(0,), (1,)])
    assert figures["user's"] == pytest.approx((0.8 + 0.9) / 2)
    assert figures["producer's"] == pytest.approx((0.8 + 0.9) / 2)
    merged = study.macro(matrices, [(0, 1)])
    assert merged["F1"] == 1.0


def test_a_difference_is_called_only_when_blocks_agree():
    truth = np.tile([0, 1], 40)
    block = np.repeat(np.arange(20), 4)
    wrong = truth.copy()
    wrong[::8] = 1 - wrong[::8]
    one_block = truth.copy()
    one_block[:4] = 1 - one_block[:4]
    draws = np.random.default_rng(1).multinomial(20, np.full(20, 0.05), size=400)
    groups = [(0,), (1,)]

    def verdict(ours, plain):
        answers = found(truth, {"ours": ours, "plain": plain}, block)
        matrices = [study.block_matrices(answers, name) for name in ("ours", "plain")]
        return study.compared(*matrices, draws, groups)[1]

    assert verdict(truth, wrong) == "better"
    assert verdict(wrong, truth) == "worse"
    # all the difference lies in one block
    assert verdict(truth, one_block) == "no difference shown"
    assert verdict(truth, truth) == "no difference shown"


def test_a_class_of_few_parcels_has_no_figures():
    truth = np.array([0] * 30 + [1] * 29)
    parcel = np.arange(59)
    answers = found(truth, {methods.PLAIN: truth, methods.OURS: truth}, parcel // 2, parcel)
    rows = {row["class"]: row for row in study.class_rows(answers)}
    assert rows["a"]["user's, ours"].startswith("100 (")
    assert rows["b"]["user's, ours"] == ""
    assert rows["b"]["note"] == "not assessable"


def test_training_pixels_are_spread_over_parcels_and_taken_inside_first(monkeypatch):
    monkeypatch.setattr(methods, "PER_CLASS", 6)
    parcel = np.repeat([1, 2, 3], [50, 50, 2])
    core = np.ones(102, dtype=bool)
    core[:40] = False
    core[100:] = False
    made = site({"label": np.zeros(102, dtype=int), "parcel": parcel, "core": core})
    drawn = made.pixels.iloc[methods.even_draw(made.pixels, np.random.default_rng(0))]
    assert drawn.groupby("parcel").size().to_dict() == {1: 2, 2: 2, 3: 2}
    # the third parcel has nothing but its border
    assert drawn.groupby("parcel")["core"].all().to_dict() == {1: True, 2: True, 3: False}


def test_nothing_near_a_scored_pixel_is_trained_on():
    cols = np.arange(10)
    made = site({"label": 0, "parcel": cols, "block": cols, "col": cols})
    fold = (cols >= 5).astype(int)
    free = methods.allowed(made, fold, tested=0)
    assert free.tolist() == [False] * 7 + [True] * 3


def test_loaders_agree_with_what_their_readmes_count(shared_data):
    land = slovenia(shared_data).pixels
    counts = land.groupby("label").size().to_dict()
    # shrubland 358, forest 7601, artificial 198; the rest is farmland of three kinds
    assert (counts[1], counts[2], counts[3]) == (358, 7601, 198)
    assert counts[0] == 11 + 1777 + 155
    map_of_1996 = north_carolina(shared_data)
    assert map_of_1996.kind == "agreement"
    assert "sediment" not in map_of_1996.classes


def test_mato_grosso_is_told_apart_in_fields_not_trained_on(shared_data, monkeypatch):
    shipped = methods.rules()
    small = {
        "classifier": shipped.classifier.model_copy(update={"trees": 40}),
        "calibration": shipped.calibration.model_copy(update={"folds": 3}),
        "outside": shipped.outside.model_copy(update={"folds": 3}),
    }
    monkeypatch.setattr(methods, "rules", lambda: shipped.model_copy(update=small))
    monkeypatch.setattr(methods, "PLAIN_TREES", 30)
    whole = mato_grosso(shared_data)
    answers = methods.answers(whole, folds=2)
    assert len(answers.pixels) == 385
    present = [(k,) for k in range(len(whole.classes))]
    macro = study.macro(study.block_matrices(answers, methods.OURS).sum(axis=0), present)
    assert macro["F1"] > 0.80
    table = study.tables([answers])
    classes = table["Classes: user's and producer's, % (95 %)"].set_index("class")
    # no crop has 30 fields of its own
    assert set(classes.loc[list(whole.classes), "note"]) == {"not assessable"}
    assert classes.loc["*any crop*", "parcels"] == 33
    wrong = answers.probabilities[methods.OURS].argmax(axis=1) != answers.pixels["truth"]
    entropy, _ = study.certainty(answers.probabilities[methods.OURS])
    assert study.error_ranking_auc(entropy, wrong) > 0.7
