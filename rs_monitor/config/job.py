"""One job, as its file says it and the command line overrides it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from rs_monitor.config.change import Combined, Posterior, TwoDate
from rs_monitor.config.imagery import (
    CatalogSettings,
    DemSettings,
    GridSettings,
    ImagerySettings,
    Periods,
)
from rs_monitor.config.land_cover import LandCoverSettings
from rs_monitor.config.reading import problems_of, read_toml
from rs_monitor.config.rules import RulesSettings
from rs_monitor.config.tables import LayerSettings, Model
from rs_monitor.errors import ConfigError


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


class ClaimsSettings(LayerSettings):
    """Claims of new arable land."""


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


def parse_config(
    raw: Mapping[str, Any], *, source: str, overrides: Mapping[str, Any] | None = None
) -> RunConfig:
    """Check a parsed job table; see :func:`load_config`."""
    merged = _merge(raw, overrides or {})
    try:
        return RunConfig.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(source, problems_of(error)) from None


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
