import datetime as dt

import pytest

from rs_monitor.config.job import RunConfig, parse_config
from rs_monitor.errors import ModelMismatch
from rs_monitor.imagery.seasons import SeasonRules
from rs_monitor.maps.feature_spec import FeatureSpec
from rs_monitor.maps.model_card import ImageryCard
from rs_monitor.maps.model_store import StoredModel
from rs_monitor.pipeline.classifier import (
    model_warnings,
    not_known,
    require_imagery,
    require_looks,
)
from tests.maps.small_models import CLASSES, SPEC, small_card, small_model

SEASON = SeasonRules(min_overlap_fraction=0.6, max_apart_days=20)


@pytest.fixture(scope="module")
def model():
    return small_model()


def job(first="2024-03-01", last="2024-10-31", dem=False, **imagery) -> RunConfig:
    before = {"start": dt.date.fromisoformat(first), "end": dt.date.fromisoformat(last)}
    after = {key: day.replace(year=day.year + 2) for key, day in before.items()}
    given = {"bands": ["red", "nir", "swir16"], "mask": "none", "quantity": "reflectance"}
    table = {
        "schema_version": 1,
        "name": "small",
        "synthetic": True,
        "catalog": {"kind": "geoparquet", "href": "items.parquet"},
        "imagery": given | imagery,
        "periods": {"before": before, "after": after},
        "grid": {"resolution_m": 10.0},
        "change": {"method": "posterior"},
        "land_cover": {"source": "model", "model": "small-1.2.3"},
    }
    if dem:
        table["dem"] = {"path": "dem.tif", "vertical_datum": "unknown"}
    return parse_config(table, source="small")


def stored(model, **changed) -> StoredModel:
    return StoredModel(model, small_card(**changed))


def features(**changed) -> dict:
    spec = SPEC.model_copy(update=changed)
    return {"features": FeatureSpec.model_validate(spec.model_dump())}


def test_a_model_of_texture_needs_nothing_and_one_of_terrain_a_dem(model) -> None:
    said = {"texture_of": ("nir",), "texture_windows_px": (3,), "texture_measures": ("std",)}
    require_imagery(job(), stored(model, **features(**said)))
    steep = stored(model, **features(terrain=("slope_deg",)))
    with pytest.raises(
        ModelMismatch, match=r"no table \[dem\]; model small-1.2.3 .* add \[dem\], or"
    ):
        require_imagery(job(), steep)
    require_imagery(job(dem=True), steep)
    with pytest.raises(ModelMismatch, match="reads terrain height_m; a run computes slope_deg, "):
        require_imagery(job(dem=True), stored(model, **features(terrain=("height_m",))))


def test_harmonics_of_few_looks_are_refused(model) -> None:
    years = features(period="years", harmonic_order=1, harmonics_of=("nir",), harmonic_looks=3)
    looks = [(f"Z{k}", label, 9 - k) for k in range(8) for label in ("before", "after")]
    with pytest.raises(
        ModelMismatch, match=r"looks: 8 of zone Z1 in .* Z3 in .*before and 9 more;"
    ):
        require_looks(job(last="2025-02-28"), stored(model, **years), looks)
    require_looks(job(last="2025-02-28"), stored(model, **years), looks[:2])
    require_looks(job(), stored(model), looks)


def test_harmonics_of_less_than_a_year_are_refused_before_a_pixel(model) -> None:
    years = features(period="years", harmonic_order=1, harmonics_of=("nir",), harmonic_looks=3)
    with pytest.raises(ModelMismatch, match=r"periods.before of 245 days; .* give a whole year"):
        require_imagery(job(), stored(model, **years))
    require_imagery(job(last="2025-02-28"), stored(model, **years))


def test_raw_numbers_are_refused(model) -> None:
    with pytest.raises(ModelMismatch, match=r"got imagery\.quantity 'dn'; model small"):
        require_imagery(job(quantity="dn"), stored(model))


@pytest.mark.parametrize(("low", "high"), [(20.0, 30.0), (0.5, 9.99)])
def test_other_pixel_sizes_are_refused(model, low, high) -> None:
    card = small_card()
    pixels = card.imagery.model_dump() | {"gsd_min_m": low, "gsd_max_m": high}
    with pytest.raises(ModelMismatch, match=f"trained on pixels of {low:g} to {high:g} m; set"):
        require_imagery(job(), stored(model, imagery=ImageryCard.model_validate(pixels)))


def test_a_shorter_period_is_warned_about(model) -> None:
    season = stored(model, **features(period="season"))
    told = model_warnings(job(last="2024-04-30"), season, [], SEASON)
    assert sum("was trained on 2024-03-01 to 2024-10-31; give the same" in t for t in told) == 2
    assert not any("give the same" in t for t in model_warnings(job(), season, [], SEASON))
    scene = model_warnings(job(last="2024-04-30"), stored(model), [], SEASON)
    assert not any("give the same" in t for t in scene)


def test_classes_the_model_cannot_name_are_told(model) -> None:
    told = model_warnings(job(), stored(model), [], SEASON)
    assert len(told) == 1
    assert "does not know upland_crop, orchard" in told[0]
    assert "paddy" not in told[0]
    assert len(not_known(CLASSES)) == 10
