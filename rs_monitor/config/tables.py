"""What every table of settings keeps to, and what several of them share."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Model(BaseModel):
    """Base of every settings table: frozen, unknown keys refused.

    What ties two keys is checked at the later one: a check of the whole table would stay silent as
    long as any other key is wrong.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


class LayerSettings(Model):
    """One vector layer."""

    path: str = Field(min_length=1, description="file; data:NAME starts from --data")
    layer: str | None = Field(None, description="layer inside the file")
