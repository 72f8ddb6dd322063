"""The two land-code systems and the guard that tells them apart.

The third survey (TD/T 1055-2019) and the 2023 land and sea use guide give the same digits to
different classes: 0601 is industry in one and a rural road in the other.
"""

from __future__ import annotations

from collections.abc import Mapping

import geopandas as gpd
import pandas as pd

from rs_monitor.codes import CodeSystem
from rs_monitor.errors import LayerError

MIN_MATCH_SHARE = 0.95
"""Share of (code, name) pairs one dictionary must explain; fixed by the guard's definition."""

SURVEY3_NAMES: Mapping[str, str] = {
    "0101": "水田",
    "0102": "水浇地",
    "0103": "旱地",
    "0201": "果园",
    "0202": "茶园",
    "0203": "橡胶园",
    "0204": "其他园地",
    "0301": "乔木林地",
    "0302": "竹林地",
    "0303": "红树林地",
    "0304": "森林沼泽",
    "0305": "灌木林地",
    "0306": "灌丛沼泽",
    "0307": "其他林地",
    "0401": "天然牧草地",
    "0402": "沼泽草地",
    "0403": "人工牧草地",
    "0404": "其他草地",
    "05H1": "商业服务业设施用地",
    "0508": "物流仓储用地",
    "0601": "工业用地",
    "0602": "采矿用地",
    "0603": "盐田",
    "0701": "城镇住宅用地",
    "0702": "农村宅基地",
    "08H1": "机关团体新闻出版用地",
    "08H2": "科教文卫用地",
    "08H2A": "高教用地",
    "0809": "公用设施用地",
    "0810": "公园与绿地",
    "0810A": "广场用地",
    "09": "特殊用地",
    "1001": "铁路用地",
    "1002": "轨道交通用地",
    "1003": "公路用地",
    "1004": "城镇村道路用地",
    "1005": "交通服务场站用地",
    "1006": "农村道路",
    "1007": "机场用地",
    "1008": "港口码头用地",
    "1009": "管道运输用地",
    "1101": "河流水面",
    "1102": "湖泊水面",
    "1103": "水库水面",
    "1104": "坑塘水面",
    "1104A": "养殖坑塘",
    "1104K": "可调整养殖坑塘",
    "1105": "沿海滩涂",
    "1106": "内陆滩涂",
    "1107": "沟渠",
    "1107A": "干渠",
    "1108": "沼泽地",
    "1109": "水工建筑用地",
    "1110": "冰川及永久积雪",
    "1201": "空闲地",
    "1202": "设施农用地",
    "1203": "田坎",
    "1204": "盐碱地",
    "1205": "沙地",
    "1206": "裸土地",
    "1207": "裸岩石砾地",
    "1301": "临时用地",
    "1302": "光伏板区",
    "1303": "推土区",
    "1304": "拆除未尽区",
}

GUIDE2023_NAMES: Mapping[str, str] = {
    "01": "耕地",
    "0101": "水田",
    "0102": "水浇地",
    "0103": "旱地",
    "02": "园地",
    "0201": "果园",
    "0202": "茶园",
    "0203": "橡胶园地",
    "0204": "油料园地",
    "0205": "其他园地",
    "03": "林地",
    "0301": "乔木林地",
    "0302": "竹林地",
    "0303": "灌木林地",
    "0304": "其他林地",
    "04": "草地",
    "0401": "天然牧草地",
    "0402": "人工牧草地",
    "0403": "其他草地",
    "05": "湿地",
    "0501": "森林沼泽",
    "0502": "灌丛沼泽",
    "0503": "沼泽草地",
    "0504": "其他沼泽地",
    "0505": "沿海滩涂",
    "0506": "内陆滩涂",
    "0507": "红树林地",
    "06": "农业设施建设用地",
    "0601": "农村道路",
    "060101": "村道用地",
    "060102": "田间道",
    "0602": "设施农用地",
    "060201": "种植设施建设用地",
    "060202": "畜禽养殖设施建设用地",
    "060203": "水产养殖设施建设用地",
    "07": "居住用地",
    "0701": "城镇住宅用地",
    "0702": "城镇社区服务设施用地",
    "0703": "农村宅基地",
    "0704": "农村社区服务设施用地",
    "08": "公共管理与公共服务用地",
    "0801": "机关团体用地",
    "0802": "科研用地",
    "0803": "文化用地",
    "0804": "教育用地",
    "0805": "体育用地",
    "0806": "医疗卫生用地",
    "0807": "社会福利用地",
    "09": "商业服务业用地",
    "0901": "商业用地",
    "0902": "商务金融用地",
    "0903": "娱乐用地",
    "0904": "其他商业服务业用地",
    "10": "工矿用地",
    "1001": "工业用地",
    "1002": "采矿用地",
    "1003": "盐田",
    "11": "仓储用地",
    "1101": "物流仓储用地",
    "1102": "储备库用地",
    "12": "交通运输用地",
    "1201": "铁路用地",
    "1202": "公路用地",
    "1203": "机场用地",
    "1204": "港口码头用地",
    "1205": "管道运输用地",
    "1206": "城市轨道交通用地",
    "1207": "城镇村道路用地",
    "1208": "交通场站用地",
    "1209": "其他交通设施用地",
    "13": "公用设施用地",
    "1301": "供水用地",
    "1302": "排水用地",
    "1303": "供电用地",
    "1304": "供燃气用地",
    "1305": "供热用地",
    "1306": "通信用地",
    "1307": "邮政用地",
    "1308": "广播电视设施用地",
    "1309": "环卫用地",
    "1310": "消防用地",
    "1311": "水工设施用地",
    "1312": "其他公用设施用地",
    "14": "绿地与开敞空间用地",
    "1401": "公园绿地",
    "1402": "防护绿地",
    "1403": "广场用地",
    "15": "特殊用地",
    "1501": "军事设施用地",
    "1502": "使领馆用地",
    "1503": "宗教用地",
    "1504": "文物古迹用地",
    "1505": "监教场所用地",
    "1506": "殡葬用地",
    "1507": "其他特殊用地",
    "16": "留白用地",
    "17": "陆地水域",
    "1701": "河流水面",
    "1702": "湖泊水面",
    "1703": "水库水面",
    "1704": "坑塘水面",
    "1705": "沟渠",
    "1706": "冰川及常年积雪",
    "23": "其他土地",
    "2301": "空闲地",
    "2302": "后备耕地",
    "2303": "田坎",
    "2304": "盐碱地",
    "2305": "沙地",
    "2306": "裸土地",
    "2307": "裸岩石砾地",
}

NAMES_OF: Mapping[CodeSystem, Mapping[str, str]] = {
    CodeSystem.SURVEY3: SURVEY3_NAMES,
    CodeSystem.GUIDE2023: GUIDE2023_NAMES,
}

_ADJUSTABLE = "可调整"


def land_name_of(code: str, system: CodeSystem) -> str | None:
    """Official name of a land code, None when the system has no such code.

    Parameters
    ----------
    code : str
        Land code; a suffix ``A`` or ``K`` without a name of its own takes the class's name.
    system : CodeSystem
        The system the code is meant in.
    """
    names = NAMES_OF[system]
    return names.get(code) or names.get(code[:4]) if len(code) > 1 else None


def match_share(frame: gpd.GeoDataFrame, system: CodeSystem) -> float:
    """Share of rows whose (land_code, land_name) pair one code system explains, 0-1.

    Parameters
    ----------
    frame : GeoDataFrame
        With text columns ``land_code`` and ``land_name``.
    system : CodeSystem
        The dictionary to try.

    Notes
    -----
    Names may be shortened ("工业" for "工业用地") and carry the prefix 可调整 of codes with K.
    """
    if frame.empty:
        return 1.0
    pairs = frame.groupby(["land_code", "land_name"], dropna=False).size()
    good = sum(count for (code, name), count in pairs.items() if _explains(code, name, system))
    return float(good / len(frame))


def _explains(code: object, name: object, system: CodeSystem) -> bool:
    if not isinstance(code, str) or not isinstance(name, str):
        return False
    given = "".join(name.split())
    known = (NAMES_OF[system].get(code), land_name_of(code[:4], system))
    return any(_same_name(text, official) for official in known for text in _spellings(given))


def _spellings(name: str) -> tuple[str, ...]:
    return (name, name.removeprefix(_ADJUSTABLE))


def _same_name(given: str, official: str | None) -> bool:
    if official is None:
        return False
    return given == official or (len(given) > 1 and official.startswith(given))


def check_code_system(frame: gpd.GeoDataFrame, system: CodeSystem) -> None:
    """Refuse a layer whose codes were written in another system than the one named.

    Parameters
    ----------
    frame : GeoDataFrame
        With text columns ``land_code`` and ``land_name``.
    system : CodeSystem
        The system the delivery names.

    Raises
    ------
    LayerError
        If fewer than 95 % of the rows match the dictionary of ``system``, or if second-survey
        codes of three digits occur.

    Notes
    -----
    From the 2024 survey year on deliveries use the 2023 guide, earlier ones the third survey;
    13 codes mean something else in the two.
    """
    problems = [_old_codes(frame), _mismatch(frame, system)]
    found = [problem for problem in problems if problem]
    if found:
        raise LayerError("; ".join(found))


def _old_codes(frame: gpd.GeoDataFrame) -> str | None:
    codes = frame["land_code"].astype("object")
    old = sorted({c for c in codes if isinstance(c, str) and len(c) == 3 and c.isdigit()})
    if not old:
        return None
    return (
        f"got second-survey land codes {', '.join(old[:5])}; needed four-digit codes; convert the "
        "layer with the survey office's crosswalk"
    )


def _mismatch(frame: gpd.GeoDataFrame, system: CodeSystem) -> str | None:
    share = match_share(frame, system)
    if share >= MIN_MATCH_SHARE:
        return None
    others = ", ".join(
        f"{match_share(frame, other):.1%} match {other}" for other in CodeSystem if other != system
    )
    pair = next(
        f"{code} {name}"
        for code, name in zip(frame["land_code"], frame["land_name"], strict=True)
        if not _explains(code, None if pd.isna(name) else name, system)
    )
    return (
        f"got land codes and names of which {share:.1%} match {system} (first that does not: "
        f"{pair}) and {others}; needed {MIN_MATCH_SHARE:.0%}; name the code system the layer was "
        "written in"
    )
