"""The shipped thresholds of the monitoring, and the bytes of a state."""

from pathlib import Path

from rs_monitor.config.reading import read_toml
from rs_monitor.maps.watch import MonitoringRules

RULES_FILE = Path(__file__).parents[2] / "configs" / "rules" / "monitoring.toml"
SHIPPED = MonitoringRules.model_validate(read_toml(RULES_FILE)).watch


def contents(state):
    """Everything a state says, comparable byte by byte."""
    arrays = {
        str(name): (v.dims, v.dtype.str, v.values.tobytes()) for name, v in state.variables.items()
    }
    return arrays, dict(state.attrs)
