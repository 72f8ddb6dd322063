from pathlib import Path

import pytest

from rs_monitor.pipeline.demo import prepare

SMALL = {"size_px": 160, "events_per_kind": 1, "lookalikes_per_kind": 1}


@pytest.fixture(scope="session")
def township_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small synthetic township on disk, with its job file."""
    folder = tmp_path_factory.mktemp("township")
    prepare(11, folder, **SMALL)
    return folder
