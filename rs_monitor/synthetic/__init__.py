"""A synthetic township with fully known truth: layers, events, look-alikes, claims and scenes.

Nothing here is real; nothing here is written to disk.
"""

from rs_monitor.synthetic.acquisitions import Acquisition
from rs_monitor.synthetic.claims import CLAIM_CASES
from rs_monitor.synthetic.events import EVENT_KINDS, SIZE_CLASSES, size_class
from rs_monitor.synthetic.lookalikes import LOOKALIKE_KINDS
from rs_monitor.synthetic.scenes import Scene
from rs_monitor.synthetic.spectra import BANDS
from rs_monitor.synthetic.township import Township, make_township

__all__ = [
    "BANDS",
    "CLAIM_CASES",
    "EVENT_KINDS",
    "LOOKALIKE_KINDS",
    "SIZE_CLASSES",
    "Acquisition",
    "Scene",
    "Township",
    "make_township",
    "size_class",
]
