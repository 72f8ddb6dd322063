"""Thresholds of the clear-sky mask, as read from the table ``clear_sky`` of a rule file."""

from __future__ import annotations

from pydantic import Field

from rs_monitor.config.tables import Model


class InPlaceRules(Model):
    """When a bright "cloud" is ground (``clear_sky.in_place``)."""

    min_looks: int = Field(ge=2, description="flagged looks that must agree")
    min_days: float = Field(ge=0, description="days between first and last look of the surface")
    tolerance: float = Field(ge=0, description="reflectance two looks may differ by")
    tolerance_fraction: float = Field(ge=0, lt=1, description="and this share of the value")
    max_contrary_fraction: float = Field(ge=0, lt=1, description="ground looks that disagree")
    min_brightness: float = Field(ge=0, lt=1, description="mean visible reflectance of a look")
    snow_ndsi: float = Field(gt=0, lt=1, description="snow index from which it may be snow")
    open_radius_m: float = Field(gt=0, description="half the edge of the square that must lie open")
    open_fraction: float = Field(ge=0, le=1, description="of that square, unflagged ground")
    min_bands: int = Field(ge=2, description="bands needed to know a surface by")


class OutlierRules(Model):
    """When a look is an outlier of its pixel (``clear_sky.outlier``)."""

    min_looks: int = Field(ge=3, description="valid looks below which nothing is decided")
    clear_quantile: float = Field(gt=0, le=0.5, description="level of the clear looks")
    rise_factor: float = Field(gt=0, description="robust standard deviations a cloud rises")
    min_rise: float = Field(gt=0, description="rise of the visible reflectance of a cloud")
    fall_factor: float = Field(gt=0, description="robust standard deviations a shadow falls")
    min_fall: float = Field(gt=0, description="fall of the infrared reflectance of a shadow")


class ClearSkyRules(Model):
    """Table ``clear_sky``: distances in metres on the ground, reflectance 0-1."""

    cloud_opening_m: float = Field(ge=0, description="radius of specks taken out of clouds")
    shadow_opening_m: float = Field(ge=0, description="radius of specks taken out of shadows")
    cloud_growth_m: float = Field(ge=0, description="rim put around clouds")
    shadow_growth_m: float = Field(ge=0, description="rim put around cloud shadows")
    snow_growth_m: float = Field(ge=0, description="rim put around snow")
    provider_rim_m: float = Field(ge=0, description="widest rim a provider puts around clouds")
    terrain_shadow_reach_m: float = Field(gt=0, description="how far relief is followed to the sun")
    in_place: InPlaceRules
    outlier: OutlierRules
