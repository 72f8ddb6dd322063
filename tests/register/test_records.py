import geopandas as gpd
import pytest

from rs_monitor.errors import LayerError, MissingCRS
from rs_monitor.register.records import FINDING, check_findings, check_patches


def test_good_records_pass(findings, patches):
    assert check_findings(findings) is findings
    assert check_patches(patches) is patches


@pytest.mark.parametrize("status", ["fail", "legal", "illegal"])
def test_a_finding_never_fails_or_judges(findings, status):
    findings["status"] = status
    with pytest.raises(LayerError, match=rf"status: must be one of .*; got \['{status}'\]"):
        check_findings(findings)


def test_every_problem_is_named_at_once(findings):
    broken = findings.drop(columns="clause").assign(area_m2="many", finding_id="f")
    with pytest.raises(LayerError) as caught:
        check_findings(broken)
    text = str(caught.value)
    assert "clause: missing" in text
    assert "area_m2: must be float" in text
    assert "finding_id must be unique; doubled: f" in text


def test_records_need_a_crs(findings):
    bare = gpd.GeoDataFrame(findings.drop(columns="geometry"), geometry=list(findings.geometry))
    with pytest.raises(MissingCRS):
        check_findings(bare)


def test_columns_are_documented():
    assert all(column.meaning for column in FINDING)
