"""How a study prints its tables."""

import pandas as pd


def markdown(table: pd.DataFrame) -> str:
    """Rows as a Markdown table."""
    lines = ["| " + " | ".join(map(str, table.columns)) + " |", "|---" * table.shape[1] + "|"]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in table.itertuples(index=False)]
    return "\n".join(lines)
