from pathlib import Path

import pytest

from rs_monitor.acceptance.rules import AcceptanceRules
from rs_monitor.config.paths import data_root
from rs_monitor.config.reading import load_table
from rs_monitor.errors import ConfigError

SHIPPED = data_root() / "configs" / "rules" / "acceptance-guide-2024.toml"


def changed(tmp_path: Path, *swaps: tuple[str, str]) -> Path:
    text = SHIPPED.read_text(encoding="utf-8")
    for old, new in swaps:
        assert text.count(old) == 1
        text = text.replace(old, new)
    path = tmp_path / "rules.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_shipped_numbers_are_those_of_the_rule_list():
    rules = load_table(SHIPPED, AcceptanceRules)
    assert rules.new_02.max_area_ratio.value == 0.001
    assert rules.new_03.max_arable_share.value == 0.05
    assert rules.new_04.max_built_share.value == 0.05
    assert rules.new_05.min_crop_share.value == 0.9
    assert rules.new_07.max_overlap.value == 10
    assert rules.slp_01.steep_above.value == 25
    assert rules.pixels.min_reliable_px.value == 16
    assert rules.pixels.min_interior_share.value == 0.5
    assert rules.pixels.max_doubtful_share.value == 0.5
    assert rules.claims.max_mutual_overlap.value == 10
    assert {"", "-", "无", "待补", "n/a", "tbd"} <= set(rules.new_01.placeholder_ids)


def test_every_mistake_is_listed(tmp_path):
    path = changed(
        tmp_path,
        ("max_area_ratio = { value = 0.001", "max_area_ratio = { value = 1.5"),
        ('max_overlap = { value = 10.0, unit = "m2"', 'max_overlap = { value = 10.0, unit = "mu"'),
        ('regime = "guide_2024"', 'regime = "guide_2019"'),
        ("season = { value = 90,", "season = {"),
        ("[claims]", "colour = 1\n[claims]"),
    )
    with pytest.raises(ConfigError) as error:
        load_table(path, AcceptanceRules)
    keys = sorted(problem.split(":")[0] for problem in error.value.problems)
    assert keys == [
        "NEW-02.max_area_ratio.value",
        "NEW-04.season.value",
        "NEW-07.max_overlap.unit",
        "pixels.colour",
        "regime",
    ]


@pytest.mark.parametrize(
    ("key", "old", "new", "message"),
    [
        ("contradict_crop_share_before", "0.5", "0.1", "must exceed max_crop_share_before"),
        ("contradict_built_share", "0.2", "0.01", "must exceed max_built_share"),
        ("contradict_other_share", "0.25", "0.05", "must exceed 1 - min_crop_share"),
        ("grade_limits", "[2.0, 6.0, 15.0, 25.0]", "[2.0, 15.0, 6.0, 25.0]", "must rise"),
    ],
)
def test_numbers_that_contradict_each_other_are_refused(tmp_path, key, old, new, message):
    name = "values" if old.startswith("[") else "value"
    start = f"{key} = {{ {name} = "
    with pytest.raises(ConfigError, match=message):
        load_table(changed(tmp_path, (f"{start}{old},", f"{start}{new},")), AcceptanceRules)


def test_no_rule_can_be_switched_off(tmp_path):
    path = changed(tmp_path, ("[NEW-01]", "[NEW-01]\nrequired = false"))
    with pytest.raises(ConfigError, match=r"NEW-01\.required: unknown key"):
        load_table(path, AcceptanceRules)
    assert all(field.is_required() for field in AcceptanceRules.model_fields.values())
