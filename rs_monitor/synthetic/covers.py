"""From survey class to synthetic ground: perennial covers, soils and mixes of materials."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from rs_monitor.synthetic.crops import Plan, crop_plan
from rs_monitor.synthetic.phenology import CoverBook, Perennial, Window
from rs_monitor.synthetic.spectra import varied

# green, dry, cover, green min, green max, start, days, end, days (of the year)
_PERENNIALS: Final[dict[str, Perennial]] = {
    "evergreen": Perennial("evergreen", "branches", 0.93, 0.80, 0.92, 105, 14, 315, 16),
    "deciduous": Perennial("deciduous", "branches", 0.90, 0.14, 0.90, 96, 7, 318, 9),
    "bamboo": Perennial("bamboo", "branches", 0.92, 0.76, 0.92, 128, 10, 320, 18),
    "shrub": Perennial("shrub", "branches", 0.84, 0.34, 0.80, 100, 10, 308, 12),
    "citrus": Perennial("fruit_trees", "dry_grass", 0.84, 0.56, 0.76, 105, 16, 308, 16),
    "peach": Perennial("fruit_trees", "dry_grass", 0.82, 0.24, 0.78, 92, 8, 305, 11),
    "tea": Perennial("tea", "branches", 0.82, 0.60, 0.76, 98, 14, 315, 16),
    "grass": Perennial("grass", "dry_grass", 0.86, 0.12, 0.66, 104, 12, 292, 14),
    "idle": Perennial("weeds", "dry_grass", 0.55, 0.08, 0.40, 112, 14, 288, 14),
    "sparse": Perennial("weeds", "dry_grass", 0.20, 0.02, 0.14, 116, 14, 285, 14),
    "abandoned": Perennial("weeds", "dry_grass", 0.78, 0.08, 0.56, 142, 15, 286, 14),
    "young_orchard": Perennial("fruit_trees", "dry_grass", 0.60, 0.39, 0.50, 105, 14, 308, 16),
    "garden": Perennial("evergreen", "dry_grass", 0.80, 0.45, 0.75, 98, 12, 312, 14),
}


class Mix(NamedTuple):
    """Materials of a built or worked place, laid in blocks."""

    block_cells: int
    weights: dict[str, float]


MIXES: Final[dict[str, Mix]] = {
    "town": Mix(
        5,
        {
            "grey_roof": 0.22,
            "concrete": 0.20,
            "red_tile": 0.10,
            "dark_roof": 0.12,
            "white_roof": 0.05,
            "asphalt": 0.15,
            "garden": 0.16,
        },
    ),
    "hamlet": Mix(
        4,
        {
            "grey_roof": 0.16,
            "concrete": 0.20,
            "red_tile": 0.20,
            "dark_roof": 0.16,
            "blue_roof": 0.03,
            "garden": 0.25,
        },
    ),
    "factory": Mix(
        9,
        {
            "blue_roof": 0.26,
            "white_roof": 0.12,
            "grey_roof": 0.24,
            "concrete": 0.28,
            "asphalt": 0.06,
            "garden": 0.04,
        },
    ),
    "quarry": Mix(9, {"rock": 0.40, "pale_rock": 0.18, "quarry_floor": 0.30, "subsoil": 0.12}),
    "greenhouse": Mix(4, {"plastic": 0.80, "gap": 0.20}),
}
_VARIANTS: Final = 5
_SOILS: Final = {"0101": "paddy_soil", "0102": "brown_soil", "0103": "yellow_soil"}


def perennial(name: str, rng: np.random.Generator) -> Perennial:
    """Draw one individual of a perennial synthetic cover.

    Parameters
    ----------
    name : str
        Kind of cover, such as 'evergreen', 'grass' or 'abandoned'.
    rng : numpy.random.Generator
        Source of dates and density.

    Returns
    -------
    Perennial
        The cover with its own density and dates.
    """
    mean = _PERENNIALS[name]
    density = float(np.clip(rng.normal(1.0, 0.08), 0.78, 1.10))
    early, late = rng.normal(0.0, 5.0, size=2)
    return mean._replace(
        cover=min(mean.cover * density, 0.97),
        green_min=mean.green_min * density,
        green_max=mean.green_max * density,
        start_doy=mean.start_doy + early,
        end_doy=mean.end_doy + late,
    )


def add_perennial(book: CoverBook, name: str, soil: str, rng: np.random.Generator) -> int:
    """Add a piece of ground with a perennial cover to the book; returns its label."""
    vigour = np.clip(rng.normal(1.0, 0.035, size=2), 0.9, 1.1)
    return book.add(
        varied(soil, rng),
        perennial=perennial(name, rng),
        wetting=0.6,
        vigour=(float(vigour[0]), float(vigour[1])),
    )


def add_still(book: CoverBook, material: str, rng: np.random.Generator, spread: float) -> int:
    """Add ground that no season changes (water, roads) to the book; returns its label."""
    return book.add(varied(material, rng, spread=spread), wetting=0.15)


def add_field(
    book: CoverBook,
    code: str,
    plan: Plan,
    rng: np.random.Generator,
    windows: tuple[Window, ...] = (),
) -> int:
    """Add a field with its crop plan and what lies on it to the book; returns its label."""
    soil = varied(_SOILS[code], rng, spread=0.12)
    return book.add(soil, cycles=tuple(plan.values()), windows=windows, wetting=1.0)


def draw_plan(code: str, rng: np.random.Generator) -> Plan | None:
    """Crop plan of an arable class, None for any other class."""
    return crop_plan(rng, code) if code in _SOILS else None


def add_cover(book: CoverBook, code: str, rng: np.random.Generator) -> int:
    """Add a parcel of a non-arable class without a material mix; returns its label."""
    if code in _STILL:
        material, spread = _STILL[code]
        return add_still(book, material, rng, spread)
    choices, weights, soil = _GREEN[code]
    return add_perennial(book, str(rng.choice(choices, p=weights)), soil, rng)


def add_materials(book: CoverBook, rng: np.random.Generator) -> dict[str, list[int]]:
    """Add several individuals of every material of the mixes; returns their labels."""
    names = sorted({name for mix in MIXES.values() for name in mix.weights})
    return {name: [_add_material(book, name, rng) for _ in range(_VARIANTS)] for name in names}


def _add_material(book: CoverBook, name: str, rng: np.random.Generator) -> int:
    if name == "garden":
        return add_perennial(book, "garden", "brown_soil", rng)
    if name == "gap":
        return add_perennial(book, "idle", "brown_soil", rng)
    if name == "plastic":
        under = perennial("garden", rng)._replace(cover=0.22, green_min=0.08, green_max=0.20)
        return book.add(varied("plastic", rng, spread=0.07), perennial=under)
    return add_still(book, name, rng, 0.09)


_STILL: Final = {
    "1003": ("asphalt", 0.06),
    "1004": ("asphalt", 0.08),
    "1006": ("concrete", 0.08),
    "1101": ("turbid_water", 0.10),
    "1104": ("clear_water", 0.25),
}
_GREEN: Final[dict[str, tuple[list[str], list[float], str]]] = {
    "0201": (["citrus", "peach", "young_orchard"], [0.42, 0.36, 0.22], "yellow_soil"),
    "0202": (["tea"], [1.0], "yellow_soil"),
    "0301": (["evergreen", "deciduous"], [0.55, 0.45], "brown_soil"),
    "0302": (["bamboo"], [1.0], "brown_soil"),
    "0305": (["shrub"], [1.0], "yellow_soil"),
    "0307": (["deciduous"], [1.0], "brown_soil"),
    "0404": (["grass"], [1.0], "brown_soil"),
    "1201": (["idle"], [1.0], "brown_soil"),
    "1206": (["sparse"], [1.0], "bare_land"),
}
MIX_OF_CODE: Final = {
    "0601": "factory",
    "0602": "quarry",
    "0701": "town",
    "0702": "hamlet",
    "1202": "greenhouse",
}
