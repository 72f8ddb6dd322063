"""Crop plans: what a synthetic field carries in each season of 2024 and 2025.

Everything here is synthetic; dates follow the lower Yangtze (wheat or rape in winter, rice, maize
or soy in summer).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from rs_monitor.synthetic.phenology import Cycle

SEASONS: Final = ("w24", "s24", "w25", "s25", "w26")
_YEAR_START: Final = {"w24": 0.0, "s24": 0.0, "w25": 366.0, "s25": 366.0, "w26": 731.0}

Plan = dict[str, Cycle]


def crop_plan(rng: np.random.Generator, code: str) -> Plan:
    """Draw the synthetic crop plan of one field.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of crops, dates and vigour.
    code : str
        Survey class: '0101' paddy, '0102' irrigated, '0103' dry land.

    Returns
    -------
    dict of str to Cycle
        One cycle per season; a fallow winter carries weeds that are ploughed in.

    Notes
    -----
    Crops rotate between years and some winters are fallow; every field has at least one real crop
    a year.
    """
    habit = rng.normal(0.0, 4.0)
    summer = _summer_habit(rng, code)
    plan: Plan = {}
    for season in SEASONS:
        shift = _YEAR_START[season] + habit + rng.normal(0.0, 3.0)
        vigour = float(np.clip(rng.normal(0.98, 0.08), 0.76, 1.12))
        kind = _winter(rng, code, summer) if season.startswith("w") else _rotate(rng, summer)
        cycle = _TEMPLATES[kind]
        plan[season] = cycle._replace(cover=min(cycle.cover * vigour, 0.96)).moved(shift)
    if summer == "vegetables":
        plan |= _second_vegetables(plan)
    return plan


def new_field_plan(rng: np.random.Generator) -> Plan:
    """Draw the synthetic crops of a field made in winter 2024/25: first crop in 2025.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of crops, dates and vigour.

    Returns
    -------
    dict of str to Cycle
        The season 's25' and the following winter.
    """
    kind = str(rng.choice(["maize", "soy", "rice_late", "spring_maize"], p=[0.4, 0.25, 0.2, 0.15]))
    cycle = _TEMPLATES[kind].moved(366.0 + rng.normal(4.0, 4.0))
    return {
        "s25": cycle._replace(cover=cycle.cover * rng.uniform(0.86, 0.99)),
        "w26": _TEMPLATES["wheat"].moved(731.0 + rng.normal(0.0, 4.0)),
    }


def _summer_habit(rng: np.random.Generator, code: str) -> str:
    if code == "0101":
        return str(rng.choice(["rice_early", "rice_late"], p=[0.4, 0.6]))
    if code == "0102":
        return str(rng.choice(["maize", "soy", "vegetables"], p=[0.5, 0.3, 0.2]))
    return str(
        rng.choice(["maize", "soy", "spring_maize", "sweet_potato"], p=[0.4, 0.3, 0.15, 0.15])
    )


def _rotate(rng: np.random.Generator, habit: str) -> str:
    """Summer crop of one year: mostly the habit, sometimes the neighbour in the rotation."""
    if habit.startswith("rice"):
        return habit if rng.random() < 0.93 else "soy"
    if habit in ("maize", "soy") and rng.random() < 0.3:
        return "soy" if habit == "maize" else "maize"
    return habit


def _winter(rng: np.random.Generator, code: str, summer: str) -> str:
    if summer in ("rice_early", "spring_maize"):
        return str(rng.choice(["rape_early", "winter_weeds"], p=[0.35, 0.65]))
    if code == "0101":
        return str(rng.choice(["wheat", "rape", "winter_weeds"], p=[0.55, 0.2, 0.25]))
    return str(rng.choice(["wheat", "rape", "winter_weeds"], p=[0.62, 0.25, 0.13]))


def _second_vegetables(plan: Plan) -> Plan:
    """Vegetable fields carry an autumn crop after the summer crop, in both years."""
    return {
        f"{season}_autumn": plan[season]._replace(
            rise1=plan[season].harvest + 28.0,
            rise2=plan[season].harvest + 28.0,
            senescence=plan[season].harvest + 85.0,
            harvest=plan[season].harvest + 78.0,
        )
        for season in ("s24", "s25")
    }


# crop, cover, rise1, days, share1, rise2, days, senescence, days, harvest, flood start, flood end;
# days of the year of the harvest, negative in the autumn before
_TEMPLATES: Final[dict[str, Cycle]] = {
    "wheat": Cycle("wheat", 0.90, -35.0, 9.0, 0.32, 66.0, 8.0, 135.0, 4.5, 151.0),
    "rape": Cycle("rape", 0.88, -50.0, 8.0, 0.42, 60.0, 8.0, 129.0, 4.5, 144.0),
    "rape_early": Cycle("rape", 0.86, -55.0, 8.0, 0.45, 54.0, 7.0, 112.0, 4.0, 122.0),
    "winter_weeds": Cycle("weeds", 0.30, -20.0, 14.0, 0.35, 62.0, 10.0, 118.0, 9.0, 126.0),
    "rice_early": Cycle("rice", 0.92, 178.0, 6.5, 1.0, 178.0, 6.5, 252.0, 6.0, 270.0, 133.0, 176.0),
    "rice_late": Cycle("rice", 0.92, 198.0, 6.5, 1.0, 198.0, 6.5, 276.0, 6.0, 293.0, 158.0, 196.0),
    "maize": Cycle("maize", 0.88, 190.0, 6.0, 1.0, 190.0, 6.0, 262.0, 5.0, 275.0),
    "soy": Cycle("soy", 0.86, 196.0, 7.0, 1.0, 196.0, 7.0, 261.0, 4.5, 277.0),
    "spring_maize": Cycle("maize", 0.86, 138.0, 7.0, 1.0, 138.0, 7.0, 214.0, 5.5, 228.0),
    "sweet_potato": Cycle("soy", 0.84, 178.0, 9.0, 1.0, 178.0, 9.0, 290.0, 9.0, 301.0),
    "vegetables": Cycle("vegetables", 0.74, 128.0, 7.0, 1.0, 128.0, 7.0, 225.0, 12.0, 216.0),
}
