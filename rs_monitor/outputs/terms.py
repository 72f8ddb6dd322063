"""The official Chinese terms printed beside the English ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rs_monitor.codes import (
    LAND_COVER_STYLE,
    ChangeKind,
    ClaimAnswer,
    Measurability,
    Proposal,
    Status,
)

_ZH: Mapping[str, str] = {
    ChangeKind.BUILDING: "新增建筑",
    ChangeKind.EARTHWORK: "推填土",
    ChangeKind.ROAD: "道路",
    ChangeKind.POND: "坑塘",
    ChangeKind.ORCHARD: "园地",
    ChangeKind.GREENHOUSE: "设施大棚",
    ChangeKind.MINE: "采矿",
    ChangeKind.FOREST_CLEARING: "毁林",
    ChangeKind.ABANDONMENT: "撂荒",
    ChangeKind.NEW_ARABLE: "新增耕地",
    ChangeKind.OTHER: "其他变化",
    ChangeKind.UNCLASSIFIED: "未分类",
    Measurability.MEASURED: "可量测",
    Measurability.DETECT_ONLY: "仅可发现",
    Measurability.CANNOT_DECIDE: "无法判定",
    Status.PASS: "符合",
    Status.FAIL: "不符合",
    Status.INCONCLUSIVE: "证据不足",
    Status.NOT_EVALUATED: "未评价",
    Status.RECORDED: "已记录",
    Proposal.NO_CHANGE: "实地未变化",
    Proposal.LEGAL_CANDIDATE: "合法待确认",
    Proposal.SUSPECTED_ILLEGAL: "疑似违法",
    Proposal.SUSPECTED: "疑似",
    Proposal.OTHER_AGRI_FACILITY: "其他:设施农业",
    Proposal.UNJUDGED: "未判定",
    ClaimAnswer.SUPPORTED: "支持",
    ClaimAnswer.CONTRADICTED: "矛盾",
    ClaimAnswer.INCONCLUSIVE: "无法判定",
    "unknown": "未知",
    "block": "一票否决",
    "verify": "需核实",
    "info": "提示",
}

_COVER = {style.name: style.zh for style in LAND_COVER_STYLE.values()}

_COLUMNS: Mapping[str, str] = {
    "zone_id": "整治区域",
    "claim_id": "申报编号",
    "answer": "结论",
    "claimed_area_m2": "申报面积",
    "official_area_m2": "椭球面积",
    "area_source": "面积来源",
    "reason": "理由",
    "reasons": "理由",
    "kind": "变化类型",
    "size_class": "面积等级",
    "planted": "已知真值",
    "found": "发现",
    "detectable_fraction": "可发现变化",
    "last_look": "末次观测",
    "doubtful_fraction": "存疑",
    "shift_m": "配准误差",
}

PROPOSAL_COLOUR: Mapping[str, str] = {
    Proposal.SUSPECTED_ILLEGAL: "#c01f2e",
    Proposal.SUSPECTED: "#d9730d",
    Proposal.UNJUDGED: "#b08900",
    Proposal.LEGAL_CANDIDATE: "#2b7a3d",
    Proposal.OTHER_AGRI_FACILITY: "#7a4aa0",
    Proposal.NO_CHANGE: "#5c6670",
}
"""Outline of a patch by its proposal, strongest suspicion first."""

UNKNOWN_COLOUR = "#5c6670"


def zh(term: Any) -> str:
    """Chinese for a coded term; empty where there is none."""
    return _ZH.get(str(term), "")


def zh_cover(name: Any) -> str:
    """Chinese for a land-cover class."""
    return _COVER.get(str(name), zh(name))


def zh_column(name: Any) -> str:
    """Chinese for the name of a table column."""
    return _COLUMNS.get(str(name), "")


def words(term: Any) -> str:
    """Coded term as words: ``forest_clearing`` becomes ``forest clearing``."""
    return str(term).replace("_", " ")
