"""One function per acceptance rule: numbers of one claim in, status and reason out.

Counts speak one way only: what was not seen never helps a claim and never accuses it. A share
that must be high is taken over all interior pixels with the unseen counted against it, a share
that must be low with the unseen counted in, a share that contradicts with the unseen left out.
"""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rs_monitor.acceptance.evidence import Measures, PixelCounts
from rs_monitor.acceptance.rules import AcceptanceRules, Area, Count, CroppedRule, Ratio, Slope
from rs_monitor.codes import AreaSource, Status
from rs_monitor.config.imagery import Period


@dataclass(frozen=True, slots=True)
class Claim:
    """The declared side of one claim."""

    claim_id: str
    claimed_area_m2: float
    area_source: AreaSource
    survey_id: str | None
    change_survey_id: str | None
    completed_on: dt.date


@dataclass(frozen=True, slots=True)
class Case:
    """One claim with its numbers and the rules it is held against."""

    claim: Claim
    measures: Measures
    rules: AcceptanceRules
    before: Period | None
    after: Period | None
    doubts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Status of one rule with its reason."""

    status: Status
    text: str


def area_ratio(claimed_m2: float, recomputed_m2: float) -> float:
    """Relative difference of the claimed from the recomputed area."""
    return abs(claimed_m2 - recomputed_m2) / recomputed_m2


def stands_alone(case: Case) -> Outcome:
    """GEO-01: what the table itself says against leaning on the polygon."""
    if case.doubts:
        return Outcome(Status.INCONCLUSIVE, ", ".join(case.doubts))
    return Outcome(Status.PASS, "polygon valid as delivered, its ground claimed once")


def measured_and_recognised(case: Case) -> Outcome:
    """NEW-01: surveyed in the field, with survey and change-survey id."""
    claim, placeholders = case.claim, case.rules.new_01.placeholder_ids
    faults = []
    if claim.area_source is not AreaSource.SURVEYED:
        faults.append(f"area source is {claim.area_source}, only surveyed is admissible")
    if _stands_for_none(claim.survey_id, placeholders):
        faults.append("no survey id")
    if _stands_for_none(claim.change_survey_id, placeholders):
        faults.append("no change-survey id")
    if faults:
        return Outcome(Status.FAIL, ", ".join(faults))
    ids = f"survey {claim.survey_id}, change survey {claim.change_survey_id}"
    return Outcome(Status.PASS, ids)


def _stands_for_none(identifier: str | None, placeholders: tuple[str, ...]) -> bool:
    return not identifier or _folded(identifier) in {_folded(p) for p in placeholders}


def _folded(text: str) -> str:
    # full-width signs of Chinese keyboards become their plain twins
    return unicodedata.normalize("NFKC", text).strip().casefold()


def area_agrees(case: Case) -> Outcome:
    """NEW-02: claimed area against the official area of the delivered polygon."""
    claimed, official = case.claim.claimed_area_m2, case.measures.recomputed_area_m2
    rule = case.rules.new_02
    ratio = area_ratio(claimed, official)
    text = (
        f"claimed {claimed:.2f} m2, recomputed {official:.2f} m2, ratio {ratio:.5f}, limit "
        f"{_shown(rule.max_area_ratio)}"
    )
    allowed = max(rule.max_area_ratio.value * official, rule.rounding.value)
    agrees = abs(claimed - official) <= allowed
    return Outcome(Status.PASS if agrees else Status.FAIL, text)


def not_arable_before(case: Case) -> Outcome:
    """NEW-03: the baseline survey, then the imagery before."""
    rule, measures = case.rules.new_03, case.measures
    if measures.arable_share is None or measures.baseline_share is None:
        return Outcome(Status.NOT_EVALUATED, "no baseline land survey")
    text = f"arable in the baseline {measures.arable_share:.3f}"
    if measures.arable_share > rule.max_arable_share.value:
        return Outcome(Status.FAIL, f"{text}, limit {_shown(rule.max_arable_share)}")
    if measures.baseline_share < rule.min_baseline_share.value:
        return Outcome(
            Status.INCONCLUSIVE,
            f"{text}, but the baseline covers {measures.baseline_share:.3f} of the polygon, "
            f"needed {_shown(rule.min_baseline_share)}",
        )
    seen = _not_cropped_before(case)
    return Outcome(seen.status, f"{text}, {seen.text}")


def _not_cropped_before(case: Case) -> Outcome:
    rule, pixels = case.rules.new_03, case.measures.pixels
    if pixels is None or pixels.seen_before is None or pixels.crop_before is None:
        return Outcome(Status.NOT_EVALUATED, "no imagery before")
    if late := _not_before_completion(case):
        return late
    if mute := _cannot_speak(case, pixels):
        return mute
    crop = pixels.crop_before / pixels.n_px
    unseen = 1 - pixels.seen_before / pixels.n_px
    tilled = (pixels.tilled_before or 0) / pixels.n_px
    text = (
        f"classed cropland before on {crop:.2f}, a crop seen growing on {tilled:.2f}, unseen "
        f"{unseen:.2f}"
    )
    if tilled >= rule.contradict_crop_share_before.value:
        limit = _shown(rule.contradict_crop_share_before)
        return Outcome(Status.SUSPECTED, f"{text}, against the claim from {limit}")
    passed = pixels.crop_before + pixels.n_px - pixels.seen_before <= (
        rule.max_crop_share_before.value * pixels.n_px
    )
    status = Status.PASS if passed else Status.INCONCLUSIVE
    return Outcome(status, f"{text}, limit of both {_shown(rule.max_crop_share_before)}")


def _not_before_completion(case: Case) -> Outcome | None:
    """Reason why imagery of the before period does not show the ground before the project."""
    if case.before is None:
        return Outcome(Status.NOT_EVALUATED, "the days the imagery before covers are not given")
    done = case.claim.completed_on
    if done > case.before.end:
        return None
    return Outcome(
        Status.INCONCLUSIVE,
        f"completed {done}, imagery before from {case.before.start} to {case.before.end}: it must "
        "end before completion",
    )


def cropped_after(case: Case) -> Outcome:
    """NEW-04: crop cycles after completion, and no building left."""
    rule, pixels = case.rules.new_04, case.measures.pixels
    if pixels is None or pixels.cropped is None or pixels.seen is None or pixels.built is None:
        return Outcome(Status.NOT_EVALUATED, "no imagery after")
    if mute := _cannot_speak(case, pixels) or _mostly_doubtful(pixels, case.rules):
        return mute
    standing = (pixels.standing or 0) / pixels.n_px
    if standing >= rule.contradict_built_share.value:
        limit = _shown(rule.contradict_built_share)
        return Outcome(Status.SUSPECTED, f"buildings or roads on {standing:.2f}, limit {limit}")
    if early := _not_after_completion(case):
        return early
    cropped = pixels.cropped / pixels.n_px
    text = (
        f"at least {_shown(rule.min_seasons)} crop cycle on {cropped:.2f}, needed "
        f"{_shown(rule.min_cycle_share)}, built or unseen {_built_or_unseen(pixels):.2f}, limit "
        f"{_shown(rule.max_built_share)}"
    )
    enough = cropped >= rule.min_cycle_share.value
    clean = _built_or_unseen(pixels) <= rule.max_built_share.value
    return Outcome(Status.PASS if enough and clean else Status.INCONCLUSIVE, text)


def _built_or_unseen(pixels: PixelCounts) -> float:
    seen, built = pixels.seen or 0, pixels.built or 0
    return (built + pixels.n_px - seen) / pixels.n_px


def _not_after_completion(case: Case) -> Outcome | None:
    """Reason why crop cycles of the after period do not prove a crop after completion."""
    rule: CroppedRule = case.rules.new_04
    if case.after is None:
        return Outcome(Status.NOT_EVALUATED, "the days the imagery after covers are not given")
    done, season = case.claim.completed_on, rule.season
    early = (done - case.after.start).days
    late = (case.after.end - done).days
    if early < season.value <= late:
        return None
    return Outcome(
        Status.INCONCLUSIVE,
        f"completed {done}, imagery from {case.after.start} to {case.after.end}: a season of "
        f"{_shown(season)} days must fit after completion and not before it",
    )


def extent_agrees(case: Case) -> Outcome:
    """NEW-05: how much of the measured polygon carries a crop in the imagery."""
    rule, pixels = case.rules.new_05, case.measures.pixels
    if pixels is None or pixels.crop is None or pixels.other is None or pixels.bare is None:
        return Outcome(Status.NOT_EVALUATED, "no imagery after")
    if mute := _cannot_speak(case, pixels) or _mostly_doubtful(pixels, case.rules):
        return mute
    n = pixels.n_px
    crop, bare, other = pixels.crop / n, pixels.bare / n, pixels.other / n
    text = f"cropland on {crop:.2f}, bare {bare:.2f}, other {other:.2f} of {n} interior pixels"
    if pixels.unsure:
        text += f", {pixels.unsure / n:.2f} classed otherwise yet seen with a crop cycle"
    if other >= rule.contradict_other_share.value:
        limit = _shown(rule.contradict_other_share)
        return Outcome(Status.SUSPECTED, f"{text}, other ground from {limit} on contradicts")
    partly = crop >= rule.partial_crop_share.value
    if partly and bare + other >= rule.contradict_uncropped_share.value:
        limit = _shown(rule.contradict_uncropped_share)
        return Outcome(Status.SUSPECTED, f"{text}, a part without crop from {limit} contradicts")
    if crop >= rule.min_crop_share.value:
        return Outcome(Status.PASS, f"{text}, needed {_shown(rule.min_crop_share)}")
    why = "not yet cropped" if bare > crop else "too little cropland seen"
    return Outcome(Status.INCONCLUSIVE, f"{text}, {why}, needed {_shown(rule.min_crop_share)}")


def siting_allowed(case: Case) -> Outcome:
    """NEW-07: overlap with each forbidden layer."""
    rule, overlaps = case.rules.new_07, case.measures.overlaps_m2
    text = ", ".join(f"{name} {m2:.2f} m2" for name, m2 in overlaps.items())
    if any(m2 > rule.max_overlap.value for m2 in overlaps.values()):
        return Outcome(Status.FAIL, f"overlap {text}, limit {_shown(rule.max_overlap)} m2")
    if empty := case.measures.empty_layers:
        return Outcome(Status.NOT_EVALUATED, f"no polygon in layer {', '.join(empty)}")
    missing = [name for name in rule.required_layers if name not in overlaps]
    if missing:
        return Outcome(Status.NOT_EVALUATED, f"no layer {', '.join(missing)}")
    return Outcome(Status.PASS, f"overlap {text}, limit {_shown(rule.max_overlap)} m2")


def gentle_enough(case: Case) -> Outcome:
    """SLP-01: share above the limit and majority grade."""
    rule, slope = case.rules.slp_01, case.measures.slope
    if slope is None:
        return Outcome(Status.NOT_EVALUATED, "no elevation model")
    text = (
        f"mean {slope.mean_deg:.1f} deg, share above {_shown(rule.steep_above)} deg "
        f"{slope.steep_share:.3f}, unknown {slope.unknown_share:.3f}, limit "
        f"{_shown(rule.max_steep_share)}, grade {slope.grade or 'unknown'}"
    )
    steepest = slope.grade == str(len(rule.grade_limits.values) + 1)
    limit = rule.max_steep_share.value
    if slope.steep_share > limit or (steepest and slope.unknown_share == 0):
        return Outcome(Status.SUSPECTED, text)
    if steepest or slope.steep_share + slope.unknown_share > limit:
        return Outcome(Status.INCONCLUSIVE, text)
    if slope.mean_deg > rule.caution_above.value:
        text += f", caution, steeper than {_shown(rule.caution_above)} deg"
    return Outcome(Status.PASS, text)


def _cannot_speak(case: Case, pixels: PixelCounts) -> Outcome | None:
    """Reason why imagery says nothing about the claim."""
    if case.measures.unsound:
        return Outcome(Status.INCONCLUSIVE, f"imagery unsound: {', '.join(case.measures.unsound)}")
    return _too_few(pixels, case.rules)


def _mostly_doubtful(pixels: PixelCounts, rules: AcceptanceRules) -> Outcome | None:
    share, limit = pixels.doubtful_share, rules.pixels.max_doubtful_share
    if share is None or share <= limit.value:
        return None
    text = f"{share:.2f} of the clear looks after were called cloud by a mask"
    return Outcome(Status.INCONCLUSIVE, f"{text}, limit {_shown(limit)}")


def _too_few(pixels: PixelCounts, rules: AcceptanceRules) -> Outcome | None:
    needed, share = rules.pixels.min_reliable_px, rules.pixels.min_interior_share
    if pixels.n_px < needed.value:
        text = f"too small to see: {pixels.n_px} interior pixels, needed {_shown(needed)}"
        return Outcome(Status.INCONCLUSIVE, text)
    if pixels.interior_share < share.value:
        text = (
            f"too narrow to see: {pixels.n_px} interior pixels stand for "
            f"{pixels.interior_share:.2f} of the polygon, needed {_shown(share)}"
        )
        return Outcome(Status.INCONCLUSIVE, text)
    return None


def _shown(limit: Ratio | Area | Count | Slope) -> str:
    return f"{limit.value:g} [{limit.num}]"


CHECKS: Mapping[str, Callable[[Case], Outcome]] = {
    "GEO-01": stands_alone,
    "NEW-01": measured_and_recognised,
    "NEW-02": area_agrees,
    "NEW-03": not_arable_before,
    "NEW-04": cropped_after,
    "NEW-05": extent_agrees,
    "NEW-07": siting_allowed,
    "SLP-01": gentle_enough,
}
"""Every rule a claim must pass to be SUPPORTED."""
