"""What persons decided about findings: append-only lines, each sealed with the one before."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from rs_monitor.codes import Verdict
from rs_monitor.errors import RunError
from rs_monitor.register.locking import exclusive

START = "0" * 64
"""What the first line names as the hash of the line before it."""

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Decision(BaseModel):
    """One decision of a person about one finding; a correction is a new decision.

    Attributes
    ----------
    finding_id : str
        Finding decided about.
    verdict : Verdict
        What the person decided; the only place a verdict comes from.
    reason_code, reason : str
        Reason from the list of the office, and in words.
    who : str
        The person; never empty.
    at : datetime
        When, with a time zone.
    on_screen : tuple of str
        Digests or names of what was shown when the decision was taken.
    supersedes : str, optional
        Seal of the earlier decision about the same finding that this one replaces.
    previous_sha256 : str
        Seal of the line before; set by :func:`append_decision`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    finding_id: Words
    verdict: Verdict
    reason_code: Words
    reason: str = ""
    who: Words
    at: AwareDatetime
    on_screen: tuple[str, ...] = ()
    supersedes: Sha256 | None = None
    previous_sha256: Sha256 = Field(default=START)

    @property
    def sha256(self) -> str:
        """Seal of the decision: hash of its line."""
        return hashlib.sha256(_line(self)).hexdigest()


def append_decision(path: Path, decision: Decision) -> Decision:
    """Add a decision to the ledger.

    Parameters
    ----------
    path : Path
        Ledger, made when absent.
    decision : Decision
        Its ``previous_sha256`` is replaced by the seal of the last line.

    Returns
    -------
    Decision
        The decision as written.

    Raises
    ------
    RunError
        If the ledger is broken, or the finding is decided already and ``supersedes`` does not name
        the decision in force.
    """
    with exclusive(path):
        ledger = read_decisions(path)
        _check_supersedes(ledger, decision)
        sealed = decision.model_copy(update={"previous_sha256": head(ledger)})
        _append_line(path, _line(sealed))
    return sealed


def read_decisions(path: Path) -> list[Decision]:
    """Read the ledger and verify its chain.

    Parameters
    ----------
    path : Path
        Ledger; absent means no decision yet.

    Raises
    ------
    RunError
        Names the first line that is not a decision or does not follow the line before.

    Notes
    -----
    A chain shows changed, moved and removed lines, except lines cut off at the end: keep
    :func:`head` elsewhere (a dossier, a report) to show those.
    """
    if not path.exists():
        return []
    previous, ledger = START, []
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), start=1):
        decision = _parsed(path, number, line)
        if decision.previous_sha256 != previous or line != _line(decision):
            raise RunError(
                f"got {path.name} with a broken chain at line {number}; needed every line as it "
                "was written; restore the ledger from a copy and do not edit it"
            )
        previous = decision.sha256
        ledger.append(decision)
    return ledger


def head(ledger: Sequence[Decision]) -> str:
    """Seal of the last decision; of an empty ledger :data:`START`."""
    return ledger[-1].sha256 if ledger else START


def fold(decisions: Iterable[Decision]) -> dict[str, Decision]:
    """Decision in force for every finding decided about.

    Parameters
    ----------
    decisions : iterable of Decision
        In the order of the ledger; a later one about the same finding replaces the earlier.
    """
    return {decision.finding_id: decision for decision in decisions}


def _line(decision: Decision) -> bytes:
    """Canonical line: sorted keys, UTC, UTF-8."""
    fields = decision.model_dump(mode="json")
    fields["at"] = decision.at.astimezone(dt.UTC).isoformat()
    text = json.dumps(fields, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode() + b"\n"


def _parsed(path: Path, number: int, line: bytes) -> Decision:
    try:
        return Decision.model_validate_json(line)
    except ValidationError as error:
        raise RunError(
            f"got {path.name} whose line {number} is not a decision; needed the lines this program "
            "wrote; restore the ledger from a copy"
        ) from error


def _check_supersedes(ledger: Sequence[Decision], decision: Decision) -> None:
    in_force: Mapping[str, Decision] = fold(ledger)
    current = in_force.get(decision.finding_id)
    expected = None if current is None else current.sha256
    if decision.supersedes != expected:
        wanted = "no earlier decision" if expected is None else f"the decision {expected[:12]}"
        raise RunError(
            f"got a decision about {decision.finding_id} that supersedes "
            f"{(decision.supersedes or 'nothing')[:12]}; needed {wanted}, which is in force; read "
            "the ledger again and decide anew"
        )


def _append_line(path: Path, line: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
