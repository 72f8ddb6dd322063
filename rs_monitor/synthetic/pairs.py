"""Two synthetic scenes of one township: crops in rotation, and a few places built for good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import shapely
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from scipy import ndimage
from shapely import affinity

from rs_monitor.synthetic.noise import smooth_field, stream
from rs_monitor.synthetic.shapes import Ground, Mask, Outline, blob, quad, strip
from rs_monitor.synthetic.spectra import BANDS, spectrum, varied

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]

FINE: Final = 2
"""Cells of the painted ground along one side of a pixel."""

_GREEN: Final = ("wheat", "rice", "maize", "rape", "soy", "vegetables")
_SOILS: Final = ("paddy_soil", "brown_soil", "yellow_soil")
_LOTS: Final = ("grey_roof", "dark_roof", "red_tile", "white_roof", "concrete", "asphalt", "grass")
_WORKS: Final = ("grey_roof", "blue_roof", "white_roof", "concrete", "concrete", "asphalt")
_EARTH: Final = ("subsoil", "red_subsoil", "bare_land")
_KINDS: Final = ((quad, 0.5, _WORKS), (strip, 0.2, _WORKS[3:]), (blob, 0.3, _EARTH))
_STANDS: Final = {
    "plants": (("evergreen", "dry_grass"), ("deciduous", "branches"), ("grass", "dry_grass")),
    "water": (("clear_water", "turbid_water"), ("turbid_water", "muddy_water")),
    "road": (("asphalt", "concrete"),),
}
_HAZE: Final = np.array([0.050, 0.037, 0.027, 0.014, 0.004, 0.002], dtype=np.float32)


@dataclass(frozen=True)
class PairSpec:
    """What a synthetic pair looks like.

    Attributes
    ----------
    seed : int
        Of every random number.
    changing_share : float
        Share of the fields whose state differs between the two dates, 0 to 1.
    bands : tuple of str
        Some of `rs_monitor.synthetic.spectra.BANDS`, in that order.
    size_px : int
        Rows and columns.
    resolution_m : float
        Pixel size.
    built_share : float
        Share of the ground built or dug between the dates, about.
    misregistration_px : float
        Distance by which the later scene lies beside the earlier.
    field_side_m : float
        Side of a field, about.
    vigour : float
        Spread of the plant cover of a stand or field that stays what it is.
    """

    seed: int
    changing_share: float = 0.5
    bands: tuple[str, ...] = BANDS
    size_px: int = 240
    resolution_m: float = 30.0
    built_share: float = 0.02
    misregistration_px: float = 0.2
    field_side_m: float = 200.0
    vigour: float = 0.1


class Pair(NamedTuple):
    """Two scenes and their truth.

    Attributes
    ----------
    before, after : DataArray, (band, y, x), float32
        Digital numbers 0-255, each date and band with a gain and an offset of its own.
    truth : Dataset, (y, x), bool
        ``change`` (crop or works), ``crop_change``, ``works``, ``lasting_loss`` (works where
        plants stood before), each where more than half of the pixel is meant; ``mixed`` marks
        pixels that are neither wholly changed nor wholly unchanged.
    """

    before: xr.DataArray
    after: xr.DataArray
    truth: xr.Dataset


def synthetic_pair(spec: PairSpec) -> Pair:
    """Paint a township twice and look at it with two uncalibrated sensors.

    Parameters
    ----------
    spec : PairSpec
        What to paint.

    Returns
    -------
    Pair
        Scenes and truth; the same specification gives the same numbers.

    Notes
    -----
    Everything is synthetic: fields in strips that carry a crop, bare or straw-covered soil or
    standing water, in either direction of change; woods and grass with a mild season; villages
    of mixed lots, roads and water that stay; new blocks, roads and earthworks of 0.3 to 6 ha.
    """
    painter = _Painter(spec)
    grounds, fine_truth = painter.paint()
    before = painter.look(grounds[0], 0, (0.0, 0.0))
    turn = stream(spec.seed, 7).uniform(0.0, 2.0 * np.pi)
    shift = spec.misregistration_px * np.array([np.sin(turn), np.cos(turn)])
    after = painter.look(grounds[1], 1, (float(shift[0]), float(shift[1])))
    return Pair(before, after, painter.truth(fine_truth))


class _Painter:
    """Ground of one pair on the fine grid."""

    def __init__(self, spec: PairSpec) -> None:
        self.spec = spec
        self.cell_m = spec.resolution_m / FINE
        side = spec.size_px * FINE
        self.shape = (side, side)
        north = side * self.cell_m
        transform = Affine(self.cell_m, 0.0, 0.0, 0.0, -self.cell_m, north)
        self.ground = Ground(GeoBox(self.shape, transform, "EPSG:32650"))
        self.angle_deg = float(stream(spec.seed, 0).uniform(-20.0, 20.0))
        pixel = Affine(spec.resolution_m, 0.0, 0.0, 0.0, -spec.resolution_m, north)
        self.geobox = GeoBox((spec.size_px, spec.size_px), pixel, "EPSG:32650")

    def paint(self) -> tuple[tuple[Floats, Floats], dict[str, Mask]]:
        """Reflectance (6, y, x) of both dates, and the truth on the fine grid."""
        before, after, crop_change, green_before = self._fields()
        for outlines, materials, change in self._lasting_covers():
            self._lay(before, after, outlines, materials, change)
            crop_change &= ~outlines
            green_before = np.where(outlines, materials == "plants", green_before)
        lots, lot_green = self._villages()
        villages = lots >= 0
        self._lots(before, lots, lot_green, after)
        crop_change &= ~villages
        green_before &= ~villages
        works = self._works(after, villages)
        crop_change &= ~works
        texture = self._texture()
        truth = {
            "change": crop_change | works,
            "crop_change": crop_change,
            "works": works,
            "lasting_loss": works & green_before,
        }
        return (before * texture[0], after * texture[1]), truth

    def _fields(self) -> tuple[Floats, Floats, Mask, Mask]:
        rng = stream(self.spec.seed, 1)
        fields = self._parcels(rng, self.spec.field_side_m)
        calendar = _Calendar(rng, int(fields.max()) + 1, self.spec.changing_share, self.spec.vigour)
        before, after = calendar.spectra()
        return (
            np.ascontiguousarray(before[fields].transpose(2, 0, 1)),
            np.ascontiguousarray(after[fields].transpose(2, 0, 1)),
            calendar.changes[fields],
            (calendar.states[0] == 0)[fields],
        )

    def _parcels(self, rng: np.random.Generator, side_m: float) -> Labels:
        """Numbers of strips cut into pieces, in a turned frame."""
        rows, columns = np.indices(self.shape, dtype=np.float32) * self.cell_m
        angle = np.deg2rad(self.angle_deg)
        along = rows * np.cos(angle) + columns * np.sin(angle)
        across = columns * np.cos(angle) - rows * np.sin(angle)
        low, high = along.min(), along.max()
        cuts = low + np.cumsum(side_m * rng.uniform(0.5, 1.5, int((high - low) / side_m * 2) + 2))
        strips = np.searchsorted(cuts, along)
        # every strip is cut at places of its own: the frame is shifted strip by strip
        moved = across - across.min() + rng.uniform(0.0, side_m, strips.max() + 1)[strips]
        pieces = np.cumsum(side_m * rng.uniform(0.6, 1.8, int(moved.max() / side_m * 2) + 2))
        number = strips * (len(pieces) + 1) + np.searchsorted(pieces, moved)
        return np.unique(number, return_inverse=True)[1].reshape(self.shape).astype(np.int32)

    def _burn_shapes(
        self,
        rng: np.random.Generator,
        outline: Outline,
        share: float,
        low_ha: float,
        high_ha: float,
    ) -> Mask:
        """Cells of random shapes that cover about a share of the ground."""
        extent_m = self.shape[0] * self.cell_m
        target, total, shapes = share * extent_m**2, 0.0, []
        while total < target:
            area = float(np.exp(rng.uniform(np.log(low_ha), np.log(high_ha)))) * 1e4
            area = min(area, 0.1 * extent_m**2)
            shape = outline(rng, area, self.angle_deg)
            shapes.append(affinity.translate(shape, *rng.uniform(0.0, extent_m, size=2)))
            total += area
        return self.ground.burn(shapes)

    def _river(self, rng: np.random.Generator) -> Mask:
        extent = self.shape[0] * self.cell_m
        x = np.linspace(0.0, extent, 12)
        y = extent * rng.uniform(0.2, 0.8) + np.cumsum(rng.normal(0.0, 0.05 * extent, 12))
        line = shapely.LineString(np.column_stack([x, y]))
        return self.ground.burn([line.buffer(max(25.0, self.spec.resolution_m))])

    def _lasting_covers(self) -> list[tuple[Mask, str, float]]:
        """Outlines, what they are and how much the season changes them."""
        rng = stream(self.spec.seed, 2)
        season = float(rng.uniform(-0.35, 0.35))
        roads = self.ground.burn(self._road_lines(rng))
        return [
            (self._burn_shapes(rng, blob, 0.12, 4.0, 40.0), "plants", season),
            (self._burn_shapes(rng, blob, 0.03, 1.0, 6.0), "plants", season),
            (self._burn_shapes(rng, blob, 0.03, 0.5, 8.0) | self._river(rng), "water", 0.0),
            (roads, "road", 0.0),
        ]

    def _road_lines(self, rng: np.random.Generator) -> list[shapely.Polygon]:
        extent = self.shape[0] * self.cell_m
        lines = []
        for k in range(4):
            offset = rng.uniform(0.1, 0.9) * extent
            ends = [(-0.2 * extent, offset), (1.2 * extent, offset)]
            line = shapely.LineString(ends if k % 2 else [(y, x) for x, y in ends])
            turned = affinity.rotate(line, self.angle_deg, origin=(extent / 2, extent / 2))
            lines.append(turned.buffer(rng.uniform(6.0, 12.0)))
        return lines

    def _lay(self, before: Floats, after: Floats, cells: Mask, what: str, season: float) -> None:
        """Paint a cover that stays, in stands of their own mixture."""
        rng = stream(self.spec.seed, 3, int(cells.sum()))
        stands = self._parcels(rng, 150.0)
        names = {
            "plants": (
                ("evergreen", "dry_grass"),
                ("deciduous", "branches"),
                ("grass", "dry_grass"),
            ),
            "water": (("clear_water", "turbid_water"), ("turbid_water", "muddy_water")),
            "road": (("asphalt", "concrete"),),
        }[what]
        count = int(stands.max()) + 1
        kind = rng.integers(0, len(names), count)
        share = rng.uniform(0.0, 0.4, count)
        ends = np.array(
            [[varied(a, rng, spread=0.05), varied(b, rng, spread=0.05)] for a, b in names]
        )
        # evergreen stands do not follow the season
        swing = np.where((what == "plants") & (kind == 0), 0.0, season)
        if what == "plants":
            swing = swing + rng.normal(0.0, self.spec.vigour, count)
        for image, move in ((before, 0.0), (after, 1.0)):
            dry = np.clip(share + move * swing, 0.0, 1.0)[:, None]
            colours = ends[kind, 0] * (1.0 - dry) + ends[kind, 1] * dry
            image[:, cells] = colours[stands[cells]].T

    def _villages(self) -> tuple[Labels, npt.NDArray[np.intp]]:
        rng = stream(self.spec.seed, 4)
        cells = self._burn_shapes(rng, blob, 0.07, 1.0, 30.0)
        lots = self._parcels(rng, 30.0)
        material = rng.integers(0, len(_LOTS), int(lots.max()) + 1)
        return np.where(cells, lots, -1).astype(np.int32), material

    def _lots(
        self, before: Floats, lots: Labels, material: npt.NDArray[np.intp], after: Floats
    ) -> None:
        rng = stream(self.spec.seed, 5)
        colours = np.array([varied(_LOTS[m], rng, spread=0.12) for m in material])
        cells = lots >= 0
        before[:, cells] = after[:, cells] = colours[lots[cells]].T

    def _works(self, after: Floats, villages: Mask) -> Mask:
        """New blocks, roads and earthworks outside villages and water."""
        rng = stream(self.spec.seed, 6)
        water = after[3] < after[1]
        share = self.spec.built_share
        every = np.zeros(self.shape, dtype=bool)
        lots = self._parcels(rng, 45.0)
        for outline, part, materials in (
            (quad, 0.5, _WORKS),
            (strip, 0.2, _WORKS[3:]),
            (blob, 0.3, _EARTH),
        ):
            cells = self._burn_shapes(rng, outline, part * share, 0.3, 6.0)
            cells &= ~(every | villages | water)
            count = int(lots.max()) + 1
            if outline is blob:
                # an earthwork is one material over all of its ground, piled unevenly
                patches = ndimage.label(cells)[0]
                colours = self._colours(rng, materials, int(patches.max()) + 1, 0.08)[
                    patches[cells]
                ]
            else:
                colours = self._colours(rng, materials, count, 0.10)[lots[cells]]
            after[:, cells] = (colours * rng.normal(1.0, 0.06, (len(colours), 1))).T
            every |= cells
        return every

    @staticmethod
    def _colours(
        rng: np.random.Generator, materials: tuple[str, ...], count: int, spread: float
    ) -> Floats:
        return np.array(
            [varied(str(rng.choice(materials)), rng, spread=spread) for _ in range(count)]
        )

    def _texture(self) -> tuple[Floats, Floats]:
        """Brightness of every cell: relief and growth within the fields, mostly common to both."""
        rng = stream(self.spec.seed, 8)
        common = 0.05 * smooth_field(rng, self.shape, 12.0)
        common = common + 0.02 * rng.standard_normal(self.shape)
        each = [common + 0.04 * smooth_field(rng, self.shape, 20.0) for _ in range(2)]
        first, second = (np.exp(e).astype(np.float32) for e in each)
        return first, second

    def look(self, ground: Floats, date: int, shift_px: tuple[float, float]) -> xr.DataArray:
        """Blur, shift, average to pixels, add haze, and count in digital numbers."""
        rng = stream(self.spec.seed, 9, date)
        size = self.spec.size_px
        chosen = [BANDS.index(band) for band in self.spec.bands]
        haze = rng.uniform(0.0, 0.6) * np.clip(
            1.0 + 0.3 * smooth_field(rng, (size, size), 80.0), 0, 2
        )
        counts = np.empty((len(chosen), size, size), dtype=np.float32)
        for out, band in zip(counts, chosen, strict=True):
            smooth = ndimage.gaussian_filter(ground[band], 0.45 * FINE)
            smooth = ndimage.shift(smooth, [FINE * s for s in shift_px], order=1, mode="nearest")
            pixels = smooth.reshape(size, FINE, size, FINE).mean(axis=(1, 3))
            pixels = pixels + _HAZE[band] * haze + rng.normal(0.0, 0.003, pixels.shape)
            gain, offset = 300.0 * rng.uniform(0.7, 1.4), rng.uniform(0.0, 20.0)
            out[:] = np.clip(np.round(gain * pixels + offset), 0.0, 255.0)
        coords = {**xr_coords(self.geobox, dims=("y", "x")), "band": list(self.spec.bands)}
        return xr.DataArray(counts, dims=("band", "y", "x"), coords=coords, name="counts")

    def truth(self, fine: dict[str, Mask]) -> xr.Dataset:
        """Majority of the fine cells."""
        size = self.spec.size_px
        coords = xr_coords(self.geobox, dims=("y", "x"))
        shares = {
            name: cells.reshape(size, FINE, size, FINE).mean(axis=(1, 3))
            for name, cells in fine.items()
        }
        layers = {name: (("y", "x"), share > 0.5) for name, share in shares.items()}
        near = ndimage.uniform_filter(shares["change"], 3)
        layers["mixed"] = (("y", "x"), (near > 1e-6) & (near < 1.0 - 1e-6))
        return xr.Dataset(layers, coords=coords)


class _Calendar:
    """State of every field at both dates: 0 green, 1 bare, 2 flooded."""

    def __init__(
        self, rng: np.random.Generator, count: int, changing_share: float, vigour: float
    ) -> None:
        self.rng, self.vigour = rng, vigour
        self.changes = rng.random(count) < changing_share
        green = rng.uniform(0.3, 0.7)
        first = rng.choice(3, size=count, p=[green, 0.92 - green, 0.08])
        other = np.array([[1, 2], [0, 2], [0, 1]])[first, (rng.random(count) < 0.12).astype(int)]
        self.states = (first, np.where(self.changes, other, first))
        self.soil = rng.choice(_SOILS, size=2)

    def spectra(self) -> tuple[Floats, Floats]:
        """Reflectance (field, band) at both dates."""
        count = len(self.changes)
        soil = np.array(
            [varied(str(self.rng.choice(self.soil)), self.rng, spread=0.08) for _ in range(count)]
        )
        crop = np.array([varied(str(self.rng.choice(_GREEN)), self.rng) for _ in range(count)])
        cover = self.rng.uniform(0.55, 0.95, count)
        dates = [self._date(state, soil, crop, cover) for state in self.states]
        return dates[0], dates[1]

    def _date(
        self,
        state: npt.NDArray[np.intp],
        soil: Floats,
        crop: Floats,
        cover: npt.NDArray[np.float64],
    ) -> Floats:
        count = len(state)
        wet = self.rng.uniform(0.75, 1.0, (count, 1)) ** np.array([1, 1, 1, 1, 1.4, 1.6])
        straw = np.where(self.rng.random(count) < 0.3, self.rng.uniform(0.1, 0.6, count), 0.0)[
            :, None
        ]
        bare = soil * wet * (1.0 - straw) + spectrum("straw") * straw
        plants = np.clip(cover + self.rng.normal(0.0, self.vigour, count), 0.4, 0.98)[:, None]
        green = crop * plants + soil * wet * (1.0 - plants)
        depth = self.rng.uniform(0.6, 1.0, count)[:, None]
        water = spectrum("muddy_water") * depth + soil * wet * (1.0 - depth)
        picked = np.stack([green, bare, water])[state, np.arange(count)]
        return np.asarray(picked, dtype=np.float32)
