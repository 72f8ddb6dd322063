import pickle

import numpy as np
import pytest

from rs_monitor.errors import QuantityError
from rs_monitor.outputs.blocks import (
    ABSENT,
    DAMAGED,
    NO_RECORD,
    OTHER_INPUTS,
    BlockStore,
    safe_name,
)

KEY = ("zone", "measure", "r000c000")


@pytest.fixture
def store(tmp_path):
    return BlockStore(tmp_path)


@pytest.fixture
def saved(store):
    store.save_block(*KEY, {"sum": np.arange(3.0), "n": np.int64(4)}, "f1")
    return store


def test_block_comes_back_whole(saved):
    arrays = saved.load_block(*KEY, "f1")
    np.testing.assert_array_equal(arrays["sum"], [0.0, 1.0, 2.0])
    assert arrays["n"] == 4
    assert saved.check_block(*KEY, "f1") is None


def test_arrays_can_be_read_alone(saved):
    arrays, reason = saved.read_block(*KEY, "f1", only=("n",))
    assert reason is None
    assert arrays == {"n": 4}


def test_workers_can_carry_the_store(store):
    pickle.loads(pickle.dumps(store)).save_block(*KEY, {"a": np.ones(2)}, "f1")
    assert store.check_block(*KEY, "f1") is None


def test_equal_arrays_give_equal_bytes(saved):
    before = saved.block_path(*KEY).read_bytes()
    saved.save_block(*KEY, {"sum": np.arange(3.0), "n": np.int64(4)}, "f1")
    assert saved.block_path(*KEY).read_bytes() == before


def tamper(store):
    path = store.block_path(*KEY)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(store):
    path = store.block_path(*KEY)
    path.write_bytes(path.read_bytes()[:-5])


def lose_record(store):
    store.block_path(*KEY).with_suffix(".json").unlink()


def break_record(store):
    store.block_path(*KEY).with_suffix(".json").write_text("{")


def leave(store):
    pass


def lose_arrays(store):
    store.block_path(*KEY).unlink()


@pytest.mark.parametrize(
    ("harm", "mark", "reason"),
    [
        (tamper, "f1", DAMAGED),
        (cut, "f1", DAMAGED),
        (lose_record, "f1", NO_RECORD),
        (break_record, "f1", NO_RECORD),
        (lose_arrays, "f1", ABSENT),
        (leave, "f2", OTHER_INPUTS),
    ],
)
def test_unfit_block_is_not_reused_and_says_why(saved, harm, mark, reason):
    harm(saved)
    assert saved.read_block(*KEY, mark) == (None, reason)
    assert saved.check_block(*KEY, mark) == reason
    assert saved.load_block(*KEY, mark) is None


def test_objects_are_refused(store):
    with pytest.raises(QuantityError, match="got array 'a' of objects"):
        store.save_block(*KEY, {"a": np.array([{}], dtype=object)}, "f1")
    assert not store.block_path(*KEY).exists()


@pytest.mark.parametrize("text", ["../../etc", "a/b", "", ".", ".lock", "x" * 300, "a b", "<b>"])
def test_ids_cannot_leave_their_folder(text, tmp_path):
    name = safe_name(text)
    path = tmp_path / name
    assert path.resolve().parent == tmp_path.resolve()
    assert not name.startswith(".")
    assert len(name.encode()) <= 120


def test_ids_stay_apart_and_readable():
    assert safe_name("白杨村_2024-1") == "白杨村_2024-1"
    assert safe_name("a b") != safe_name("a/b")
