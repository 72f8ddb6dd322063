"""Land-cover inference, 65,536 pixels x 30 features, 8 classes: flat trees against their peers."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.lightgbm_trees import flat_lightgbm
from benchmarks.race import (
    THREADS,
    Disagreement,
    Entrant,
    Goal,
    Line,
    in_dask_threads,
    kernel_in_threads,
    markdown,
    race,
)
from rs_monitor.kernels.boosting import FlatBoost, boost_proba
from rs_monitor.kernels.forest import FlatForest, forest_proba
from rs_monitor.maps.flatten import flatten, flatten_boosting
from rs_monitor.maps.land_cover import LandCoverModel, class_probabilities

STAGE = "inference"

CLASSES = 8
FEATURES = 30
EDGE_PX = 256
TRAINING_PX = 20_000
LARGEST_GAP = 1e-6
STRAY_SHARE = 1e-4
"""Pixels that may differ from a peer that rounds float64 thresholds to the nearest float32."""

SLOW_SHARE = 8
"""Peers ten times slower than the others answer an eighth of the pixels."""

MASKED_SHARE = 0.3
MASKED_GOAL = 1.3
"""Rate of all pixels; 1 / (1 - share) = 1.43 were no work left for those masked."""

NOTHING_MASKED = f"nothing masked ({THREADS})"
SKLEARN = f"scikit-learn n_jobs={THREADS}"
HISTOGRAM = f"scikit-learn predict_proba ({THREADS})"
LIGHTGBM = f"lightgbm Booster.predict ({THREADS})"
ONEDAL = f"oneDAL, daal4py ({THREADS})"

Pixels = NDArray[np.float32]
Predict = Callable[[Pixels], Any]


class Size(NamedTuple):
    """Of pixels and models; a quick run takes small ones."""

    edge_px: int
    forest_trees: int
    rounds: int


FULL = Size(EDGE_PX, 200, 100)
QUICK = Size(64, 20, 10)


def make_pixels(count: int, seed: int) -> tuple[Pixels, NDArray[np.int64]]:
    """Pixels of classes that overlap: forests reach 0.96 and grow to some 1400 nodes a tree."""
    centres = np.random.default_rng(5).normal(size=(CLASSES, FEATURES))
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, count)
    noise = rng.normal(size=(count, FEATURES)) * np.linspace(0.6, 1.4, FEATURES)
    return (0.75 * centres[labels] + noise).astype(np.float32), labels


def kernel(trees: FlatForest | FlatBoost, pixels: Pixels) -> Callable[[], Any]:
    """The kernel on one part of the pixels per thread."""
    walk: Any = forest_proba if isinstance(trees, FlatForest) else boost_proba
    return kernel_in_threads(walk, [(part, trees) for part in np.array_split(pixels, THREADS)])


def planes_of(pixels: Pixels) -> Pixels:
    edge = int(np.sqrt(len(pixels)))
    return np.ascontiguousarray(pixels.T).reshape(FEATURES, edge, edge)


def public(trees: FlatForest | FlatBoost, planes: Pixels) -> Callable[[], Any]:
    """``class_probabilities`` on dask chunks of feature planes, one for each thread."""
    import dask.array as da

    names = tuple(f"f{k}" for k in range(FEATURES))
    model = LandCoverModel(trees, tuple(range(1, CLASSES + 1)), names)
    height, width = planes.shape[1:]
    chunked = da.from_array(planes, chunks=(FEATURES, height // THREADS, width))

    def make() -> Any:
        chunks = ((CLASSES,), *chunked.chunks[1:])
        apply = partial(class_probabilities, model, names=names)
        return da.map_blocks(apply, chunked, chunks=chunks, dtype=np.float32)

    return in_dask_threads(make, joined=False)


def probabilities(result: Any) -> NDArray[Any]:
    """Of pixels, classes last, whatever an entrant returns."""
    if isinstance(result, list):
        return np.concatenate(result)
    values = np.asarray(result)
    return values.reshape(CLASSES, -1).T if values.ndim == 3 else values


def probabilities_agree(ours: Any, peer: Any) -> str:
    expected = probabilities(peer)
    gap = float(np.abs(probabilities(ours)[: len(expected)] - expected).max())
    if not gap <= LARGEST_GAP:
        raise Disagreement(f"probabilities differ by {gap:.1g}")
    return f"max {gap:.1g}"


def probabilities_agree_but_for_strays(ours: Any, peer: Any) -> str:
    """For peers that send a few pixels on a threshold the other way."""
    expected = probabilities(peer)
    gaps = np.abs(probabilities(ours)[: len(expected)] - expected).max(axis=1)
    strays = gaps > LARGEST_GAP
    if not strays.mean() <= STRAY_SHARE:
        raise Disagreement(f"{strays.sum()} of {len(gaps)} px differ, by {gaps.max():.1g}")
    return f"max {gaps[~strays].max():.1g}, {strays.sum()} of {len(gaps)} px by {gaps.max():.1g}"


def compete(
    stage: str,
    trees: FlatForest | FlatBoost,
    pixels: Pixels,
    peers: Sequence[Entrant],
    goals: Sequence[Goal],
    quick: bool,
    agreement: Callable[[Any, Any], str] = probabilities_agree,
) -> list[Line]:
    ours = [
        Entrant(f"kernel ({THREADS})", kernel(trees, pixels)),
        Entrant(f"class_probabilities() ({THREADS})", public(trees, planes_of(pixels))),
    ]
    return race(
        f"{STAGE}, {stage}",
        ours,
        peers,
        units=len(pixels),
        agreement=agreement,
        goals=goals,
        quick=quick,
    )


def made_once(make: Callable[[], Predict], pixels: Pixels) -> Callable[[], Any]:
    """Run a peer whose model is converted when it is first asked."""
    ready: list[Predict] = []

    def run() -> Any:
        if not ready:
            ready.append(make())
        return ready[0](pixels)

    return run


def slow(name: str, make: Callable[[], Predict], pixels: Pixels) -> Entrant:
    part = pixels[: len(pixels) // SLOW_SHARE]
    return Entrant(name, made_once(make, part), units=len(part))


def onnx_session(converted: Any) -> Predict:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(
        converted.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    given = session.get_inputs()[0].name
    wanted = session.get_outputs()[-1].name
    return lambda pixels: session.run([wanted], {given: pixels})[0]


def onnx_of_sklearn(estimator: Any) -> Predict:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    wanted = [("pixels", FloatTensorType([None, FEATURES]))]
    options = {id(estimator): {"zipmap": False}}
    return onnx_session(convert_sklearn(estimator, initial_types=wanted, options=options))


def onnx_of_lightgbm(booster: Any) -> Predict:
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    wanted = [("pixels", FloatTensorType([None, FEATURES]))]
    return onnx_session(convert_lightgbm(booster, initial_types=wanted, zipmap=False))


def gtil(load: Callable[[Any], Any]) -> Predict:
    import treelite

    model = load(treelite)

    def predict(pixels: Pixels) -> Any:
        return treelite.gtil.predict(model, pixels, nthread=THREADS).reshape(len(pixels), -1)

    return predict


def forest_lines(pixels: Pixels, size: Size, quick: bool) -> list[Line]:
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(
        size.forest_trees, min_samples_leaf=6, random_state=0, n_jobs=THREADS
    ).fit(*make_pixels(TRAINING_PX, 1))

    def sklearn(jobs: int) -> NDArray[np.float64]:
        forest.n_jobs = jobs
        return forest.predict_proba(pixels)

    onnx = made_once(lambda: onnx_of_sklearn(forest), pixels)
    peers = [
        Entrant(SKLEARN, partial(sklearn, THREADS)),
        Entrant("scikit-learn n_jobs=1", partial(sklearn, 1)),
        Entrant(f"onnxruntime, skl2onnx ({THREADS})", onnx),
        slow(
            f"treelite GTIL ({THREADS})",
            lambda: gtil(lambda treelite: treelite.sklearn.import_model(forest)),
            pixels,
        ),
    ]
    stage = f"forest of {size.forest_trees} trees"
    return compete(stage, flatten(forest), pixels, peers, [Goal(SKLEARN, 1.5)], quick)


def histogram_lines(pixels: Pixels, size: Size, quick: bool) -> list[Line]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    boosting = HistGradientBoostingClassifier(
        max_iter=size.rounds, early_stopping=False, random_state=0
    ).fit(*make_pixels(TRAINING_PX, 1))
    # skl2onnx 1.20 cannot write this model: it gives onnx booleans for integers
    peers = [
        Entrant(HISTOGRAM, lambda: boosting.predict_proba(pixels)),
        slow(
            f"treelite GTIL ({THREADS})",
            lambda: gtil(lambda treelite: treelite.sklearn.import_model(boosting)),
            pixels,
        ),
    ]
    stage = f"histogram boosting, {size.rounds} rounds"
    return compete(stage, flatten_boosting(boosting), pixels, peers, [Goal(HISTOGRAM, 3)], quick)


def lightgbm_lines(pixels: Pixels, size: Size, quick: bool) -> list[Line]:
    """Without LightGBM there is no model to race with, hence no line."""
    try:
        import lightgbm
    except ModuleNotFoundError:
        return []
    settings = {
        "objective": "multiclass",
        "num_class": CLASSES,
        "num_leaves": 31,
        "verbose": -1,
        "num_threads": THREADS,
    }
    training = lightgbm.Dataset(*make_pixels(TRAINING_PX, 1))
    booster = lightgbm.train(settings, training, num_boost_round=size.rounds)

    def onedal() -> Predict:
        import daal4py

        daal4py.daalinit(THREADS)
        model = daal4py.mb.convert_model(booster)
        predict: Predict = model.predict_proba
        return predict

    onnx = made_once(lambda: onnx_of_lightgbm(booster), pixels)
    peers = [
        Entrant(LIGHTGBM, lambda: booster.predict(pixels, num_threads=THREADS)),
        Entrant("lightgbm Booster.predict (1)", lambda: booster.predict(pixels, num_threads=1)),
        slow(
            f"treelite GTIL ({THREADS})",
            lambda: gtil(lambda treelite: treelite.frontend.from_lightgbm(booster)),
            pixels,
        ),
    ]
    rounding = [
        Entrant(ONEDAL, made_once(onedal, pixels)),
        Entrant(f"onnxruntime, onnxmltools ({THREADS})", onnx),
    ]
    stage, trees = f"LightGBM, {size.rounds} rounds", flat_lightgbm(booster.dump_model())
    lenient = probabilities_agree_but_for_strays
    return [
        *compete(stage, trees, pixels, peers, [Goal(LIGHTGBM, 3)], quick),
        *compete(stage, trees, pixels, rounding, [Goal(ONEDAL, 0.7)], quick, lenient),
    ]


def masked_lines(size: Size, quick: bool) -> list[Line]:
    """Pixels without a look cost nothing: the same planes with and without clouds."""
    from scipy.ndimage import gaussian_filter
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(QUICK.forest_trees, min_samples_leaf=6, random_state=0)
    trees = flatten(forest.fit(*make_pixels(TRAINING_PX // 4, 1)))
    planes = planes_of(make_pixels((4 * size.edge_px) ** 2, 3)[0])
    clouds = gaussian_filter(np.random.default_rng(9).normal(size=planes.shape[1:]), 12)
    clouded = np.where(clouds < np.quantile(clouds, MASKED_SHARE), np.float32(np.nan), planes)

    def equal_where_seen(ours: Any, peer: Any) -> str:
        found, expected = np.asarray(ours), np.asarray(peer)
        seen = np.isfinite(found)
        if not np.array_equal(found[seen], expected[seen]):
            raise Disagreement("seen pixels differ")
        return f"equal where seen ({100 * seen.mean():.0f} %)"

    return race(
        f"{STAGE}, forest of {QUICK.forest_trees} trees, {planes.shape[1]}^2",
        [Entrant(f"{MASKED_SHARE:.0%} masked ({THREADS})", public(trees, clouded))],
        [Entrant(NOTHING_MASKED, public(trees, planes))],
        units=planes[0].size,
        agreement=equal_where_seen,
        goals=[Goal(NOTHING_MASKED, MASKED_GOAL)],
        quick=quick,
    )


def lines(*, quick: bool = False) -> list[Line]:
    size = QUICK if quick else FULL
    pixels, _ = make_pixels(size.edge_px**2, 2)
    found = []
    for of_model in (forest_lines, histogram_lines, lightgbm_lines):
        found += of_model(pixels, size, quick)
    return found + masked_lines(size, quick)


def main(arguments: Sequence[str]) -> None:
    print(markdown(lines(quick="--quick" in arguments)))
