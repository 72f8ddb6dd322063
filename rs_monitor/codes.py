"""Every coded value: classes, crosswalks, statuses, verdicts, colours.

No integer literal of a class appears anywhere else. In every coded raster 0 means nodata.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum

NODATA = 0
"""Value of a pixel that carries no class, in every coded raster."""

RGB = tuple[int, int, int]


class LandCover(IntEnum):
    """Monitor classes of a land-cover raster."""

    PADDY = 1
    UPLAND_CROP = 2
    ORCHARD = 3
    FOREST = 4
    SHRUB = 5
    GRASS = 6
    WETLAND = 7
    BUILT = 8
    ROAD = 9
    MINE = 10
    WATER = 11
    FACILITY_AGRI = 12
    BARE = 13


class Change(IntEnum):
    """Values of ``change.tif``; "not seen" is never "no change"."""

    NOT_SEEN = 0
    NO_CHANGE = 1
    CHANGE = 2


class TrainingDomain(IntEnum):
    """Whether a pixel looks like anything a classifier was trained on."""

    NOT_SEEN = 0
    INSIDE = 1
    OUTSIDE = 2


class LastingLoss(IntEnum):
    """Vegetation gone for built ground or earthwork; "cannot tell" is kept apart from both."""

    NOT_SEEN = 0
    NONE = 1
    LASTING = 2
    CANNOT_TELL = 3


class SlopeGrade(IntEnum):
    """Official slope grades of farmland (GDPDJB), flattest first; limits stand in the rules."""

    GRADE_1 = 1
    GRADE_2 = 2
    GRADE_3 = 3
    GRADE_4 = 4
    GRADE_5 = 5


class SlopeLimit(IntEnum):
    """A slope held against one limit, given what the elevation model is worth."""

    UNKNOWN = 0
    BELOW = 1
    BORDERLINE = 2
    ABOVE = 3


class Motion(IntEnum):
    """What a displacement rate says; of a line of sight, down is away from the sensor."""

    NOT_SEEN = 0
    STILL = 1
    DOWN = 2
    UP = 3


class AlertStatus(IntEnum):
    """Where a watched pixel stands; "not observed" is never "no change"."""

    NOT_OBSERVED = 0
    NO_CHANGE = 1
    FIRST = 2
    PROVISIONAL = 3
    CONFIRMED = 4
    FINISHED = 5
    RESET = 6
    NO_BASELINE = 7


class BreakStatus(IntEnum):
    """What a series of looks says of a break; "not observed" is never "no change"."""

    NOT_OBSERVED = 0
    NO_CHANGE = 1
    CHANGE = 2
    NOT_FITTED = 3


class Sky(IntEnum):
    """What a look at a pixel shows, of a screened cube; ``CLEAR`` and ``DOUBTFUL`` are ground."""

    NOT_SEEN = 0
    CLEAR = 1
    CLOUD = 2
    CIRRUS = 3
    SHADOW = 4
    TERRAIN_SHADOW = 5
    SNOW = 6
    DOUBTFUL = 7
    UNDECIDED = 8


class ChangeKind(StrEnum):
    """What a changed patch looks like; an observation, never a verdict."""

    BUILDING = "building"
    EARTHWORK = "earthwork"
    ROAD = "road"
    POND = "pond"
    ORCHARD = "orchard"
    GREENHOUSE = "greenhouse"
    MINE = "mine"
    FOREST_CLEARING = "forest_clearing"
    ABANDONMENT = "abandonment"
    NEW_ARABLE = "new_arable"
    OTHER = "other"
    UNCLASSIFIED = "unclassified"


class Measurability(StrEnum):
    """What the sensor can say about a patch of this size."""

    MEASURED = "measured"
    DETECT_ONLY = "detect_only"
    CANNOT_DECIDE = "cannot_decide"


class Status(StrEnum):
    """Outcome of one rule for one patch, zone or claim."""

    PASS = "pass"
    FAIL = "fail"
    SUSPECTED = "suspected"
    INCONCLUSIVE = "inconclusive"
    NOT_EVALUATED = "not_evaluated"
    RECORDED = "recorded"


class Proposal(StrEnum):
    """What the decision table proposes for a patch; only a person turns it into a verdict."""

    NO_CHANGE = "no_change"
    LEGAL_CANDIDATE = "legal_candidate"
    SUSPECTED_ILLEGAL = "suspected_illegal"
    SUSPECTED = "suspected"
    OTHER_AGRI_FACILITY = "other_agri_facility"
    UNJUDGED = "unjudged"


class Verdict(StrEnum):
    """What a person may decide about a finding (``docs/domain`` B17 of the design study)."""

    NO_CHANGE = "no_change"
    LEGAL = "legal"
    ILLEGAL = "illegal"
    SUSPECTED_ILLEGAL = "suspected_illegal"
    OTHER_AGRI_FACILITY = "other_agri_facility"
    OTHER_TEMPORARY = "other_temporary"
    OTHER_RURAL_ROAD = "other_rural_road"
    FALSE_CHANGE = "false_change"
    UNJUDGED = "unjudged"


class LeftOut(StrEnum):
    """Why a surveyed parcel gives no training sample."""

    UNKNOWN_CODE = "unknown_code"
    NO_CLASS = "no_class"
    NOT_VISIBLE = "not_visible"
    NOT_SEPARABLE = "not_separable"
    INVALID_GEOMETRY = "invalid_geometry"
    OUTSIDE = "outside"
    OTHER_DATE = "other_date"
    TOO_NARROW = "too_narrow"
    OVERLAPPED = "overlapped"


class ClaimAnswer(StrEnum):
    """Answer to one claim of new arable land."""

    SUPPORTED = "SUPPORTED"
    CONTRADICTED = "CONTRADICTED"
    INCONCLUSIVE = "INCONCLUSIVE"


class AreaSource(StrEnum):
    """How the area of a claim was obtained."""

    SURVEYED = "surveyed"
    DESK = "desk"
    COEFFICIENT = "coefficient"


class Quantity(StrEnum):
    """What the numbers of a cube are."""

    REFLECTANCE = "reflectance"
    TOA = "toa"
    DN = "dn"
    INDEX = "index"


class CodeSystem(StrEnum):
    """Land-code systems; their codes collide, so a layer must name its own."""

    SURVEY3 = "survey3"
    GUIDE2023 = "guide2023"


@dataclass(frozen=True, slots=True)
class ClassStyle:
    """Name and colour of one value of a coded raster."""

    name: str
    zh: str
    rgb: RGB


LAND_COVER_STYLE: Mapping[int, ClassStyle] = {
    LandCover.PADDY: ClassStyle("paddy", "水田", (168, 213, 226)),
    LandCover.UPLAND_CROP: ClassStyle("upland_crop", "旱地水浇地", (245, 222, 120)),
    LandCover.ORCHARD: ClassStyle("orchard", "园地", (166, 206, 57)),
    LandCover.FOREST: ClassStyle("forest", "林地", (38, 115, 60)),
    LandCover.SHRUB: ClassStyle("shrub", "灌木林地", (120, 150, 70)),
    LandCover.GRASS: ClassStyle("grass", "草地", (196, 232, 148)),
    LandCover.WETLAND: ClassStyle("wetland", "湿地", (101, 205, 170)),
    LandCover.BUILT: ClassStyle("built", "建设用地", (214, 58, 58)),
    LandCover.ROAD: ClassStyle("road", "道路", (125, 125, 125)),
    LandCover.MINE: ClassStyle("mine", "采矿用地", (158, 108, 84)),
    LandCover.WATER: ClassStyle("water", "水域", (52, 120, 200)),
    LandCover.FACILITY_AGRI: ClassStyle("facility_agri", "设施农用地", (222, 170, 226)),
    LandCover.BARE: ClassStyle("bare", "裸地", (226, 200, 170)),
}

CHANGE_STYLE: Mapping[int, ClassStyle] = {
    Change.NO_CHANGE: ClassStyle("no_change", "无变化", (235, 235, 225)),
    Change.CHANGE: ClassStyle("change", "变化", (208, 28, 44)),
}

TRAINING_DOMAIN_STYLE: Mapping[int, ClassStyle] = {
    TrainingDomain.INSIDE: ClassStyle("inside_training_data", "训练样本范围内", (225, 225, 215)),
    TrainingDomain.OUTSIDE: ClassStyle("outside_training_data", "训练样本范围外", (148, 70, 170)),
}

LASTING_LOSS_STYLE: Mapping[int, ClassStyle] = {
    LastingLoss.NONE: ClassStyle("none", "无", (235, 235, 225)),
    LastingLoss.LASTING: ClassStyle("lasting_loss", "持久性植被丧失", (178, 24, 43)),
    LastingLoss.CANNOT_TELL: ClassStyle("cannot_tell", "无法判断", (240, 190, 90)),
}

SLOPE_GRADE_STYLE: Mapping[int, ClassStyle] = {
    SlopeGrade.GRADE_1: ClassStyle("grade_1", "一级坡度", (56, 148, 72)),
    SlopeGrade.GRADE_2: ClassStyle("grade_2", "二级坡度", (166, 217, 106)),
    SlopeGrade.GRADE_3: ClassStyle("grade_3", "三级坡度", (255, 240, 160)),
    SlopeGrade.GRADE_4: ClassStyle("grade_4", "四级坡度", (253, 160, 82)),
    SlopeGrade.GRADE_5: ClassStyle("grade_5", "五级坡度", (205, 48, 38)),
}

SLOPE_LIMIT_STYLE: Mapping[int, ClassStyle] = {
    SlopeLimit.BELOW: ClassStyle("below", "未超限", (170, 210, 170)),
    SlopeLimit.BORDERLINE: ClassStyle("borderline", "临界", (250, 225, 120)),
    SlopeLimit.ABOVE: ClassStyle("above", "超限", (200, 60, 50)),
}

MOTION_STYLE: Mapping[int, ClassStyle] = {
    Motion.STILL: ClassStyle("still", "稳定", (225, 225, 215)),
    Motion.DOWN: ClassStyle("down", "下沉", (178, 24, 43)),
    Motion.UP: ClassStyle("up", "抬升", (33, 102, 172)),
}

CROPLAND = frozenset({LandCover.PADDY, LandCover.UPLAND_CROP})
WOODY = frozenset({LandCover.FOREST, LandCover.SHRUB})
SEALED = frozenset({LandCover.BUILT, LandCover.ROAD})

NOT_SEPARABLE: tuple[frozenset[LandCover], ...] = (
    frozenset({LandCover.PADDY, LandCover.UPLAND_CROP}),
    frozenset({LandCover.FOREST, LandCover.SHRUB}),
    frozenset({LandCover.FOREST, LandCover.ORCHARD}),
    frozenset({LandCover.BUILT, LandCover.ROAD}),
    frozenset({LandCover.WATER, LandCover.WETLAND}),
)
"""Classes that one optical sensor at 10-30 m does not tell apart; never a finding by themselves."""

NOT_VISIBLE_CODES: Mapping[CodeSystem, frozenset[str]] = {
    CodeSystem.SURVEY3: frozenset({"1203"}),
    CodeSystem.GUIDE2023: frozenset({"2303"}),
}
"""Field ridges: known from coefficients or measurement only."""

AMBIGUOUS_CODES: Mapping[CodeSystem, frozenset[str]] = {
    CodeSystem.SURVEY3: frozenset({"0304", "0306"}),
    CodeSystem.GUIDE2023: frozenset({"0501", "0502"}),
}
"""Swamp under trees and under shrubs: the crosswalk names two monitor classes for each."""

_SURVEY3_TO_COVER: Mapping[str, LandCover] = {
    "0101": LandCover.PADDY,
    "0102": LandCover.UPLAND_CROP,
    "0103": LandCover.UPLAND_CROP,
    "0201": LandCover.ORCHARD,
    "0202": LandCover.ORCHARD,
    "0203": LandCover.ORCHARD,
    "0204": LandCover.ORCHARD,
    "0301": LandCover.FOREST,
    "0302": LandCover.FOREST,
    "0303": LandCover.FOREST,
    "0304": LandCover.FOREST,
    "0305": LandCover.SHRUB,
    "0306": LandCover.WETLAND,
    "0307": LandCover.FOREST,
    "0401": LandCover.GRASS,
    "0402": LandCover.WETLAND,
    "0403": LandCover.GRASS,
    "0404": LandCover.GRASS,
    "05H1": LandCover.BUILT,
    "0508": LandCover.BUILT,
    "0601": LandCover.BUILT,
    "0602": LandCover.MINE,
    "0701": LandCover.BUILT,
    "0702": LandCover.BUILT,
    "08H1": LandCover.BUILT,
    "08H2": LandCover.BUILT,
    "0809": LandCover.BUILT,
    "1001": LandCover.ROAD,
    "1002": LandCover.ROAD,
    "1003": LandCover.ROAD,
    "1004": LandCover.ROAD,
    "1005": LandCover.BUILT,
    "1006": LandCover.ROAD,
    "1007": LandCover.BUILT,
    "1008": LandCover.BUILT,
    "1101": LandCover.WATER,
    "1102": LandCover.WATER,
    "1103": LandCover.WATER,
    "1104": LandCover.WATER,
    "1105": LandCover.WETLAND,
    "1106": LandCover.WETLAND,
    "1107": LandCover.WATER,
    "1108": LandCover.WETLAND,
    "1202": LandCover.FACILITY_AGRI,
    "1204": LandCover.BARE,
    "1205": LandCover.BARE,
    "1206": LandCover.BARE,
    "1207": LandCover.BARE,
    "1303": LandCover.BARE,
}

_GUIDE2023_TO_COVER: Mapping[str, LandCover] = {
    "0101": LandCover.PADDY,
    "0102": LandCover.UPLAND_CROP,
    "0103": LandCover.UPLAND_CROP,
    "02": LandCover.ORCHARD,
    "0303": LandCover.SHRUB,
    "03": LandCover.FOREST,
    "04": LandCover.GRASS,
    "05": LandCover.WETLAND,
    "0507": LandCover.FOREST,
    "0501": LandCover.FOREST,
    "0601": LandCover.ROAD,
    "0602": LandCover.FACILITY_AGRI,
    "07": LandCover.BUILT,
    "08": LandCover.BUILT,
    "09": LandCover.BUILT,
    "1001": LandCover.BUILT,
    "1002": LandCover.MINE,
    "11": LandCover.BUILT,
    "1201": LandCover.ROAD,
    "1202": LandCover.ROAD,
    "1203": LandCover.BUILT,
    "1204": LandCover.BUILT,
    "1206": LandCover.ROAD,
    "1207": LandCover.ROAD,
    "1208": LandCover.BUILT,
    "17": LandCover.WATER,
    "2304": LandCover.BARE,
    "2305": LandCover.BARE,
    "2306": LandCover.BARE,
    "2307": LandCover.BARE,
}


def land_cover_of(code: str, system: CodeSystem) -> LandCover | None:
    """Monitor class of a survey land code; None where imagery has no such class.

    Parameters
    ----------
    code : str
        Land code (DLBM); the first four characters decide, suffixes ``A`` and ``K`` are refined
        forms of the same class.
    system : CodeSystem
        The code system the layer was delivered in.

    Returns
    -------
    LandCover or None
        None for classes that imagery cannot carry (field ridges, idle land, special land).

    Notes
    -----
    Crosswalk after TD/T 1055-2019 and the 2023 land and sea use guide; the longest matching
    prefix of the code decides.
    """
    table = _SURVEY3_TO_COVER if system is CodeSystem.SURVEY3 else _GUIDE2023_TO_COVER
    for length in (4, 2):
        found = table.get(code[:length])
        if found is not None:
            return found
    return None


def is_arable(code: str) -> bool:
    """Whether a land code is arable land (``01`` in both code systems)."""
    return code[:2] == "01"


def separable(one: LandCover, other: LandCover) -> bool:
    """Whether a difference between two monitor classes may count as a change."""
    return one != other and not any({one, other} <= pair for pair in NOT_SEPARABLE)
