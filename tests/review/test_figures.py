import io

import numpy as np
import pandas as pd
import pytest

from rs_monitor.config.imagery import Periods
from rs_monitor.errors import RunError
from rs_monitor.outputs.terms import PROPOSAL_COLOUR
from rs_monitor.review.figures import before_after, series_figure, zone_map
from rs_monitor.review.look import open_run
from tests.review.small_run import GEOBOX, outline, write_run

PERIODS = Periods.model_validate(
    {
        "before": {"start": "2024-03-01", "end": "2024-10-31"},
        "after": {"start": "2025-03-01", "end": "2025-10-31"},
    }
)


def texts(figure) -> str:
    found = [text.get_text() for text in figure.texts]
    found += [figure.get_suptitle()]
    for axes in figure.axes:
        found += [axes.get_title(), *(text.get_text() for text in axes.texts)]
    return "\n".join(found)


def drawn(figure) -> int:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return len(buffer.getvalue())


def colours(axes) -> set[str]:
    return {line.get_color() for line in axes.lines}


def test_before_and_after_say_what_is_known(run_path):
    figure = before_after(open_run(run_path), "built")
    told = texts(figure)
    assert "Patch 2 · building · 2,000 m² = 3.00 mu, measured" in told
    assert "Proposal: suspected illegal" in told
    assert "NEG-01 suspected, NEG-02 inconclusive, NEG-06 pass" in told
    assert "Changed between 2024-10-20 and 2025-03-05" in told
    assert "before: upland crop\nmedian of 2024-04-02 to 2024-10-20, 3 clear looks" in told
    assert "after: built\nmedian of 2025-03-05 to 2025-03-05" in told
    assert "SYNTHETIC" in told
    assert drawn(figure) > 5000


def test_the_outline_is_drawn_on_both_pictures(run_path):
    figure = before_after(open_run(run_path), "built")
    assert len(figure.axes) == 2
    ring = np.asarray(outline((20, 24), (30, 35)).exterior.coords)
    for axes in figure.axes:
        line = next(x for x in axes.lines if x.get_color() == PROPOSAL_COLOUR["suspected_illegal"])
        found = {tuple(np.round(xy, 2)) for xy in line.get_xydata()}
        assert found == {tuple(xy) for xy in ring}
        left, right, bottom, top = axes.images[0].get_extent()
        assert left < ring[:, 0].min() < ring[:, 0].max() < right
        assert bottom < ring[:, 1].min() < ring[:, 1].max() < top


def test_both_pictures_share_one_stretch(run_path):
    """After is twice as bright as before, and must look so."""
    before, after = (
        axes.images[0].get_array() for axes in before_after(open_run(run_path), "built").axes
    )
    assert before[..., 2].max() == 0
    assert after[..., 2].min() == 1


def test_an_area_that_cannot_be_measured_is_not_called_measured(run_path):
    told = texts(before_after(open_run(run_path), "small"))
    assert "outline 400 m² = 0.60 mu, cannot decide" in told
    assert "no rule applies" in told


def test_only_a_synthetic_run_is_called_synthetic(tmp_path):
    view = open_run(write_run(tmp_path / "run", synthetic=False))
    assert "SYNTHETIC" not in texts(before_after(view, "built"))
    assert "SYNTHETIC" not in texts(zone_map(view, "Z1"))


def test_an_unknown_patch_is_refused(run_path):
    with pytest.raises(RunError):
        before_after(open_run(run_path), "nowhere")


def test_the_zone_map_colours_by_proposal_and_numbers_the_suspected(run_path):
    figure = zone_map(open_run(run_path), "Z1")
    axes = figure.axes[0]
    proposals = ("suspected_illegal", "suspected", "unjudged", "no_change")
    assert {PROPOSAL_COLOUR[name] for name in proposals} <= colours(axes)
    assert {text.get_text() for text in axes.texts} == {"2", "3", "100 m"}
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == [
        "suspected illegal (1)",
        "suspected (1)",
        "unjudged (1)",
        "no change (1)",
        "not seen",
    ]
    assert drawn(figure) > 5000


def test_the_zone_map_veils_what_was_not_seen(run_path):
    picture, veil = zone_map(open_run(run_path), "Z1").axes[0].images
    unseen = ~np.ma.getmaskarray(veil.get_array())
    assert unseen[:, 0].all()
    assert not unseen[:, 1:].any()
    assert picture.get_extent() == veil.get_extent()
    bounds = GEOBOX.boundingbox
    assert tuple(picture.get_extent()) == (bounds.left, bounds.right, bounds.bottom, bounds.top)


def curve() -> pd.DataFrame:
    days = pd.to_datetime(["2024-05-01", "2024-07-01", "2025-04-01", "2025-06-01"])
    mean = [0.4, np.nan, 0.9, 0.1]
    return pd.DataFrame(
        {
            "clear_fraction": [1.0, 0.0, 0.2, 0.8],
            "ndvi_mean": mean,
            "ndvi_q10": mean,
            "ndvi_q90": mean,
        },
        index=days,
    )


def test_the_curve_leaves_out_what_was_hardly_seen(run_path):
    figure = series_figure(open_run(run_path), "built", curve(), PERIODS, least_clear_fraction=0.5)
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert lines["mean"].get_ydata().tolist() == [0.4, 0.1]
    assert lines["less than 50% of the patch clear"].get_ydata().tolist() == [0.9]
    assert len(lines["not seen (cloud)"].get_ydata()) == 1
    assert drawn(figure) > 5000


def test_the_change_window_and_the_periods_are_shaded(run_path):
    figure = series_figure(open_run(run_path), "built", curve(), PERIODS, least_clear_fraction=0.5)
    epoch = np.datetime64("1970-01-01")
    spans = {
        patch.get_label(): [
            str(epoch + int(x))
            for x in patch.get_extents()
            .transformed(figure.axes[0].transData.inverted())
            .intervalx.round()
        ]
        for patch in figure.axes[0].patches
    }
    assert spans == {
        "period before": ["2024-03-01", "2024-10-31"],
        "period after": ["2025-03-01", "2025-10-31"],
        "change window": ["2024-10-20", "2025-03-05"],
    }
