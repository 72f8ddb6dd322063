"""The shipped thresholds of the imagery."""

from pathlib import Path

from rs_monitor.config.reading import read_toml
from rs_monitor.imagery.sky_rules import ClearSkyRules

RULES_FILE = Path(__file__).parents[2] / "configs" / "rules" / "imagery.toml"
CLEAR_SKY = ClearSkyRules.model_validate(read_toml(RULES_FILE)["clear_sky"])
