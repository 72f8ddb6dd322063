import pytest

from rs_monitor.codes import CodeSystem
from rs_monitor.config.paths import data_root
from rs_monitor.config.reading import load_table, read_toml
from rs_monitor.config.rules import DetectionRules
from rs_monitor.errors import ConfigError
from rs_monitor.findings.rules import FindingRules

SHIPPED = data_root() / "configs" / "rules" / "findings-guide-2024.toml"


def edited(tmp_path, old, new):
    text = SHIPPED.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "rules.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


def test_the_shipped_rules_name_clause_origin_and_version(rules):
    ids = [rule.id for rule in rules.rules]
    negative = [f"NEG-0{n}" for n in range(1, 10)]
    assert {*negative, "NEG-05b", "ECO-01", "NEW-OBS"} <= set(ids)
    assert all(rule.clause and rule.num and rule.version for rule in rules.rules)
    assert [rule.id for rule in rules.rules if rule.fallback] == ["CHG-OBS"]


def test_the_shipped_detection_limits_are_those_of_the_domain_study():
    raw = read_toml(data_root() / "configs" / "rules" / "detection.toml")
    detection = DetectionRules.model_validate(raw)
    assert (detection.min_detect_px, detection.min_reliable_px) == (9, 16)


@pytest.mark.parametrize(
    ("code", "system", "member"),
    [
        ("0103", CodeSystem.SURVEY3, True),
        ("1104A", CodeSystem.SURVEY3, True),
        ("1006", CodeSystem.SURVEY3, True),
        ("0404", CodeSystem.SURVEY3, False),
        ("0601", CodeSystem.SURVEY3, False),
        ("0601", CodeSystem.GUIDE2023, True),
        ("1104", CodeSystem.GUIDE2023, False),
        ("0403", CodeSystem.GUIDE2023, False),
    ],
)
def test_farmland_depends_on_the_code_system(rules, code, system, member):
    assert rules.big_classes["farmland"].has(code, system) is member


def test_every_mistake_of_a_rule_file_is_listed(tmp_path):
    text = SHIPPED.read_text(encoding="utf-8")
    text = text.replace('severity = "verify"', 'severity = "loud"', 1)
    text = text.replace("cover_share = 0.9", "cover_share = 9")
    text = text.replace('classes_before = ["water"]', 'classes_before = ["sea"]')
    path = tmp_path / "rules.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_table(path, FindingRules)
    keys = {problem.split(":")[0] for problem in caught.value.problems}
    assert keys == {"cover_share", "rules.0.severity", "rules.3.classes_before"}


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ('inputs = ["land", "permits"]', 'inputs = ["land"]', "inputs must also name permits"),
        ('inputs = ["dem", "permits"]', 'inputs = ["permits"]', "inputs must also name dem"),
        ('inputs = ["redline"]', "inputs = []", "inputs must also name redline"),
        ('id = "NEG-02"', 'id = "NEG-01"', "rule ids must be unique; doubled: NEG-01"),
        ('from_big_class = "natural"', 'from_big_class = "wild"', "big_classes lacks wild"),
        ('zh = "疑似挖山"', 'zh = "疑似挖山"\nfee = 1', "fee: unknown key"),
    ],
)
def test_a_rule_that_contradicts_itself_is_refused(tmp_path, old, new, text):
    with pytest.raises(ConfigError, match=text):
        load_table(edited(tmp_path, old, new), FindingRules)
