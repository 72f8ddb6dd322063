import datetime as dt
import itertools
import re
from pathlib import Path

import pytest

from rs_monitor.acceptance.rules import AcceptanceRules
from rs_monitor.config import paths
from rs_monitor.config.change import Posterior, TwoDate
from rs_monitor.config.job import load_config, origins, parse_config
from rs_monitor.config.paths import DATA_VARIABLE, data_root, resolve_path
from rs_monitor.config.reading import load_table, read_toml
from rs_monitor.config.rules import DetectionRules, find_rules
from rs_monitor.errors import ConfigError
from rs_monitor.estimation.accuracy_rules import AccuracyRules
from rs_monitor.findings.rules import FindingRules
from rs_monitor.imagery.side_table import read_side_table
from rs_monitor.maps.breaks import BreakRules
from rs_monitor.maps.change_rules import ChangeRules
from rs_monitor.maps.land_cover_rules import LandCoverRules
from rs_monitor.maps.monitoring import ChartRules
from rs_monitor.maps.terrain_rules import TerrainRules
from rs_monitor.maps.watch import MonitoringRules
from rs_monitor.pipeline.rules import ImageryRules

CONFIGS = Path(__file__).parents[1] / "configs"
LOADERS = {
    "detection": lambda path: load_table(path, DetectionRules),
    "detection-two-dates": lambda path: load_table(path, DetectionRules),
    "findings-guide-2024": lambda path: load_table(path, FindingRules),
    "acceptance-guide-2024": lambda path: load_table(path, AcceptanceRules),
    "accuracy": lambda path: load_table(path, AccuracyRules),
    "imagery": lambda path: load_table(path, ImageryRules),
    "breaks": lambda path: load_table(path, BreakRules),
    "change": lambda path: load_table(path, ChangeRules),
    "charts": lambda path: load_table(path, ChartRules),
    "land_cover": lambda path: load_table(path, LandCoverRules),
    "monitoring": lambda path: load_table(path, MonitoringRules),
    "terrain": lambda path: load_table(path, TerrainRules),
}

SMALL = """
schema_version = 1
name = "small"

[catalog]
kind = "geoparquet"
href = "items.parquet"

[imagery]
bands = ["red", "nir"]
mask = "none"
quantity = "dn"

[periods]
before = { start = 2020-01-01, end = 2020-12-31 }
after = { start = 2021-01-01, end = 2021-12-31 }

[grid]
resolution_m = 10.0

[change]
method = "irmad"
threshold = "kmeans"
"""


@pytest.fixture
def job(tmp_path):
    """Write the small job with some text replaced and more at its end."""

    def write(*replacements, more=""):
        text = SMALL
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "job.toml"
        path.write_text(text + more, encoding="utf-8")
        return path

    return write


def mistakes(path, overrides=None):
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    assert caught.value.source == str(path)
    return list(caught.value.problems)


def test_a_small_job(job):
    loaded = load_config(job())
    assert loaded.change == TwoDate(method="irmad", threshold="kmeans")
    assert loaded.periods.after.contains(dt.date(2021, 12, 31))
    assert not loaded.periods.after.contains(dt.date(2022, 1, 1))
    assert loaded.grid.block_px == 512
    with pytest.raises(ValueError, match="frozen"):
        loaded.name = "other"


def test_five_mistakes_are_five_lines(job):
    path = job(
        ('name = "small"', 'name = "Small Job"\ncolour = "red"'),
        ("resolution_m = 10.0", "resolution_m = -10.0"),
        ('mask = "none"', 'mask = "clouds"'),
        ("end = 2020-12-31", "end = 2019-12-31"),
    )
    assert mistakes(path) == [
        "name: String should match pattern '^[a-z0-9][a-z0-9_-]{0,63}$'; got 'Small Job'",
        "imagery.mask: Input should be 'scl', 'qa_pixel', 'bqa', 'fmask', 'hls_fmask', "
        "'cloudmask', 'outlier' or 'none'; got 'clouds'",
        "periods.before.end: end 2019-12-31 lies before start 2020-01-01; "
        "got datetime.date(2019, 12, 31)",
        "grid.resolution_m: Input should be greater than 0; got -10.0",
        "colour: unknown key; remove it or check its spelling",
    ]


def test_keys_that_contradict_each_other_are_told_beside_other_mistakes(job):
    path = job(
        ('quantity = "dn"', 'quantity = "dn"\nmask_band = "scl"\nzoom = 3'),
        ("after = { start = 2021-01-01", "after = { start = 2020-06-01"),
        ('threshold = "kmeans"', 'threshold = "entropy"\nmax_iterations = 0'),
        more='[land_cover]\nsource = "survey"\ntrees = 20\n'
        '[cluster]\nkind = "scheduler"\nworkers = 0\n',
    )
    found = mistakes(path)
    keys = [line.split(":")[0] for line in found]
    assert sorted(keys) == [
        "change.max_iterations",
        "change.threshold",
        "cluster.address",
        "cluster.workers",
        "imagery.mask_band",
        "imagery.zoom",
        "land_cover",
        "periods.after",
    ]


def test_a_missing_table_and_key(job):
    path = job(("[grid]\nresolution_m = 10.0\n", ""), ('name = "small"\n', ""))
    assert mistakes(path) == ["name: missing; it is required", "grid: missing; it is required"]


@pytest.mark.parametrize(
    ("replacement", "problem"),
    [
        (("schema_version = 1", "schema_version = 2"), "schema_version: Input should be 1; got 2"),
        (('mask = "none"', 'mask = "scl"'), "imagery.mask_band: must be given exactly when mask"),
        (('"kmeans"', '"entropy"'), "change.threshold: Input should be 'kmeans'"),
        (('"kmeans"', '"chi2"'), "change.p: threshold 'chi2' needs p; got None"),
        (('"kmeans"', '"otsu"\np = 0.01'), "change.p: threshold 'otsu' takes no p; got 0.01"),
        (('"kmeans"', '"chi2"\np = 1.5'), "change.p: Input should be less than 1"),
        (('"kmeans"', '"kmeans"\np_value = 0.1'), "change.p_value: unknown key"),
        (('"irmad"\nthreshold = "kmeans"', '"posterior"'), "land_cover: change.method 'posterior'"),
        (
            ('"irmad"\nthreshold = "kmeans"', '"combined"'),
            "land_cover: change.method 'combined' compares three bands or more",
        ),
        (('"irmad"', '"ratio"'), "change: Input tag 'ratio' found using 'method' does not match"),
        (('["red", "nir"]', "[]"), "imagery.bands: Tuple should have at least 1 item"),
        (("10.0", '"ten"'), "grid.resolution_m: Input should be a valid number"),
        (("= 2021-01-01", "= 2020-12-31"), "periods.after: after starts 2020-12-31, inside"),
    ],
)
def test_one_mistake_is_one_line(job, replacement, problem):
    found = mistakes(job(replacement))
    assert len(found) == 1
    assert found[0].startswith(problem)


@pytest.mark.parametrize(
    ("table", "mistake"),
    [
        ('source = "model"', "land_cover.model: must be given exactly when source is 'model'"),
        (
            'source = "survey"\nmodel = "a-1.0.0"',
            "land_cover.model: must be given exactly when source is 'model'; got 'a-1.0.0'",
        ),
        ('source = "table"', "land_cover.table: must be given exactly when source is 'table'"),
        ('source = "guess"', "land_cover.source: Input should be 'survey', 'table' or 'model'"),
    ],
)
def test_a_source_of_land_cover_brings_what_it_needs(job, table, mistake):
    found = mistakes(job(more=f"[land_cover]\n{table}\n"))
    assert len(found) == 1
    assert found[0].startswith(mistake)


def test_a_model_needs_no_survey(job):
    loaded = load_config(job(more='[land_cover]\nsource = "model"\nmodel = "a-1.0.0"\n'))
    assert loaded.land_cover is not None
    assert loaded.land_cover.model == "a-1.0.0"


def test_survey_training_needs_the_survey(job):
    survey = '[land_cover]\nsource = "survey"\n'
    assert mistakes(job(more=survey)) == [
        "land_cover: source 'survey' needs the table [authority.land]"
    ]
    land = '[authority.land]\npath = "a.gpkg"\ncode_system = "survey3"\n'
    posterior = ('"irmad"\nthreshold = "kmeans"', '"posterior"')
    assert load_config(job(posterior, more=survey + land)).change == Posterior(method="posterior")


def test_elevation_has_one_source(job):
    datum = '[dem]\nvertical_datum = "unknown"\n'
    for more in (datum, datum + 'path = "d.tif"\ncollection = "dem"\n'):
        assert mistakes(job(more=more))[0].startswith("dem.collection: exactly one of path and")
    for more in (datum + 'path = "d.tif"\n', datum + 'collection = "dem"\n'):
        assert load_config(job(more=more)).dem is not None


def test_the_code_system_must_be_named(job):
    path = job(more='[authority.land]\npath = "a.gpkg"\n')
    assert mistakes(path) == ["authority.land.code_system: missing; it is required"]


@pytest.mark.parametrize(
    "more",
    [
        '[change]\nmethod = "irmad"\n',  # the table again
        "[grid]\nblock_px = 256\n",
        'name = "in the wrong place\n',
        "= 3\n",
    ],
)
def test_toml_syntax_and_doubled_tables(job, more):
    found = mistakes(job(more=more))
    assert len(found) == 1
    assert re.match(r"not valid TOML: .*line \d+", found[0])


def test_a_doubled_key_is_refused(job):
    found = mistakes(job(('name = "small"', 'name = "small"\nname = "other"')))
    assert found[0].startswith("not valid TOML: Cannot overwrite a value")


def test_no_text_and_no_file(tmp_path):
    path = tmp_path / "job.toml"
    assert mistakes(path) == ["no such file; give the path of a TOML job file"]
    path.write_bytes(b'name = "\xff"')
    assert mistakes(path)[0].startswith("not valid TOML: 'utf-8' codec")


def test_overrides_win_and_are_checked(job):
    path = job(more="[cluster]\nworkers = 3\n")
    loaded = load_config(
        path, {"cluster.workers": 5, "dem.path": "d.tif", "dem.vertical_datum": "x"}
    )
    assert loaded.cluster.workers == 5
    assert loaded.dem is not None
    assert mistakes(path, {"cluster.workers": 0, "cluster.speed": 1}) == [
        "cluster.workers: Input should be greater than or equal to 1; got 0",
        "cluster.speed: unknown key; remove it or check its spelling",
    ]


def test_overrides_leave_the_parsed_file_alone(job):
    raw = read_toml(job())
    parse_config(raw, source="job", overrides={"grid.block_px": 64})
    assert raw["grid"] == {"resolution_m": 10.0}


def test_an_override_below_a_value_is_refused(job):
    with pytest.raises(ConfigError, match=r"name\.first: name is a value, not a table"):
        load_config(job(), {"name.first": 1})


def test_origins(job):
    path = job(more='[register]\npath = "r.gpkg"\n')
    overrides = {"cluster": {"workers": 5}, "grid.block_px": 64}
    found = origins(load_config(path, overrides), read_toml(path), list(overrides))
    assert found["name"] == ("small", "file")
    assert found["imagery.bands"] == (["red", "nir"], "file")
    assert found["periods.before.start"] == ("2020-01-01", "file")
    assert found["register.path"] == ("r.gpkg", "file")
    assert found["grid.block_px"] == (64, "command line")
    assert found["cluster.workers"] == (5, "command line")
    assert found["change.max_iterations"] == (50, "default")
    assert found["zones"] == (None, "default")


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_jobs_parse(path):
    loaded = load_config(path)
    for role, name in loaded.rules.model_dump().items():
        assert find_rules(name, path.parent).is_file(), role


@pytest.mark.parametrize(
    "path", sorted((CONFIGS / "rules").glob("*.toml")), ids=lambda path: path.stem
)
def test_shipped_rules_load(path):
    rules = LOADERS[path.stem](path)
    assert rules.id == path.stem


@pytest.mark.parametrize(
    "path", sorted((CONFIGS / "index").glob("*.toml")), ids=lambda path: path.stem
)
def test_shipped_side_tables_load(path):
    assert read_side_table(path) is not None


def test_shipped_files_are_all_there():
    assert {path.stem for path in CONFIGS.glob("*.toml")} >= {"demo", "taizhou"}
    assert {path.stem for path in (CONFIGS / "rules").glob("*.toml")} == set(LOADERS)


def test_rules_by_name_and_by_path(tmp_path):
    own = tmp_path / "own.toml"
    own.write_text("id = 'own'", encoding="utf-8")
    assert find_rules("own.toml", tmp_path) == own
    assert find_rules("detection", tmp_path) == data_root() / "configs" / "rules" / "detection.toml"
    with pytest.raises(ConfigError, match=r"no such rule file; shipped are .*detection"):
        find_rules("strict", tmp_path)


def test_a_rule_file_with_mistakes_names_them(tmp_path):
    path = tmp_path / "rules.toml"
    text = (CONFIGS / "rules" / "detection.toml").read_text(encoding="utf-8")
    text = text.replace("min_looks = 3", "min_looks = 0\nmin_luck = 1")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_table(path, DetectionRules)
    assert [line.split(":")[0] for line in caught.value.problems] == ["min_looks", "min_luck"]


def test_every_detection_number_has_its_origin():
    for path in (CONFIGS / "rules").glob("detection*.toml"):
        lines = path.read_text(encoding="utf-8").splitlines()
        for above, line in itertools.pairwise(lines):
            if re.match(r"\w+ = [\d.]+$", line):
                assert above.startswith("# "), f"{path.name}: {line}"


def test_data_stand_in_the_wheel_or_in_the_checkout(monkeypatch, tmp_path):
    package = tmp_path / "site-packages" / "rs_monitor"
    package.mkdir(parents=True)
    monkeypatch.setattr(paths, "__file__", str(package / "config" / "paths.py"))
    assert data_root() == package.parent
    (package / "_data").mkdir()
    assert data_root() == package / "_data"


def test_this_checkout_has_its_data():
    assert (data_root() / "configs" / "demo.toml").is_file()
    assert (data_root() / "models").is_dir()


def test_paths_of_a_job(monkeypatch, tmp_path):
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    base = tmp_path / "jobs"
    assert resolve_path("a.tif", base=base, data=None) == base / "a.tif"
    assert resolve_path(str(tmp_path / "b.tif"), base=base, data=None) == tmp_path / "b.tif"
    assert resolve_path("data:c/d.tif", base=base, data=tmp_path) == tmp_path / "c" / "d.tif"
    with pytest.raises(ConfigError, match=f"pass --data DIR or set the variable {DATA_VARIABLE}"):
        resolve_path("data:c.tif", base=base, data=None)
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "env"))
    assert resolve_path("data:c.tif", base=base, data=None) == tmp_path / "env" / "c.tif"
    assert resolve_path("data:c.tif", base=base, data=tmp_path) == tmp_path / "c.tif"
