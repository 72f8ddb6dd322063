"""The shipped numbers of control charts."""

from pathlib import Path

from rs_monitor.config.reading import load_table
from rs_monitor.maps.monitoring import ChartRules

RULES_FILE = Path(__file__).parents[2] / "configs" / "rules" / "charts.toml"
SHIPPED = load_table(RULES_FILE, ChartRules)
