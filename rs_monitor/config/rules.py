"""Rule files: which apply to a job, where they lie, how one is read."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import Field

from rs_monitor.config.paths import data_root
from rs_monitor.config.reading import load_table
from rs_monitor.config.tables import Model
from rs_monitor.errors import ConfigError


class RulesSettings(Model):
    """Which rule files apply."""

    findings: str = Field("findings-guide-2024", description="name or path of a rule file")
    acceptance: str = Field("acceptance-guide-2024", description="name or path of a rule file")
    detection: str = Field("detection", description="name or path of the detection thresholds")
    imagery: str = Field("imagery", description="name or path of the thresholds of the imagery")
    change: str = Field("change", description="name or path of the parameters of change")
    terrain: str = Field("terrain", description="name or path of the thresholds of terrain")
    land_cover: str = Field("land_cover", description="name or path of the numbers of land cover")


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


Rules = TypeVar("Rules", bound=Model)


def load_rules(name_or_path: str, base: Path, model: type[Rules]) -> Rules:
    """Read a rule file.

    Parameters
    ----------
    name_or_path : str
        Name of a shipped rule file, or a path.
    base : Path
        Folder a relative path starts from.
    model : type of Model
        What the file holds.

    Raises
    ------
    ConfigError
        If there is no such rule file, or with every mistake in it.
    """
    return load_table(find_rules(name_or_path, base), model)
