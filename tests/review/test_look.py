import numpy as np
import pandas as pd
import pytest

from rs_monitor.errors import RunError
from rs_monitor.review.look import (
    claim_card,
    claims_table,
    coverage_table,
    finding_card,
    load_pixels,
    open_run,
    ranked_patches,
    styled,
    unanswered,
)
from tests.review.conftest import GEOBOX, GRID_CRS, VECTOR_CRS, outline, write_run
