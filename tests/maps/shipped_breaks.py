"""The shipped numbers of breaks in series."""

from pathlib import Path

from rs_monitor.config.reading import load_table
from rs_monitor.maps.breaks import BreakRules

RULES_FILE = Path(__file__).parents[2] / "configs" / "rules" / "breaks.toml"
SHIPPED = load_table(RULES_FILE, BreakRules)
