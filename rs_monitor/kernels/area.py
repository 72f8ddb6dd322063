"""Area of polygon rings on the CGCS2000 ellipsoid by the official survey series.

The series and its constants are those of the national land survey's circular on patch areas
(国土调查办发〔2008〕32号, annex) with the CGCS2000 ellipsoid.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SEMI_MINOR_M = 6356752.31414036
E2 = 0.00669438002290
SECOND_E2 = 0.00673949677548
POLAR_RADIUS_M = 6399593.62586
RHO_SECONDS = 206264.8062471
MAX_EDGE_M = 70.0

_K0 = 1.57048761144159e-07
_K1 = 5.05250178820567e-03
_K2 = 2.98472900956587e-05
_K3 = 2.41626669230084e-07
_K4 = 2.22241238938534e-09

_E4, _E6, _E8 = E2**2, E2**3, E2**4
_A = 1 + 3 / 6 * E2 + 30 / 80 * _E4 + 35 / 112 * _E6 + 630 / 2304 * _E8
_B = 1 / 6 * E2 + 15 / 80 * _E4 + 21 / 112 * _E6 + 420 / 2304 * _E8
_C = 3 / 80 * _E4 + 7 / 112 * _E6 + 180 / 2304 * _E8
_D = 1 / 112 * _E6 + 45 / 2304 * _E8
_E = 5 / 2304 * _E8


@njit(nogil=True)
def _inverse(northing_m: float, offset_m: float) -> tuple[float, float]:
    """Latitude and longitude from the central meridian, radians."""
    e = _K0 * northing_m
    s = math.sin(e)
    s2 = s * s
    foot = e + math.cos(e) * s * (_K1 - s2 * (_K2 - s2 * (_K3 - s2 * _K4)))
    t2 = math.tan(foot) ** 2
    eta2 = SECOND_E2 * math.cos(foot) ** 2
    v2 = 1.0 + eta2
    q = offset_m * math.sqrt(v2) / POLAR_RADIUS_M
    q2 = q * q
    lat_terms = 1.0 - q2 / 12.0 * (5.0 + 3.0 * t2 + eta2 - 9.0 * eta2 * t2)
    lat_terms += q2 * q2 / 360.0 * (61.0 + 90.0 * t2 + 45.0 * t2 * t2)
    lon_terms = 1.0 - q2 / 6.0 * (1.0 + 2.0 * t2 + eta2)
    lon_terms += q2 * q2 / 120.0 * (5.0 + 28.0 * t2 + 24.0 * t2 * t2 + eta2 * (6.0 + 8.0 * t2))
    lat = foot - 0.5 * v2 * math.tan(foot) * q2 * lat_terms
    return lat, q * lon_terms / math.cos(foot)


@njit(nogil=True)
def _round_seconds(angle_rad: float) -> float:
    """Round an angle to a millionth of a second of arc."""
    return round(angle_rad * RHO_SECONDS * 1e6) / 1e6 / RHO_SECONDS


@njit(nogil=True)
def _trapezoid(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """Signed area between an edge and the reference meridian, square metres."""
    half = 0.5 * (lat2 - lat1)
    mid = 0.5 * (lat1 + lat2)
    series = _A * math.sin(half) * math.cos(mid)
    series -= _B * math.sin(3.0 * half) * math.cos(3.0 * mid)
    series += _C * math.sin(5.0 * half) * math.cos(5.0 * mid)
    series -= _D * math.sin(7.0 * half) * math.cos(7.0 * mid)
    series += _E * math.sin(9.0 * half) * math.cos(9.0 * mid)
    return SEMI_MINOR_M * SEMI_MINOR_M * (lon1 + lon2) * series


@njit(nogil=True)
def inverse_gauss_kruger(
    northing_m: FloatArray, offset_m: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Geographic coordinates of Gauss-Krueger plane coordinates on CGCS2000.

    Parameters
    ----------
    northing_m : ndarray of float64, shape (n,)
        Distance from the equator, metres.
    offset_m : ndarray of float64, shape (n,)
        Easting without zone prefix and false easting, metres.

    Returns
    -------
    lat_rad, dlon_rad : ndarray of float64, shape (n,)
        Latitude, and longitude relative to the central meridian, radians.

    Notes
    -----
    Within 150 km of the meridian the series agrees with PROJ to 2e-11 rad.
    """
    lat = np.empty(northing_m.size)
    dlon = np.empty(northing_m.size)
    for i in range(northing_m.size):
        lat[i], dlon[i] = _inverse(northing_m[i], offset_m[i])
    return lat, dlon


@njit(nogil=True)
def _edge_area_gk(x1: float, y1: float, x2: float, y2: float) -> float:
    """Signed trapezoid of one plane edge, cut into pieces of at most 70 m."""
    length = math.hypot(x2 - x1, y2 - y1)
    extra = int(length / MAX_EDGE_M) if length > MAX_EDGE_M else 0
    lat1, lon1 = _inverse(x1, y1)
    lat1, lon1 = _round_seconds(lat1), _round_seconds(lon1)
    area = 0.0
    for k in range(1, extra + 2):
        x, y = x2, y2
        if k <= extra:
            share = k / (extra + 1)
            x = round((x1 + (x2 - x1) * share) * 1e6) / 1e6
            y = round((y1 + (y2 - y1) * share) * 1e6) / 1e6
        lat2, lon2 = _inverse(x, y)
        lat2, lon2 = _round_seconds(lat2), _round_seconds(lon2)
        area += _trapezoid(lat1, lon1, lat2, lon2)
        lat1, lon1 = lat2, lon2
    return area


@njit(nogil=True)
def ring_areas_gk_m2(
    northing_m: FloatArray, offset_m: FloatArray, ring_starts: IntArray
) -> FloatArray:
    """Official ellipsoidal area of rings in Gauss-Krueger coordinates.

    Parameters
    ----------
    northing_m, offset_m : ndarray of float64, shape (n,)
        Vertices of all closed rings, one after the other, metres; ``offset_m`` is the easting
        without zone prefix and false easting. Both already rounded to 4 decimals.
    ring_starts : ndarray of int64, shape (rings + 1,)
        Index of the first vertex of each ring, and the number of vertices at the end.

    Returns
    -------
    ndarray of float64, shape (rings,)
        Unsigned area of each ring, square metres, not rounded.

    Notes
    -----
    Edges longer than 70 m get ``int(length / 70)`` evenly spaced points with 6 decimals;
    latitude and longitude are rounded to 1e-6 seconds, as the survey's quality check does.
    """
    areas = np.zeros(ring_starts.size - 1)
    for ring in range(areas.size):
        total = 0.0
        for i in range(ring_starts[ring], ring_starts[ring + 1] - 1):
            j = i + 1
            total += _edge_area_gk(northing_m[i], offset_m[i], northing_m[j], offset_m[j])
        areas[ring] = abs(total)
    return areas


@njit(nogil=True)
def ring_areas_geographic_m2(
    lat_deg: FloatArray, lon_deg: FloatArray, ring_starts: IntArray
) -> FloatArray:
    """Official ellipsoidal area of rings in geographic coordinates, vertices used directly.

    Parameters
    ----------
    lat_deg, lon_deg : ndarray of float64, shape (n,)
        Vertices of all closed rings, one after the other, degrees.
    ring_starts : ndarray of int64, shape (rings + 1,)
        Index of the first vertex of each ring, and the number of vertices at the end.

    Returns
    -------
    ndarray of float64, shape (rings,)
        Unsigned area of each ring, square metres, not rounded.

    Notes
    -----
    The reference meridian is the one of a ring's first vertex; any other gives the same area.
    """
    areas = np.zeros(ring_starts.size - 1)
    for ring in range(areas.size):
        start, stop = ring_starts[ring], ring_starts[ring + 1]
        total = 0.0
        for i in range(start, stop - 1):
            lat1 = _round_seconds(math.radians(lat_deg[i]))
            lat2 = _round_seconds(math.radians(lat_deg[i + 1]))
            lon1 = _round_seconds(math.radians(lon_deg[i] - lon_deg[start]))
            lon2 = _round_seconds(math.radians(lon_deg[i + 1] - lon_deg[start]))
            total += _trapezoid(lat1, lon1, lat2, lon2)
        areas[ring] = abs(total)
    return areas
