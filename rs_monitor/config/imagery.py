"""Where the imagery of a job comes from and how it is read."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from rs_monitor.config.tables import Model


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
