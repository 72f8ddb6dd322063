"""What a user may say about a job: TOML through pydantic, every mistake reported at once."""

from __future__ import annotations

import datetime as dt
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from rs_monitor.errors import ConfigError

DATA_VARIABLE = "RS_MONITOR_DATA"
"""Environment variable that names the folder ``data:`` paths start from."""


class Model(BaseModel):
    """Base of every settings table: frozen, unknown keys refused.

    What ties two keys is checked at the later one: a check of the whole table would stay silent as
    long as any other key is wrong.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


class Period(Model):
    """A closed span of days."""

    start: dt.date = Field(description="first day")
    end: dt.date = Field(description="last day, included")

    @field_validator("end")
    @classmethod
    def _ordered(cls, end: dt.date, info: ValidationInfo) -> dt.date:
        start = info.data.get("start", end)
        if end < start:
            raise ValueError(f"end {end} lies before start {start}")
        return end

    def contains(self, day: dt.date) -> bool:
        """Whether a day lies in the period."""
        return self.start <= day <= self.end


class Periods(Model):
    """The two states compared."""

    before: Period
    after: Period

    @field_validator("after")
    @classmethod
    def _apart(cls, after: Period, info: ValidationInfo) -> Period:
        before = info.data.get("before")
        if before is not None and after.start <= before.end:
            raise ValueError(
                f"after starts {after.start}, inside or ahead of before (ends {before.end}); the "
                "periods must not overlap"
            )
        return after


class CatalogSettings(Model):
    """Where the imagery is found."""

    kind: Literal["api", "static", "geoparquet"] = Field(
        description="api: a STAC API by URL; static: a catalog.json; geoparquet: an indexed folder"
    )
    href: str = Field(min_length=1, description="URL or path; data:NAME starts from --data")
    collections: tuple[str, ...] = Field((), description="collections to search; empty = all")
    signing: Literal["none", "planetary-computer", "query-token", "bearer"] = Field(
        "none", description="how requests are authorised; secrets come from the environment"
    )


class ImagerySettings(Model):
    """What is loaded from each scene."""

    bands: tuple[str, ...] = Field(min_length=1, description="common names, in output order")
    mask: Literal[
        "scl", "qa_pixel", "bqa", "fmask", "hls_fmask", "cloudmask", "outlier", "none"
    ] = Field(description="how clear pixels are told; none = not screened")
    mask_band: str | None = Field(
        None, validate_default=True, description="band that carries the mask, e.g. scl"
    )
    max_cloud_fraction: float = Field(1.0, ge=0, le=1, description="scenes above are not searched")
    resampling: Literal["nearest", "bilinear", "cubic"] = Field(
        "bilinear", description="for bands on another grid; masks are always nearest"
    )
    quantity: Literal["reflectance", "dn"] = Field(
        description="reflectance: scale and offset of the items are applied; dn: raw numbers"
    )
    composite: Literal["median", "geomedian", "medoid", "best_pixel"] = Field(
        "median", description="how the clear looks of a period become one image"
    )
    registration: Literal["off", "report", "correct"] = Field(
        "correct", description="shifts between dates: not measured, measured, or also undone"
    )
    harmonise: Literal["none", "sentinel2"] = Field(
        "none", description="sentinel2: Landsat reflectance is brought to Sentinel-2 bands"
    )
    illumination: Literal["none", "c", "scs_c"] = Field(
        "none", description="terrain illumination correction; needs [dem] and the sun's position"
    )

    @field_validator("bands")
    @classmethod
    def _once(cls, bands: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(bands)) < len(bands):
            raise ValueError("every band may be named once")
        return bands

    @field_validator("mask_band")
    @classmethod
    def _mask_named(cls, band: str | None, info: ValidationInfo) -> str | None:
        if "mask" in info.data and (info.data["mask"] in {"none", "outlier"}) != (band is None):
            raise ValueError("must be given exactly when mask is neither 'none' nor 'outlier'")
        return band

    @field_validator("harmonise", "illumination")
    @classmethod
    def _of_reflectance(cls, option: str, info: ValidationInfo) -> str:
        if option != "none" and info.data.get("quantity") == "dn":
            raise ValueError("needs quantity = 'reflectance'; raw numbers cannot be corrected")
        return option


class GridSettings(Model):
    """The pixel grid of every zone."""

    resolution_m: float = Field(gt=0, description="pixel edge, metres")
    block_px: int = Field(512, ge=64, le=4096, description="edge of a statistics block, pixels")


class LayerSettings(Model):
    """One vector layer."""

    path: str = Field(min_length=1, description="file; data:NAME starts from --data")
    layer: str | None = Field(None, description="layer inside the file")


class LandLayerSettings(LayerSettings):
    """The baseline survey layer (DLTB)."""

    code_system: Literal["survey3", "guide2023"] = Field(
        description="the codes of the two systems collide, so the system must be named"
    )


class ZonesSettings(LayerSettings):
    """Remediation zones."""

    id_field: str = Field("zone_id", description="field with the zone's id")


class AuthoritySettings(Model):
    """Authority vectors; what is absent makes its rules not_evaluated."""

    land: LandLayerSettings | None = None
    pbf: LayerSettings | None = None
    redline: LayerSettings | None = None
    udb: LayerSettings | None = None
    permits: LayerSettings | None = None


class DemSettings(Model):
    """Elevation: a local file, or the items of a collection of the catalogue."""

    path: str | None = Field(None, description="file; data:NAME starts from --data")
    collection: str | None = Field(
        None, validate_default=True, description="collection of items with a band dem"
    )
    vertical_datum: str = Field(min_length=1, description="e.g. EPSG:5773; 'unknown' is recorded")

    @field_validator("collection")
    @classmethod
    def _one_source(cls, collection: str | None, info: ValidationInfo) -> str | None:
        if "path" in info.data and (info.data["path"] is None) == (collection is None):
            raise ValueError("exactly one of path and collection must be given")
        return collection


class TwoDate(Model):
    """Two-date change by linear variates of the two composites."""

    method: Literal["cva", "mad", "irmad", "isfa"]
    threshold: Literal["kmeans", "otsu", "chi2", "chi2_rescaled"] = Field(
        description="how the change mask is cut"
    )
    p: float | None = Field(
        None, validate_default=True, gt=0, lt=1, description="tail probability, for chi2 rules"
    )
    max_iterations: int = Field(50, ge=1, le=500)
    tolerance: float = Field(1e-3, gt=0, description="largest move of a canonical correlation")

    @field_validator("p")
    @classmethod
    def _for_chi2(cls, p: float | None, info: ValidationInfo) -> float | None:
        rule = info.data.get("threshold", "")
        if rule and (p is None) == rule.startswith("chi2"):
            raise ValueError(f"threshold {rule!r} {'needs' if p is None else 'takes no'} p")
        return p


class Combined(Model):
    """Two-date change by the combined method; its parameters stand in the rule file."""

    method: Literal["combined"]


class Posterior(Model):
    """Post-classification comparison on class probabilities of two seasons."""

    method: Literal["posterior"]


CHANGE_METHODS = frozenset({"cva", "mad", "irmad", "isfa", "combined", "posterior"})


class ModelCardSettings(Model):
    """What a job says of its training data; goes into the card of a model trained on it."""

    data: str | None = Field(None, description="name of the survey; default: file and layer")
    licence: str = Field(
        "not stated: ask the owner of the survey before passing the model on", min_length=1
    )
    attribution: str = Field("not stated", min_length=1)
    region: str | None = Field(None, description="where; default: name of the job")
    not_for: tuple[str, ...] = Field((), description="uses to refuse, beside the standing ones")


class SampleTableSettings(LayerSettings):
    """Points or polygons with columns ``label``, ``from`` and ``to``."""

    covers: dict[str, str] = Field(
        min_length=1, description="class of each label, by name, e.g. soy = 'upland_crop'"
    )


class LandCoverSettings(Model):
    """Land cover of both periods: trained in the run, or by a model that is there."""

    source: Literal["survey", "table", "model"] = Field(
        description="survey: train on the county's own survey layer; table: on dated points or "
        "polygons; model: use a stored one"
    )
    table: SampleTableSettings | None = Field(
        None, validate_default=True, description="for source 'table'"
    )
    model: str | None = Field(
        None,
        validate_default=True,
        description="for source 'model': <name>-<version> of a shipped one, or its folder's path",
    )
    estimator: Literal["forest", "boosting"] | None = Field(
        None, description="what is trained; default: that of the rules"
    )
    trees: int | None = Field(
        None, ge=10, le=1000, description="trees, or rounds of boosting; default: as the rules say"
    )
    calibrate: bool = Field(
        False, description="turn shares of trees into probabilities that hold, fitted out of fold"
    )
    clean: bool = Field(False, description="leave out samples that look mislabelled; reported")
    samples_per_class: int = Field(1500, ge=50, le=50_000)
    seed: int = Field(0, ge=0)
    card: ModelCardSettings = Field(default_factory=ModelCardSettings)

    @field_validator("model", "table")
    @classmethod
    def _named(cls, value: Any, info: ValidationInfo) -> Any:
        wanted = info.data.get("source") == info.field_name
        if "source" in info.data and wanted == (value is None):
            raise ValueError(f"must be given exactly when source is {info.field_name!r}")
        return value


class ClaimsSettings(LayerSettings):
    """Claims of new arable land."""


class RulesSettings(Model):
    """Which rule files apply."""

    findings: str = Field("findings-guide-2024", description="name or path of a rule file")
    acceptance: str = Field("acceptance-guide-2024", description="name or path of a rule file")
    detection: str = Field("detection", description="name or path of the detection thresholds")
    imagery: str = Field("imagery", description="name or path of the thresholds of the imagery")
    change: str = Field("change", description="name or path of the parameters of change")
    terrain: str = Field("terrain", description="name or path of the thresholds of terrain")
    land_cover: str = Field("land_cover", description="name or path of the numbers of land cover")


class ClusterSettings(Model):
    """Where the work runs; never changes a result."""

    kind: Literal["threads", "local", "scheduler"] = Field("threads")
    workers: int = Field(2, ge=1, le=1024)
    address: str | None = Field(
        None, validate_default=True, description="for scheduler: its address"
    )
    chunk_px: int = Field(2048, ge=32, description="edge of a dask chunk, pixels")
    memory_gb: float = Field(4.0, gt=0, description="a worker's memory limit")

    @field_validator("address")
    @classmethod
    def _address_given(cls, address: str | None, info: ValidationInfo) -> str | None:
        if "kind" in info.data and (info.data["kind"] == "scheduler") != (address is not None):
            raise ValueError("must be given exactly when kind is 'scheduler'")
        return address


class RegisterSettings(Model):
    """Where patches, findings and decisions of all runs are kept."""

    path: str | None = Field(None, description="GeoPackage; default: register.gpkg beside the run")


class DetectionRules(Model):
    """Thresholds of detection; read from ``configs/rules``, each with its origin."""

    id: str
    version: str
    basis: str = Field(description="document and clause the numbers come from")
    min_looks: int = Field(ge=1, description="clear looks a period needs, else not seen")
    min_patch_px: int = Field(ge=1, description="smaller groups of changed pixels are dropped")
    min_detect_px: int = Field(ge=1, description="from here on detect_only")
    min_reliable_px: int = Field(ge=1, description="from here on measured")
    change_probability: float = Field(gt=0, lt=1, description="posterior probability of a change")
    cycle_low_ndvi: float = Field(gt=-1, lt=1, description="at or below, the ground is bare")
    cycle_high_ndvi: float = Field(gt=-1, lt=1, description="at or above, the canopy is closed")
    line_width_m: float = Field(gt=0, description="mean width up to which a sealed patch is a road")
    line_elongation: float = Field(gt=1, description="length over width from which it is a road")


class RunConfig(Model):
    """One job."""

    schema_version: Literal[1] = Field(description="format of this file")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$", description="short name of the job")
    purpose: str = Field("", description="who asked and why; goes into the manifest")
    synthetic: bool = Field(False, description="true: every product is labelled synthetic")
    catalog: CatalogSettings
    imagery: ImagerySettings
    periods: Periods
    grid: GridSettings
    zones: ZonesSettings | None = None
    authority: AuthoritySettings = Field(default_factory=AuthoritySettings)
    dem: DemSettings | None = Field(None, validate_default=True)
    change: TwoDate | Combined | Posterior = Field(discriminator="method")
    land_cover: LandCoverSettings | None = Field(None, validate_default=True)
    rules: RulesSettings = Field(default_factory=RulesSettings)
    register_: RegisterSettings = Field(default_factory=RegisterSettings, alias="register")
    claims: ClaimsSettings | None = None
    cluster: ClusterSettings = Field(default_factory=ClusterSettings)
    on_failure: Literal["record", "stop"] = Field(
        "record", description="record: name the failed item or block and go on (exit code 3)"
    )

    @field_validator("dem")
    @classmethod
    def _slopes_known(cls, dem: DemSettings | None, info: ValidationInfo) -> DemSettings | None:
        imagery = info.data.get("imagery")
        if dem is None and imagery is not None and imagery.illumination != "none":
            raise ValueError("imagery.illumination corrects for slopes: add [dem]")
        return dem

    @field_validator("land_cover")
    @classmethod
    def _consistent(
        cls, land_cover: LandCoverSettings | None, info: ValidationInfo
    ) -> LandCoverSettings | None:
        change, authority = info.data.get("change"), info.data.get("authority")
        imagery = info.data.get("imagery")
        if isinstance(change, Combined) and imagery is not None and len(imagery.bands) < 3:
            raise ValueError("change.method 'combined' compares three bands or more: add bands")
        if land_cover is None and isinstance(change, Posterior):
            raise ValueError("change.method 'posterior' compares land cover: add [land_cover]")
        untaught = authority is not None and authority.land is None
        if land_cover is not None and land_cover.source == "survey" and untaught:
            raise ValueError("source 'survey' needs the table [authority.land]")
        return land_cover


def data_root() -> Path:
    """Folder that holds ``configs`` and ``models``: inside the wheel or the checkout."""
    package = Path(__file__).parent
    installed = package / "_data"
    return installed if installed.is_dir() else package.parent


def find_rules(name_or_path: str, base: Path) -> Path:
    """Find a rule file by path or by its name in the shipped ``configs/rules``.

    Raises
    ------
    ConfigError
        Names the shipped rule files when nothing fits.
    """
    candidates = [base / name_or_path, data_root() / "configs" / "rules" / f"{name_or_path}.toml"]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    shipped = sorted(p.stem for p in (data_root() / "configs" / "rules").glob("*.toml"))
    raise ConfigError(name_or_path, [f"no such rule file; shipped are {', '.join(shipped)}"])


Table = TypeVar("Table", bound=BaseModel)


def load_table(path: Path, model: type[Table]) -> Table:
    """Read a TOML file into a model.

    Raises
    ------
    ConfigError
        Lists every mistake with file, key and expectation.
    """
    try:
        return model.model_validate(read_toml(path))
    except ValidationError as error:
        raise ConfigError(str(path), problems_of(error)) from None


def load_config(path: Path, overrides: Mapping[str, Any] | None = None) -> RunConfig:
    """Read and check a job file.

    Parameters
    ----------
    path : Path
        TOML file.
    overrides : mapping, optional
        Dotted keys from the command line, e.g. ``{"cluster.workers": 4}``.

    Raises
    ------
    ConfigError
        Lists every mistake with file, key and expectation.
    """
    return parse_config(read_toml(path), source=str(path), overrides=overrides)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; a syntax error or missing file becomes a ConfigError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(str(path), ["no such file; give the path of a TOML job file"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), [f"not valid TOML: {error}"]) from error


def parse_config(
    raw: Mapping[str, Any], *, source: str, overrides: Mapping[str, Any] | None = None
) -> RunConfig:
    """Check a parsed job table; see :func:`load_config`."""
    merged = _merge(raw, overrides or {})
    try:
        return RunConfig.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(source, problems_of(error)) from None


def problems_of(error: ValidationError) -> list[str]:
    """One line per mistake: key, expectation, what was got."""
    return [_problem(detail) for detail in error.errors(include_url=False)]


def _problem(detail: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in _without_tag(detail["loc"])) or "(whole file)"
    kind = detail["type"]
    if kind == "extra_forbidden":
        return f"{key}: unknown key; remove it or check its spelling"
    if kind == "missing":
        return f"{key}: missing; it is required"
    message = str(detail["msg"]).removeprefix("Value error, ")
    got = detail.get("input")
    shown = "" if isinstance(got, Mapping) else f"; got {got!r}"
    return f"{key}: {message}{shown}"


def _without_tag(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Drop the chosen method that pydantic puts behind ``change``: it is no key of the file."""
    if location[:1] == ("change",) and location[1:2] and location[1] in CHANGE_METHODS:
        return (location[0], *location[2:])
    return location


def _merge(raw: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {
        key: _merge(value, {}) if isinstance(value, Mapping) else value
        for key, value in raw.items()
    }
    for dotted, value in overrides.items():
        *tables, leaf = dotted.split(".")
        table = merged
        for name in tables:
            table = table.setdefault(name, {})
            if not isinstance(table, dict):
                raise ConfigError("--set", [f"{dotted}: {name} is a value, not a table"])
        table[leaf] = value
    return merged


def origins(
    config: RunConfig, raw: Mapping[str, Any], overrides: Sequence[str] = ()
) -> dict[str, tuple[Any, str]]:
    """Every leaf of a config with where it came from: file, default or command line."""
    leaves = dict(_leaves(config.model_dump(mode="json", by_alias=True)))
    given = dict(_leaves(raw))
    return {key: (value, _origin(key, given, overrides)) for key, value in leaves.items()}


def _origin(key: str, given: Mapping[str, Any], overrides: Sequence[str]) -> str:
    if any(key == name or key.startswith(f"{name}.") for name in overrides):
        return "command line"
    return "file" if key in given else "default"


def _leaves(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in table.items():
        if isinstance(value, Mapping):
            rows += _leaves(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", value))
    return rows


def resolve_path(text: str, *, base: Path, data: Path | None) -> Path:
    """Turn a path of a job file into a real one.

    Parameters
    ----------
    text : str
        ``data:NAME`` starts from the data folder, a relative path from ``base``.
    base : Path
        Folder of the job file.
    data : Path, optional
        ``--data``; without it the environment variable ``RS_MONITOR_DATA``.
    """
    if text.startswith("data:"):
        root = data or (Path(os.environ[DATA_VARIABLE]) if DATA_VARIABLE in os.environ else None)
        if root is None:
            raise ConfigError(
                text,
                [f"needs a data folder; pass --data DIR or set the variable {DATA_VARIABLE}"],
            )
        return (root / text.removeprefix("data:")).resolve()
    path = Path(text).expanduser()
    return (path if path.is_absolute() else base / path).resolve()


def require_file(path: Path, key: str) -> Path:
    """Return the path if something lies there.

    Raises
    ------
    ConfigError
        Names the key of the job file.
    """
    if not path.exists():
        raise ConfigError(
            str(path), [f"{key}: no such file; relative paths start from the job file's folder"]
        )
    return path
