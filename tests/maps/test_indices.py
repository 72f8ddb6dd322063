import numpy as np
import pytest
import xarray as xr

from rs_monitor.maps.indices import mndwi, ndbi, ndvi
from tests.comparison import assert_close

NAN = float("nan")


def scene(**bands):
    return xr.Dataset(
        {name: (("y", "x"), np.array([values], "float32")) for name, values in bands.items()}
    )


@pytest.mark.parametrize(
    ("index", "plus", "minus"),
    [(ndvi, "nir", "red"), (mndwi, "green", "swir16"), (ndbi, "swir16", "nir")],
)
def test_by_hand(index, plus, minus):
    bands = {
        plus: [0.3, 0.1, 0.2, NAN, 0.2, 0.0, -0.1, 0.2],
        minus: [0.1, 0.3, 0.2, 0.2, NAN, 0.0, -0.1, -0.1],
    }
    # haze correction can leave small negative values: beyond the scale is its end, dark is unknown
    expected = [0.5, -0.5, 0.0, NAN, NAN, NAN, NAN, 1.0]
    found = index(scene(**bands))
    assert_close(found.values, np.array([expected], "float32"), atol=1e-6)
    assert found.name == index.__name__
    assert found.attrs["units"] == "1"


def test_wholly_dark_pixels_warn_of_nothing():
    dark = scene(nir=[0.0, 0.0], red=[0.0, 0.0])
    assert np.isnan(ndvi(dark).values).all()
