"""Makes ``pyccd_segments.json``: what lcmap-pyccd finds in the Landsat pixel series.

In an environment of its own (Python 3.11; nothing of this project is needed)::

    pip install lcmap-pyccd==2021.7.19 scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6
    python tests/peers/pyccd_recipe.py FOLDER/landsat_pixel_timeseries

lcmap-pyccd needs one patch for today's scipy: ``scipy.stats.mode`` no longer keeps the axis
(below). scikit-learn 1.5.2 gives the same segments.
"""

import json
import sys
from pathlib import Path

import numpy as np
import scipy
import scipy.stats
import sklearn

FMASK = {"QA_BITPACKED": False, "QA_FILL": 255, "QA_CLEAR": 0, "QA_WATER": 1, "QA_SHADOW": 2,
         "QA_SNOW": 3, "QA_CLOUD": 4}  # fmt: skip
BANDS = ("blue", "green", "red", "nir", "swir1", "swir2", "thermal")
PARTS = [(0, 1), (40, 1), (90, 1), (150, 1), (220, 1), (0, 2), (1, 2), (0, 3), (2, 3), (100, 2)]
"""First row and step of the rows taken: other starts and thinner series of the same pixels."""


def patched():
    """pyccd with the old answer of ``scipy.stats.mode``."""
    import ccd
    import ccd.math_utils

    def mode(values):
        found = scipy.stats.mode(values, keepdims=True)
        return found.mode, found.count

    ccd.math_utils.mode = mode
    return ccd


def numbers(model):
    keys = ("start_day", "end_day", "break_day", "observation_count", "change_probability",
            "curve_qa")  # fmt: skip
    bands = [model[band] for band in BANDS]
    return {key: model[key] for key in keys} | {
        "rmse": [round(band["rmse"], 6) for band in bands],
        "slope": [round(band["coefficients"][0], 9) for band in bands],
        "cos": [round(band["coefficients"][1], 5) for band in bands],
        "magnitude": [round(band["magnitude"], 4) for band in bands],
    }


def case(ccd, file, first, step, procedure):
    rows = np.loadtxt(file, delimiter=",").astype(int)[first::step]
    never = {"CLEAR_PCT_THRESHOLD": 0.0} if procedure == "standard" else {}
    found = ccd.detect(*rows.T, params=FMASK | never)
    return {
        "file": file.name,
        "first": first,
        "step": step,
        "procedure": procedure,
        "segments": [numbers(model) for model in found["change_models"]],
    }


def main(folder):
    ccd = patched()
    files = sorted(p for p in folder.glob("*.csv") if "coefficients" not in p.name)
    cases = [case(ccd, file, 0, 1, "default") for file in files]
    for file in files:
        parts = (
            PARTS if file.name in ("sample_2.csv", "test_3657_3610_observations.csv") else [(0, 1)]
        )
        cases += [case(ccd, file, *part, "standard") for part in parts]
    versions = {"lcmap-pyccd": "2021.7.19", "numpy": np.__version__, "scipy": scipy.__version__,
                "scikit-learn": sklearn.__version__, "python": sys.version.split()[0]}  # fmt: skip
    result = {"versions": versions, "settings": {"defaults": "pyccd", **FMASK}, "cases": cases}
    text = json.dumps(result, indent=None, separators=(",", ":")).replace('{"file"', '\n{"file"')
    Path(__file__).with_name("pyccd_segments.json").write_text(text + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
