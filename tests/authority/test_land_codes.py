import geopandas as gpd
import pytest

from rs_monitor.authority.land_codes import check_code_system, land_name_of, match_share
from rs_monitor.codes import CodeSystem
from rs_monitor.errors import LayerError


def frame(*pairs):
    codes, names = zip(*pairs, strict=True)
    return gpd.GeoDataFrame({"land_code": list(codes), "land_name": list(names)})


COLLIDING = [
    ("0601", "工业用地", "农村道路"),
    ("0602", "采矿用地", "设施农用地"),
    ("0702", "农村宅基地", "城镇社区服务设施用地"),
    ("1001", "铁路用地", "工业用地"),
    ("1101", "河流水面", "物流仓储用地"),
    ("1201", "空闲地", "铁路用地"),
    ("1202", "设施农用地", "公路用地"),
    ("1203", "田坎", "机场用地"),
    ("0303", "红树林地", "灌木林地"),
    ("0403", "人工牧草地", "其他草地"),
    ("0402", "沼泽草地", "人工牧草地"),
    ("1301", "临时用地", "供水用地"),
]


@pytest.mark.parametrize(("code", "survey3", "guide2023"), COLLIDING)
def test_colliding_codes_are_told_apart_by_name(code, survey3, guide2023):
    old, new = frame((code, survey3)), frame((code, guide2023))
    assert (match_share(old, CodeSystem.SURVEY3), match_share(old, CodeSystem.GUIDE2023)) == (1, 0)
    assert (match_share(new, CodeSystem.SURVEY3), match_share(new, CodeSystem.GUIDE2023)) == (0, 1)


def test_industry_under_the_wrong_system_is_refused():
    with pytest.raises(LayerError) as error:
        check_code_system(frame(("0601", "工业")), CodeSystem.GUIDE2023)
    assert str(error.value) == (
        "got land codes and names of which 0.0% match guide2023 (first that does not: 0601 工业) "
        "and 100.0% match survey3; needed 95%; name the code system the layer was written in"
    )


def test_one_wrong_pair_in_twenty_passes_and_two_do_not():
    good, bad = ("0101", "水田"), ("0101", "工业用地")
    check_code_system(frame(*[good] * 19, bad), CodeSystem.SURVEY3)
    with pytest.raises(LayerError, match=r"90\.0% match survey3"):
        check_code_system(frame(*[good] * 18, bad, bad), CodeSystem.SURVEY3)


def test_refined_codes_carry_the_name_of_their_class():
    rows = frame(
        ("0201K", "可调整果园"), ("0201K", "果园"), ("1104A", "养殖坑塘"), ("1107A", "干渠")
    )
    assert match_share(rows, CodeSystem.SURVEY3) == 1
    assert land_name_of("0201K", CodeSystem.SURVEY3) == "果园"
    assert land_name_of("9999", CodeSystem.SURVEY3) is None


def test_second_survey_codes_are_refused():
    mixed = frame(("011", "水田"), *[("0101", "水田")] * 40)
    with pytest.raises(LayerError, match="got second-survey land codes 011; needed four-digit"):
        check_code_system(mixed, CodeSystem.SURVEY3)
