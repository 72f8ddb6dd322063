"""Breaks in a series of images: BFAST-Monitor and continuous change detection."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field
from scipy.stats import chi2

from rs_monitor.codes import BreakStatus
from rs_monitor.config.tables import Model
from rs_monitor.errors import ConfigError, GridMismatch, NoObservations
from rs_monitor.kernels import bfast_monitor as bfast
from rs_monitor.kernels import ccdc_raster, stable_fit
from rs_monitor.kernels.boundaries import monitoring_mosum_critical
from rs_monitor.kernels.ccdc_model import CcdcSettings
from rs_monitor.kernels.harmonic import harmonic_regressors
from rs_monitor.kernels.stable_history import NO_START, stable_history
from rs_monitor.lazy import SPACE, reduce_time
from rs_monitor.maps.baseline import day_number, day_numbers, require_unscaled

ORDINAL_1970 = 719_163
"""Proleptic ordinal of 1970-01-01: continuous change detection takes its phase from there."""

MOST_GROWTH = 16
"""Consecutive looks grow at most this much where looks are dense: one a day."""

_DAY_UNITS = "days since 1970-01-01"
_COUNTS = frozenset(
    {"history_looks", "monitoring_looks", "outlier_run", "segments", "breaks", "looks"}
    | {"stable_models"}
)


class BfastRules(Model):
    """Numbers of BFAST-Monitor."""

    order: int = Field(ge=0, description="harmonics of the year")
    trend: bool = Field(description="whether the history may have a trend")
    window_share: float = Field(description="width of the moving sum, as a share of the history")
    significance: float = Field(description="chance of a false break over the whole period")
    period: int = Field(description="length of history and monitoring together, in histories")
    period_days: float = Field(gt=0, description="length of a year")
    clock: Literal["looks", "days"] = Field(description="what the boundary widens with")
    history: Literal["all", "roc"] = Field(description="all looks, or the stable ones (ROC)")
    min_looks: int = Field(ge=1, description="looks of the history, at least")


class CcdcMonitorRules(Model):
    """Numbers of the single-band CCDC with a stable history."""

    order: int = Field(ge=0, description="harmonics of the year")
    limit: float = Field(gt=0, description="RMSEs away that are an outlier")
    consecutive: int = Field(ge=1, description="outliers in a row that make a break")
    looks_per_regressor: float = Field(ge=1, description="looks of the history per coefficient")
    drift: Literal["window", "day"] = Field(description="what of the trend must be calm")
    year: Literal["period", "calendar"] = Field(description="what the season follows")
    period_days: float = Field(gt=0, description="length of a year")


class CcdcRules(Model):
    """Numbers of continuous change detection."""

    detection: tuple[str, ...] = Field(min_length=1, description="bands of the change test")
    screened: tuple[str, ...] = Field(description="bands of the outlier screen")
    scale: float = Field(gt=0, description="makes values the integers the penalty is meant for")
    valid: tuple[float, float] = Field(description="values outside are not looks")
    least_looks: int = Field(ge=6, description="of a stable start")
    consecutive: int = Field(ge=1, description="looks outside that make a break")
    least_days: float = Field(gt=0, description="of a stable start")
    year_days: float = Field(gt=0, description="length of a year")
    usual_interval_days: float = Field(gt=0, description="between looks; denser ones need more")
    change_probability: float = Field(gt=0, lt=1, description="of each look outside")
    outlier_probability: float = Field(gt=0, lt=1, description="of a look left out for good")
    screen_factor: float = Field(gt=0, description="variograms away that are screened")
    looks_per_coefficient: int = Field(ge=1, description="looks that bear a coefficient")
    penalty: float = Field(gt=0, description="of the Lasso, per look")
    tolerance: float = Field(gt=0, description="of the Lasso")
    sweeps: int = Field(ge=1, description="of the Lasso, at most")

    def settings(self) -> CcdcSettings:
        """Return the numbers as the kernel takes them."""
        return CcdcSettings(
            least_looks=self.least_looks,
            consecutive=self.consecutive,
            least_days=self.least_days,
            year_days=self.year_days,
            penalty=self.penalty,
            tolerance=self.tolerance,
            sweeps=self.sweeps,
            outlier_chi2=float(chi2.ppf(self.outlier_probability, len(self.detection))),
            screen_factor=self.screen_factor,
            looks_per_coefficient=self.looks_per_coefficient,
            usual_interval_days=self.usual_interval_days,
        )

    def limits(self) -> NDArray[np.float64]:
        """Chi-square limit by the number of consecutive looks: more looks, each less certain."""
        looks = np.maximum(np.arange(MOST_GROWTH * self.consecutive + 1), self.consecutive)
        share = (1 - self.change_probability) ** (self.consecutive / looks)
        return np.asarray(chi2.ppf(1 - share, len(self.detection)), dtype=np.float64)


class BreakRules(Model):
    """A rule file of breaks in series."""

    id: str
    version: str
    basis: str = Field(description="documents the numbers come from")
    bfast_monitor: BfastRules
    ccdc_monitor: CcdcMonitorRules
    ccdc: CcdcRules


def bfast_monitor(values: xr.DataArray, *, start: dt.date, rules: BfastRules) -> xr.Dataset:
    """Break of every pixel against its own history, by BFAST-Monitor.

    Parameters
    ----------
    values : DataArray of float
        time, y, x; ascending in time; NaN = not seen. Looks of one day all count: merge them
        before.
    start : date
        First day of the monitoring period; all earlier looks are history.
    rules : BfastRules

    Returns
    -------
    Dataset
        dims y, x: ``status`` (uint8, :class:`rs_monitor.codes.BreakStatus`), ``break_day`` (day
        of the first look outside the boundary, NaN = none), ``previous_look_day`` (the look
        before it; without a break the last one), ``magnitude`` (median of observed minus expected
        over the monitoring period), ``mean_process``, ``history_looks``, ``monitoring_looks``.

    Raises
    ------
    NoObservations
        If no image lies on one side of ``start``.
    GridMismatch
        If the images are not in order of time.
    ConfigError
        If no critical value is tabulated for significance, share and period.

    Notes
    -----
    Verbesselt, Zeileis & Herold (2012), doi:10.1016/j.rse.2012.02.022; OLS-MOSUM process and
    boundary of strucchange. The process answers late: the break lies before ``break_day``, by up
    to the width of the moving sum.
    """
    days, history = _split(values, start)
    regressors = harmonic_regressors(
        days, order=rules.order, trend=rules.trend, period_days=rules.period_days
    )
    critical = monitoring_mosum_critical(rules.significance, rules.window_share, rules.period)
    function = partial(
        _bfast_block,
        stable=rules.significance if rules.history == "roc" else None,
        days=days,
        regressors=regressors,
        history=history,
        window_share=rules.window_share,
        critical=critical,
        min_looks=rules.min_looks,
        ratios=_ratios(days, history) if rules.clock == "days" else None,
    )
    attrs = {
        "method": "BFAST-Monitor, OLS-MOSUM",
        "citation": "Verbesselt et al. (2012), doi:10.1016/j.rse.2012.02.022",
        "start": start.isoformat(),
    }
    layers = _lifted(
        function, [values], bfast.LAYERS, fitted="magnitude", observed="monitoring_looks"
    )
    return _unpacked(layers, attrs)


def ccdc_monitor(values: xr.DataArray, *, start: dt.date, rules: CcdcMonitorRules) -> xr.Dataset:
    """Break of every pixel as a run of outlying looks after its latest stable history.

    Parameters
    ----------
    values : DataArray of float
        time, y, x; ascending in time; NaN = not seen.
    start : date
        First day of the monitoring period; all earlier looks are history.
    rules : CcdcMonitorRules

    Returns
    -------
    Dataset
        dims y, x: ``status`` (uint8, :class:`rs_monitor.codes.BreakStatus`), ``break_day`` (the
        run is long enough, NaN = none), ``first_outlier_day`` (of that run, or of the one still
        open), ``previous_look_day`` (the look before it), ``magnitude`` (median of observed minus
        expected over the run), ``outlier_run`` (its length), ``rmse`` (of the history),
        ``fit_start_day``, ``history_looks``, ``monitoring_looks``. A change lies after
        ``previous_look_day`` and not after ``first_outlier_day``.

    Raises
    ------
    NoObservations
        If no image lies on one side of ``start``.
    GridMismatch
        If the images are not in order of time.

    Notes
    -----
    After Zhu & Woodcock (2014), doi:10.1016/j.rse.2014.01.011, with one band, as in nrt 0.3.0.
    """
    days, history = _split(values, start)
    function = partial(
        stable_fit.monitor_stable_fit,
        days=days,
        regressors=harmonic_regressors(
            days, order=rules.order, trend=True, period_days=rules.period_days, year=rules.year
        ),
        history=history,
        limit=rules.limit,
        consecutive=rules.consecutive,
        looks_per_regressor=rules.looks_per_regressor,
        drift=rules.drift,
    )
    attrs = {
        "method": "CCDC with a stable history, one band",
        "citation": "Zhu & Woodcock (2014), doi:10.1016/j.rse.2014.01.011",
        "start": start.isoformat(),
    }
    layers = _lifted(
        function, [values], stable_fit.LAYERS, fitted="rmse", observed="monitoring_looks"
    )
    return _unpacked(layers, attrs)


def ccdc(cube: xr.Dataset, *, bands: Sequence[str], rules: CcdcRules) -> xr.Dataset:
    """Latest break of every pixel by continuous change detection over several bands.

    Parameters
    ----------
    cube : Dataset of float
        Reflectance; time, y, x; ascending in time; NaN = not seen. Snow and water that is not
        to be modelled must be taken out before. Of looks of one day the first that is seen
        counts.
    bands : sequence of str
        Modelled ones; a look counts only where all of them are seen and valid.
    rules : CcdcRules

    Returns
    -------
    Dataset
        dims y, x: ``status`` (uint8, :class:`rs_monitor.codes.BreakStatus`), ``break_day`` (first
        look after the latest break, NaN = none), ``previous_look_day`` (last look before it),
        ``probability`` (1 after a break that no newer model follows; else the share of the looks
        that a break needs which lie outside at the very end), ``segments``, ``breaks``, ``looks``,
        ``stable_models``; and ``magnitude`` (band, y, x; median of observed minus expected after
        the latest break). A change lies after ``previous_look_day``, not after ``break_day``.

    Raises
    ------
    ConfigError
        If the rules name a band that is not among ``bands``.
    GridMismatch
        If the images are not in order of time.

    Notes
    -----
    Zhu & Woodcock (2014), doi:10.1016/j.rse.2014.01.011; the standard procedure of lcmap-pyccd
    2021.7.19, whose segments the kernel reproduces. It keeps no state: a new image means a new
    run.
    """
    chosen = [cube[band] for band in bands]
    days = _ascending_days(chosen[0])
    names = [*ccdc_raster.SUMMARY, *(f"magnitude_{band}" for band in bands)]
    function = partial(
        _ccdc_block,
        days=days + ORDINAL_1970,
        valid=rules.valid,
        scale=rules.scale,
        screened=_places(rules.screened, bands),
        detection=_places(rules.detection, bands),
        limits=rules.limits(),
        settings=rules.settings(),
    )
    layers = _lifted(
        function, chosen, names, fitted="stable_models", observed="looks", unfitted=0.0
    )
    attrs = {
        "method": "continuous change detection",
        "citation": "Zhu & Woodcock (2014), doi:10.1016/j.rse.2014.01.011",
    }
    found = _unpacked(layers, attrs)
    magnitudes = [found[f"magnitude_{band}"] for band in bands]
    stacked = xr.concat(magnitudes, xr.DataArray(list(bands), dims="band", name="band"))
    rest = found.drop_vars([f"magnitude_{band}" for band in bands])
    return rest.assign(magnitude=stacked.rename("magnitude"))


def _ratios(days: NDArray[np.float64], history: int) -> NDArray[np.float64]:
    """Time over the history's, both from the first January on, as bfast 0.7 has it."""
    january = days[:1].astype("M8[D]").astype("M8[Y]").astype("M8[D]").astype(np.float64)
    elapsed = days - january
    return np.asarray(elapsed[history:] / elapsed[history - 1])


def _bfast_block(stack: NDArray[Any], *, stable: float | None, **numbers: Any) -> None:
    starts = None
    if stable is not None:
        history, regressors = numbers["history"], numbers["regressors"]
        found = stable_history(stack[:history], regressors[:, :history], significance=stable)
        starts = np.where(found.first == NO_START, history, found.first).astype(np.int32)
    bfast.monitor_breaks(stack, starts=starts, **numbers)


def _ccdc_block(
    *bands: NDArray[Any], days: NDArray[np.float64], out: NDArray[np.float32], **numbers: Any
) -> None:
    ccdc_raster.ccdc_layers(bands, days, out=out, **numbers)
    for name in ("break_day", "previous_look_day"):
        out[ccdc_raster.SUMMARY.index(name)] -= ORDINAL_1970


def _places(names: Sequence[str], bands: Sequence[str]) -> NDArray[np.int64]:
    absent = [name for name in names if name not in bands]
    if absent:
        raise ConfigError("bands", [f"got {', '.join(bands)}; needed also {', '.join(absent)}"])
    return np.array([list(bands).index(name) for name in names], dtype=np.int64)


def _ascending_days(values: xr.DataArray) -> NDArray[np.float64]:
    require_unscaled(values)
    days = day_numbers(values["time"].values)
    if np.any(np.diff(days) < 0):
        raise GridMismatch("got images out of order; needed ascending times; sort them by time")
    return days.astype(np.float64)


def _split(values: xr.DataArray, start: dt.date) -> tuple[NDArray[np.float64], int]:
    """Days of all looks, and how many lie before the monitoring period."""
    days = _ascending_days(values)
    history = int(np.searchsorted(days, day_number(start)))
    if history in (0, len(days)):
        raise NoObservations(
            f"got {history} images before {start} and {len(days) - history} from then on; needed "
            "both; choose another start or load more images"
        )
    return days, history


def _lifted(
    function: Any,
    stacks: Sequence[xr.DataArray],
    names: Sequence[str],
    *,
    fitted: str,
    observed: str,
    unfitted: float = np.nan,
) -> xr.DataArray:
    """Layers of a kernel and the status ahead of them."""
    places = [names.index(name) for name in (observed, fitted, "break_day")]
    whole = partial(_with_status, function, len(names), places, unfitted)
    return reduce_time(
        whole,
        *stacks,
        dtype=np.float32,
        name="breaks",
        attrs={},
        layers=("layer", ["status", *names]),
    )


def _with_status(
    function: Any, count: int, places: Sequence[int], unfitted: float, *stacks: NDArray[Any]
) -> NDArray[np.float32]:
    # the kernel writes behind the status: no second copy of its answer
    whole = np.empty((1 + count, *stacks[0].shape[1:]), dtype=np.float32)
    layers = whole[1:]
    function(*stacks, out=layers)
    looks, fit, broken = (layers[place] for place in places)
    no_fit = np.isnan(fit) if np.isnan(unfitted) else fit == unfitted
    whole[0] = BreakStatus.NO_CHANGE
    whole[0][np.isfinite(broken)] = BreakStatus.CHANGE
    whole[0][no_fit] = BreakStatus.NOT_FITTED
    whole[0][looks == 0] = BreakStatus.NOT_OBSERVED
    return whole


def _unpacked(layers: xr.DataArray, attrs: dict[str, str]) -> xr.Dataset:
    variables = {}
    for k, name in enumerate(layers["layer"].values.tolist()):
        # not by xarray: a dozen small indexings would take as long as a small block
        layer = layers.data[k]
        if name in _COUNTS or name == "status":
            layer = layer.astype(np.uint8 if name == "status" else np.uint16)
        variables[name] = (SPACE, layer, {"units": _DAY_UNITS} if "day" in name else {})
    coords = {name: coord for name, coord in layers.coords.items() if name != "layer"}
    return xr.Dataset(variables, coords, attrs)
