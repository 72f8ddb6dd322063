import pytest

from tests.faults.small_job import impatient, small_job


@pytest.fixture(scope="session")
def job(tmp_path_factory):
    with small_job(tmp_path_factory.mktemp("faults") / "www") as served:
        yield served


@pytest.fixture(autouse=True)
def quick():
    with impatient():
        yield


@pytest.fixture(scope="session")
def clean(job, tmp_path_factory):
    """The run without a fault, which a healed one must equal."""
    with impatient():
        return job.run(job.items({}), tmp_path_factory.mktemp("clean"))
