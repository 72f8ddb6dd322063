"""Harmonic models of image series, and control charts that hold later looks against them."""

from __future__ import annotations

import datetime as dt
import math
from functools import partial
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import DTypeLike, NDArray
from pydantic import Field

from rs_monitor.config.tables import Model
from rs_monitor.errors import GridMismatch, NoObservations
from rs_monitor.kernels import charts
from rs_monitor.kernels.boundaries import monitoring_cusum_critical, monitoring_mosum_critical
from rs_monitor.kernels.chart_steps import LAYERS
from rs_monitor.kernels.harmonic import HarmonicFit, fit_ols, harmonic_regressors
from rs_monitor.kernels.robust import fit_robust
from rs_monitor.lazy import reduce_time
from rs_monitor.maps.baseline import day_number, day_numbers, require_unscaled

Method = Literal["ewma", "cusum", "mosum", "iqr"]

_DAY_UNITS = "days since 1970-01-01"


class HistoryRules(Model):
    """The harmonic model of the history."""

    order: int = Field(ge=0, description="harmonics of the year")
    trend: bool = Field(description="whether the history may have a trend")
    year: Literal["period", "calendar"] = Field(
        description="phase from the day over period_days, or from the calendar year as in nrt"
    )
    period_days: float = Field(gt=0, description="length of a year")
    as_nrt: bool = Field(description="residuals enter charts with the signs of nrt 0.3.0")
    looks_per_regressor: float = Field(ge=1, description="looks of the history per coefficient")

    def regressors(self, days: NDArray[np.float64]) -> NDArray[np.float64]:
        """Design of the model on some days."""
        return harmonic_regressors(
            days,
            order=self.order,
            trend=self.trend,
            period_days=self.period_days,
            year=self.year,
        )

    def min_looks(self) -> int:
        """Least looks of a history; one more than coefficients in any case."""
        count = 1 + self.trend + 2 * self.order
        return max(count + 1, math.ceil(self.looks_per_regressor * count))


class EwmaRules(Model):
    """Exponentially weighted moving average."""

    weight: float = Field(gt=0, le=1, description="of a new residual")
    limit: float = Field(gt=0, description="of the average, in its standard deviations")
    outlier: float = Field(gt=0, description="sigmas beyond which a later look is set aside")
    screen: float = Field(gt=0, description="sigmas beyond which a look leaves the history")


class CusumRules(Model):
    """Cumulative sum."""

    significance: float = Field(gt=0, lt=1, description="chance of a false signal ever")


class MosumRules(Model):
    """Moving sum."""

    significance: float = Field(ge=0.001, le=0.05, description="chance over the period")
    window_share: float = Field(description="width as a share of the history; 0.25, 0.5 or 1")
    period: int = Field(description="history and monitoring together, in histories; 2 to 10")


class IqrRules(Model):
    """Residuals beyond the quartiles."""

    spread: float = Field(gt=0, description="interquartile ranges beyond the quartiles")
    consecutive: int = Field(ge=1, description="looks beyond, in a row")


class ChartRules(Model):
    """A rule file of control charts."""

    id: str
    version: str
    basis: str = Field(description="documents the numbers come from")
    history: HistoryRules
    ewma: EwmaRules
    cusum: CusumRules
    mosum: MosumRules
    iqr: IqrRules

    def chart(self, method: Method) -> charts.Chart:
        """Return the numbers of a method as the kernel takes them."""
        match method:
            case "ewma":
                return charts.Ewma(self.ewma.weight, self.ewma.limit, self.ewma.outlier)
            case "cusum":
                return charts.Cusum(monitoring_cusum_critical(self.cusum.significance))
            case "mosum":
                own = self.mosum
                critical = monitoring_mosum_critical(own.significance, own.window_share, own.period)
                return charts.Mosum(own.window_share, critical)
            case "iqr":
                return charts.Iqr(self.iqr.spread, self.iqr.consecutive)

    def start(self, method: Method) -> charts.Start:
        """How histories become the start of a method."""
        screen = self.ewma.screen if method == "ewma" else math.inf
        return charts.Start(screen, self.history.min_looks(), self.history.as_nrt)


_CITATIONS = {
    "ewma": "Brooks et al. (2014), doi:10.1109/TGRS.2013.2272545",
    "cusum": "Zeileis et al. (2005), doi:10.1002/jae.776",
    "mosum": "Verbesselt et al. (2012), doi:10.1016/j.rse.2012.02.022",
    "iqr": "Tukey (1977), Exploratory Data Analysis",
}


def _ascending_days(values: xr.DataArray) -> NDArray[np.float64]:
    require_unscaled(values)
    days = day_numbers(values["time"].values)
    if np.any(np.diff(days) < 0):
        raise GridMismatch("got images out of order; needed ascending times; sort them by time")
    return days.astype(np.float64)


def _coefficient_names(order: int, trend: bool) -> list[str]:
    harmonics = [f"{part}_{k}" for part in ("cos", "sin") for k in range(1, order + 1)]
    return ["intercept", *(["day"] if trend else []), *harmonics]


def fit_harmonic(
    values: xr.DataArray,
    *,
    rules: HistoryRules,
    method: Literal["ols", "rirls"] = "ols",
    dtype: DTypeLike = np.float32,
) -> xr.Dataset:
    """Harmonic model of every pixel over all looks.

    Parameters
    ----------
    values : DataArray of float
        time, y, x; ascending in time; NaN = not seen.
    rules : HistoryRules
    method : {"ols", "rirls"}
        Ordinary least squares, or bisquare weights iterated (Holland & Welsch 1977).
    dtype : dtype
        What the answer is kept in; it is computed in float64.

    Returns
    -------
    Dataset
        ``coefficients`` (coefficient, y, x) in the unit of the values, of 1, days since
        1970-01-01, and cosines and sines of the day; ``sigma`` (y, x), residual standard deviation
        with n - p degrees of freedom; ``looks`` (y, x), uint16. NaN with the looks kept where
        they are too few or singular.

    Raises
    ------
    GridMismatch
        If the images are not in order of time.
    """
    names = _coefficient_names(rules.order, rules.trend)
    function = partial(
        _fit_layers,
        regressors=rules.regressors(_ascending_days(values)),
        method=method,
        min_looks=rules.min_looks(),
        dtype=dtype,
    )
    layers = reduce_time(
        function,
        values,
        dtype=dtype,
        name="fit",
        attrs={},
        layers=("coefficient", [*names, "sigma", "looks"]),
    )
    count = len(names)
    attrs = {"method": method, "period_days": rules.period_days}
    variables = {
        "coefficients": layers.isel(coefficient=slice(0, count)).rename("coefficients"),
        "sigma": layers.isel(coefficient=count, drop=True).rename("sigma"),
        "looks": layers.isel(coefficient=count + 1, drop=True).astype(np.uint16).rename("looks"),
    }
    return xr.Dataset(variables, attrs=attrs)


def _fit_layers(
    values: NDArray[Any],
    regressors: NDArray[np.float64],
    method: str,
    min_looks: int,
    dtype: DTypeLike,
) -> NDArray[Any]:
    count = regressors.shape[0]
    whole = np.empty((count + 2, *values.shape[1:]), dtype=dtype)
    looks = np.empty(values.shape[1:], dtype=np.uint16)
    out = HarmonicFit(whole[:count], whole[count], looks)
    fit = fit_ols if method == "ols" else fit_robust
    fit(values, regressors, min_looks=min_looks, out=out)
    whole[count + 1] = looks
    return whole


def monitor(
    values: xr.DataArray, *, start: dt.date, method: Method, rules: ChartRules
) -> xr.Dataset:
    """Control chart of every pixel against its own history.

    Parameters
    ----------
    values : DataArray of float
        time, y, x; ascending in time; NaN = not seen. Looks of one day all count.
    start : date
        First day of the monitoring period; all earlier looks are history.
    method : {"ewma", "cusum", "mosum", "iqr"}
    rules : ChartRules

    Returns
    -------
    Dataset
        dims y, x: ``status`` (uint8: 0 not observed, 1 no change, 2 change, 3 not fitted, 4 out of
        control in the history, 5 all looks set aside as outliers), ``signal_day`` (NaN = none),
        ``previous_look_day`` (the last look used before it), ``magnitude`` (mean of observed
        minus expected from the signal on), ``direction`` (int8), ``monitoring_looks``.

    Raises
    ------
    NoObservations
        If no image lies on one side of ``start``.
    GridMismatch
        If the images are not in order of time.

    Notes
    -----
    The charts are those of :mod:`rs_monitor.kernels.charts`. A chart answers late: the change lies
    before ``signal_day`` by the chart's delay, not always after ``previous_look_day``.
    """
    days = _ascending_days(values)
    history = int(np.searchsorted(days, day_number(start)))
    if history in (0, len(days)):
        raise NoObservations(
            f"got {history} images before {start} and {len(days) - history} from then on; needed "
            "both; choose another start or load more images"
        )
    function = partial(
        charts.run_chart,
        days=days,
        regressors=rules.history.regressors(days),
        history=history,
        chart=rules.chart(method),
        start=rules.start(method),
    )
    layers = reduce_time(
        function,
        values,
        dtype=np.float32,
        name="chart",
        attrs={},
        layers=("layer", list(LAYERS)),
    )
    attrs = {"method": method, "citation": _CITATIONS[method], "start": start.isoformat()}
    return _unpacked(layers, attrs)


_OUTPUTS: dict[str, tuple[str, DTypeLike]] = {
    "status": ("status", np.uint8),
    "signal_day": ("signal_day", np.float32),
    "before_day": ("previous_look_day", np.float32),
    "magnitude": ("magnitude", np.float32),
    "direction": ("direction", np.int8),
    "looks": ("monitoring_looks", np.uint16),
}


def _unpacked(layers: xr.DataArray, attrs: dict[str, str]) -> xr.Dataset:
    variables = {}
    for k, layer in enumerate(LAYERS):
        name, dtype = _OUTPUTS[layer]
        plain = layers.isel(layer=k, drop=True).rename(name)
        typed = plain if dtype == np.float32 else plain.astype(dtype)
        variables[name] = typed.assign_attrs({"units": _DAY_UNITS} if "day" in name else {})
    return xr.Dataset(variables, attrs=attrs)
