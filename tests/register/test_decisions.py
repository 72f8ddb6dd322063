import datetime as dt
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from rs_monitor.codes import Verdict
from rs_monitor.errors import RunError
from rs_monitor.register.decisions import (
    START,
    Decision,
    append_decision,
    fold,
    head,
    read_decisions,
)

AT = dt.datetime(2025, 3, 1, 9, 30, tzinfo=dt.timezone(dt.timedelta(hours=8)))


def decision(finding_id="f1", verdict=Verdict.ILLEGAL, **changes):
    fields = {"reason_code": "R1", "reason": "新建厂房\n无批准", "who": "王检查员", "at": AT}
    return Decision(finding_id=finding_id, verdict=verdict, **{**fields, **changes})


@pytest.fixture
def ledger(tmp_path):
    return tmp_path / "review" / "decisions.jsonl"


def test_no_ledger_is_no_decision(ledger):
    assert read_decisions(ledger) == []
    assert head([]) == START


def test_lines_are_chained(ledger):
    first = append_decision(ledger, decision("f1"))
    second = append_decision(ledger, decision("f2", on_screen=("before.png",)))
    assert first.previous_sha256 == START
    assert second.previous_sha256 == first.sha256
    assert read_decisions(ledger) == [first, second]
    assert head(read_decisions(ledger)) == second.sha256
    line = json.loads(ledger.read_bytes().splitlines()[1])
    assert (line["who"], line["at"]) == ("王检查员", "2025-03-01T01:30:00+00:00")


def test_a_correction_supersedes_and_the_old_line_stays(ledger):
    first = append_decision(ledger, decision(verdict=Verdict.ILLEGAL))
    second = append_decision(ledger, decision(verdict=Verdict.LEGAL, supersedes=first.sha256))
    assert len(read_decisions(ledger)) == 2
    assert fold(read_decisions(ledger)) == {"f1": second}


@pytest.mark.parametrize("supersedes", [None, "a" * 64])
def test_a_second_decision_must_name_the_one_in_force(ledger, supersedes):
    append_decision(ledger, decision())
    with pytest.raises(RunError, match="which is in force; read the ledger again"):
        append_decision(ledger, decision(supersedes=supersedes))
    assert len(read_decisions(ledger)) == 1


def test_a_first_decision_supersedes_nothing(ledger):
    with pytest.raises(RunError, match="needed no earlier decision"):
        append_decision(ledger, decision(supersedes="a" * 64))


@pytest.mark.parametrize(
    "changes",
    [{"who": ""}, {"who": "  "}, {"verdict": "fail"}, {"at": AT.replace(tzinfo=None)}],
)
def test_only_a_person_decides_at_a_known_time(changes):
    with pytest.raises(ValidationError):
        decision(**changes)


@pytest.fixture
def three(ledger):
    for name in ("f1", "f2", "f3"):
        append_decision(ledger, decision(name))
    return ledger.read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (lambda lines: [lines[0].replace(b"illegal", b"legal"), *lines[1:]], 2),
        (lambda lines: lines[1:], 1),
        (lambda lines: [lines[0], lines[2]], 2),
        (lambda lines: [lines[1], lines[0], lines[2]], 1),
        (lambda lines: [*lines, lines[2]], 4),
        (lambda lines: [lines[0].replace(b",", b", ", 1), *lines[1:]], 1),
        (lambda lines: [*lines[:2], lines[2].rstrip()], 3),
    ],
)
def test_tampering_is_found(ledger, three, edit, line):
    ledger.write_bytes(b"".join(edit(three)))
    with pytest.raises(RunError, match=f"broken chain at line {line};"):
        read_decisions(ledger)
    with pytest.raises(RunError, match="restore the ledger from a copy"):
        append_decision(ledger, decision("f4"))


def test_a_torn_line_is_found(ledger, three):
    ledger.write_bytes(b"".join(three)[:-20])
    with pytest.raises(RunError, match="whose line 3 is not a decision"):
        read_decisions(ledger)


def test_cut_lines_show_against_a_kept_head(ledger, three):
    kept = head(read_decisions(ledger))
    ledger.write_bytes(b"".join(three[:2]))
    assert head(read_decisions(ledger)) != kept


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_any_changed_byte_is_found(ledger, three, data):
    original = b"".join(three)
    place = data.draw(st.integers(0, len(original) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != original[place]))
    ledger.write_bytes(original[:place] + bytes([byte]) + original[place + 1 :])
    try:
        changed = read_decisions(ledger)
    except RunError:
        return
    assert head(changed) != START
    assert changed[-1].sha256 != Decision.model_validate_json(three[-1]).sha256


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["f1", "f2", "f3"]), max_size=8))
def test_fold_keeps_the_last_decision_of_each_finding(names):
    decisions = [decision(name, reason=str(i)) for i, name in enumerate(names)]
    assert fold(decisions) == {
        name: [d for d in decisions if d.finding_id == name][-1] for name in set(names)
    }
