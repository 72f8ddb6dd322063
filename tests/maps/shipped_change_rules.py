"""The shipped numbers of the combined two-date method."""

from pathlib import Path

from rs_monitor.config.reading import read_toml
from rs_monitor.maps.change_rules import ChangeRules

CHANGE_RULES = ChangeRules.model_validate(
    read_toml(Path(__file__).parents[2] / "configs" / "rules" / "change.toml")
)
