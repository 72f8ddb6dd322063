"""What each authority layer must carry: canonical fields and the names deliveries use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from rs_monitor.codes import AreaSource


class FieldType(StrEnum):
    """How the values of a field are read."""

    TEXT = "text"
    CODE = "code"
    NUMBER = "number"
    YEAR = "year"
    DATE = "date"
    AREA_SOURCE = "area_source"


@dataclass(frozen=True, slots=True)
class LayerField:
    """One canonical field of a layer.

    Attributes
    ----------
    name : str
        Canonical name.
    aliases : tuple of str
        Names deliveries use, best first; compared without case.
    type : FieldType
        How values are read.
    column : bool
        The delivery must have the column.
    value : bool
        Every row must have a value.
    positive : bool
        Numbers must be above zero.
    """

    name: str
    aliases: tuple[str, ...] = ()
    type: FieldType = FieldType.TEXT
    column: bool = False
    value: bool = False
    positive: bool = False


@dataclass(frozen=True, slots=True)
class LayerSchema:
    """Canonical fields of one kind of layer; ``fields[0]`` is the id.

    Attributes
    ----------
    zh : str
        What the layer is called in deliveries.
    layer_names : tuple of str
        Substrings that recognise the layer in a file with several.
    fields : tuple of LayerField
        Canonical fields in output order.
    unique_id : bool
        A repeated id is a mistake.
    coded : bool
        Land codes are essential, so the code system must be named.
    """

    zh: str
    layer_names: tuple[str, ...]
    fields: tuple[LayerField, ...]
    unique_id: bool = False
    coded: bool = False


def _required(
    name: str, *aliases: str, type: FieldType = FieldType.TEXT, positive: bool = False
) -> LayerField:
    return LayerField(name, aliases, type, column=True, value=True, positive=positive)


def _optional(name: str, *aliases: str, type: FieldType = FieldType.TEXT) -> LayerField:
    return LayerField(name, aliases, type)


LAYER_SCHEMAS: Mapping[str, LayerSchema] = {
    "land": LayerSchema(
        "地类图斑",
        ("DLTB", "JQDLTB", "地类图斑"),
        (
            _required("feature_id", "BSM", "标识码", "TBYBH", "TBBH"),
            _required("land_code", "DLBM", "地类编码", "DLDM", type=FieldType.CODE),
            _required("land_name", "DLMC", "地类名称"),
            _optional("area_m2", "TBMJ", "图斑面积", type=FieldType.NUMBER),
            _optional("net_m2", "TBDLMJ", "图斑地类面积", type=FieldType.NUMBER),
            _optional("slope_grade", "GDPDJB", "PDJB", "耕地坡度级别"),
            _optional("year", "SJNF", "数据年份", type=FieldType.YEAR),
        ),
        unique_id=True,
        coded=True,
    ),
    "pbf": LayerSchema(
        "永久基本农田",
        ("YJJBNT", "永久基本农田"),
        (
            _optional("feature_id", "BSM", "YJJBNTTBBH", "JBNTTBBH", "标识码"),
            _optional("land_code", "DLBM", "地类编码", type=FieldType.CODE),
            _optional("land_name", "DLMC", "地类名称"),
        ),
    ),
    "redline": LayerSchema(
        "生态保护红线",
        ("STBHHX", "生态保护红线"),
        (
            _optional("feature_id", "BSM", "HXBM", "标识码"),
            _optional("name", "HXMC", "MC", "红线名称"),
        ),
    ),
    "udb": LayerSchema(
        "城镇开发边界",
        ("CZKFBJ", "城镇开发边界"),
        (
            _optional("feature_id", "BSM", "标识码"),
            _optional("name", "GHFQMC", "规划分区名称"),
        ),
    ),
    "zones": LayerSchema(
        "整治区域",
        ("zones", "ZZQY", "整治区域"),
        (
            _required("zone_id", "ZZQYBH", "BSM", "整治区域编号"),
            _optional("name", "ZZQYMC", "整治区域名称"),
            _optional("plan_id", "FABH", "方案编号"),
            _optional("plan_approved_on", "FAPFRQ", "方案批复日期", type=FieldType.DATE),
        ),
        unique_id=True,
    ),
    "permits": LayerSchema(
        "用地批准",
        ("permits", "PZWJ", "LSYD", "用地批准"),
        (
            _required("permit_id", "PZWH", "AJBH", "批准文号"),
            _required("kind", "PZLX", "批准类型"),
            _required("approved_on", "PZRQ", "批准日期", type=FieldType.DATE),
            _optional("expires_on", "JZRQ", "截止日期", type=FieldType.DATE),
        ),
        unique_id=True,
    ),
    "claims": LayerSchema(
        "新增耕地申报",
        ("claims", "XZGD", "新增耕地"),
        (
            _required("claim_id", "SBBH", "申报编号"),
            _required("claimed_area_m2", "SBMJ", "申报面积", type=FieldType.NUMBER, positive=True),
            _required("area_source", "MJLY", "面积来源", type=FieldType.AREA_SOURCE),
            LayerField("survey_id", ("SCBGBH", "实测报告编号"), column=True),
            LayerField("change_survey_id", ("BGDCBH", "变更调查编号"), column=True),
            _required("completed_on", "JGRQ", "竣工日期", type=FieldType.DATE),
        ),
        unique_id=True,
    ),
}
"""Field names after TD/T 1057-2020 and the databases of farmland, red line and urban boundary;
those of zones, permits and claims are this program's own, with pinyin and Chinese spellings."""

AREA_SOURCE_SPELLINGS: Mapping[str, AreaSource] = {
    **{source.value: source for source in AreaSource},
    "实测": AreaSource.SURVEYED,
    "实地测量": AreaSource.SURVEYED,
    "图上作业": AreaSource.DESK,
    "图上量算": AreaSource.DESK,
    "系数": AreaSource.COEFFICIENT,
    "系数折算": AreaSource.COEFFICIENT,
}

PERSONAL_FIELDS = frozenset(
    {"CFZR", "ZMC", "ZZRR", "ZRRZJHM", "ZRRMC", "LXDH", "JZDZ"}
    | {"责任人", "责任人姓名", "身份证号", "证件号码", "联系电话", "家庭住址"}
)
"""Fields about persons in farmland layers; dropped on import and never reported."""
