import datetime as dt
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rs_monitor.outputs.toml_text import toml_text

scalars = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=False),
    st.booleans(),
    st.dates(dt.date(1900, 1, 1)),
)
values = st.recursive(
    st.one_of(scalars, st.lists(scalars, max_size=3)),
    lambda inner: st.one_of(
        st.dictionaries(st.text('ab ."é', min_size=1, max_size=4), inner, max_size=3),
        st.lists(
            st.dictionaries(st.text("xy", min_size=1, max_size=3), inner, max_size=3), max_size=3
        ),
    ),
    max_leaves=8,
)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.dictionaries(st.text(min_size=1, max_size=5, alphabet="ab-_ ."), values, max_size=4))
def test_what_is_written_is_read_back(table):
    assert tomllib.loads(toml_text(table)) == table


def test_none_is_left_out_and_long_lists_are_broken():
    text = toml_text({"a": None, "b": ["word"] * 40, "t": {"c": 1, "n": None}})
    assert tomllib.loads(text) == {"b": ["word"] * 40, "t": {"c": 1}}
    assert max(map(len, text.splitlines())) < 100


def test_what_toml_cannot_hold_is_refused():
    with pytest.raises(TypeError, match="got a set; needed text"):
        toml_text({"a": {1, 2}})
