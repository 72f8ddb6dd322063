import hashlib
import io
import pickle
import struct
import tomllib
import zipfile

import numpy as np
import pytest
from safetensors.numpy import load, save

from rs_monitor.codes import LandCover
from rs_monitor.errors import ConfigError, ModelMismatch, RunError
from rs_monitor.maps.land_cover import class_probabilities
from rs_monitor.maps.model_arrays import arrays_of
from rs_monitor.maps.model_store import (
    ARRAYS_NAME,
    CARD_NAME,
    find_model,
    full_name,
    load_card,
    load_model,
    models_in,
    shipped_folder,
)
from rs_monitor.outputs.model_folder import write_model
from rs_monitor.outputs.toml_text import toml_text
from tests.maps.small_models import SPEC, small_card, small_model, small_samples


@pytest.fixture(scope="module")
def model():
    return small_model(calibration="bias_temperature")


@pytest.fixture
def folder(model, tmp_path):
    return write_model(tmp_path, model, small_card())


def edit_card(folder, change):
    """Change the card as a hand would, through its table."""
    path = folder / CARD_NAME
    table = tomllib.loads(path.read_text())
    change(table)
    path.write_text(toml_text(table))


def put(folder, content):
    """Lay other bytes in the place of the arrays, with their own sha256 in the card."""
    (folder / ARRAYS_NAME).write_bytes(content)

    def change(table):
        table["arrays"] = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
        }

    edit_card(folder, change)


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


@pytest.mark.parametrize("kind", ["forest", "boosting"])
@pytest.mark.parametrize("calibration", ["none", "bias_temperature"])
def test_a_stored_model_answers_as_before(kind, calibration, tmp_path):
    made = small_model(kind, calibration)
    loaded = load_model(write_model(tmp_path, made, small_card(kind=kind)))
    stack = small_samples(seed=3).features[:12].T.reshape(3, 3, 4)
    one, other = (class_probabilities(m, stack, SPEC.names) for m in (made, loaded.model))
    assert np.array_equal(one, other, equal_nan=True)
    assert arrays_of(loaded.model).keys() == arrays_of(made).keys()
    assert loaded.card.arrays.sha256 == loaded.record["sha256"]
    assert loaded.card.classes == small_card().classes


def test_equal_models_give_equal_files(model, tmp_path):
    one, other = (write_model(tmp_path / name, model, small_card()) for name in "ab")
    for name in (ARRAYS_NAME, CARD_NAME):
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_a_published_model_never_changes(model, folder):
    with pytest.raises(RunError, match="already; a published model never changes; give a higher"):
        write_model(folder.parent, model, small_card())


def test_one_changed_byte_is_refused_before_it_is_read(folder, monkeypatch):
    path = folder / ARRAYS_NAME
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    monkeypatch.setattr("rs_monitor.maps.model_store.parse_arrays", pytest.fail)
    with pytest.raises(
        ModelMismatch,
        match=r"got sha256 \w{16}, the card says \w{16} .* do not use it; take the folder from",
    ):
        load_model(folder)


def test_a_file_of_another_size_is_not_read(folder):
    with (folder / ARRAYS_NAME).open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(ModelMismatch, match=r"got sha256 \d+ bytes, the card says"):
        load_model(folder)


def test_a_missing_file_is_named(folder):
    (folder / ARRAYS_NAME).unlink()
    with pytest.raises(ModelMismatch, match=r"got no file; needed the arrays of small-1\.2\.3;"):
        load_model(folder)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_renamed_pickle_is_refused_and_never_run(folder, tmp_path, protocol):
    target = tmp_path / "ran"
    content = pickle.dumps(Bomb(target), protocol)
    pickle.loads(content).close()
    target.unlink()
    put(folder, content)
    named = "a pickle" if protocol >= 2 else "something"
    with pytest.raises(
        ModelMismatch, match=f"got {named}, not a safetensors file .* nothing in the file was run"
    ):
        load_model(folder)
    assert not target.exists()


def test_a_renamed_archive_is_refused(folder):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("data.pkl", b"\x80\x04.")
    put(folder, stream.getvalue())
    with pytest.raises(ModelMismatch, match="got a zip archive"):
        load_model(folder)


def header(text, length=None):
    return struct.pack("<Q", len(text) if length is None else length) + text


@pytest.mark.parametrize(
    "content",
    [
        b"x",
        b"\xff" * 64,
        header(b"not json"),
        header(b"{}", length=2**62),
        header(b"[" * 100_000),
        header(b'{"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}}'),
        header(b'{"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}') + b"\0\0",
    ],
)
def test_rubbish_is_refused(folder, content):
    put(folder, content)
    with pytest.raises(ModelMismatch, match="not a safetensors file"):
        load_model(folder)


def changed_arrays(folder, **changed):
    arrays = load((folder / ARRAYS_NAME).read_bytes())
    put(folder, save({k: v for k, v in (arrays | changed).items() if v is not None}))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"trees.left": None}, r"without 'trees.left'"),
        ({"kind.json": None}, r"without 'kind.json'"),
        ({"kind.json": np.frombuffer(b'"pickle"', np.uint8)}, "trees of kind 'pickle'"),
        ({"features.json": np.frombuffer(b"[", np.uint8)}, "cannot be read"),
        ({"calibrator.slope": np.eye(2)}, "calibrator with arrays of shapes"),
        ({"domain.center": np.zeros(2, np.float32)}, "domain with arrays of shapes"),
        ({"trees.left": np.full(3, 10**6, np.uint32)}, "got tree arrays in which"),
        ({"kind.json": np.frombuffer(b"{}", np.uint8)}, "trees of kind '{}'"),
        ({"kind.json": np.frombuffer(b"[[1]]", np.uint8)}, "trees of kind"),
        ({"features.json": np.frombuffer(b"7", np.uint8)}, "'features.json' that is no list of n"),
        ({"features.json": np.frombuffer(b"[1, 2, 3]", np.uint8)}, "is no list of names"),
        ({"features.json": np.frombuffer(b"[" * 10**5, np.uint8)}, "cannot be read"),
        ({"classes": np.array(4, np.uint8)}, "'classes' of uint8 with 0 dimensions"),
        ({"classes": np.array([1.0, 4.0, 8.0])}, "'classes' of float64 with 1 dimensions"),
        ({"domain.numbers": np.array([np.nan, 0.5])}, "'domain.numbers' that holds NaN"),
        ({"domain.numbers": np.array([np.inf, 0.5])}, "'domain.numbers' that holds NaN"),
        ({"domain.scale": np.full(3, np.nan, np.float32)}, "'domain.scale' that holds NaN"),
        ({"domain.points": np.zeros((9, 3), np.complex64)}, "'domain.points' of complex64"),
        ({"calibrator.bias": np.full(3, np.nan)}, "'calibrator.bias' that holds NaN"),
        ({"calibrator.floor": np.array([-1.0])}, "calibration that adds -1 before its logarithm"),
        ({"calibrator.prior": np.full(3, np.inf)}, "'calibrator.prior' that holds NaN"),
    ],
)
def test_arrays_that_would_lead_astray_are_refused(folder, changed, message):
    changed_arrays(folder, **changed)
    with pytest.raises(ModelMismatch, match=message):
        load_model(folder)


def test_leaves_whose_shares_are_no_probabilities_are_refused(folder):
    shares = load((folder / ARRAYS_NAME).read_bytes())["trees.proba"]
    changed_arrays(folder, **{"trees.proba": shares / 2})
    with pytest.raises(ModelMismatch, match="class shares that do not add up to 1"):
        load_model(folder)


def test_a_card_of_another_kind_is_refused(folder):
    edit_card(folder, lambda table: table.update(kind="boosting"))
    with pytest.raises(ModelMismatch, match="card of kind boosting; the arrays hold forest; the c"):
        load_model(folder)


def test_a_class_named_twice_is_refused(folder):
    changed_arrays(folder, classes=np.array([1, 4, 4], np.uint8))
    edit_card(folder, lambda table: table["classes"][2].update(value=4, name="forest"))
    with pytest.raises(ConfigError, match="classes: got forest twice"):
        load_model(folder)


def test_a_doubled_key_of_a_card_is_refused(folder):
    path = folder / CARD_NAME
    path.write_text('name = "other"\n' + path.read_text())
    with pytest.raises(ConfigError, match="not valid TOML: Cannot overwrite a value"):
        load_card(folder)


@pytest.mark.parametrize("name", ["./a\0b", "./" + "a" * 300, "./loop/x"])
def test_paths_that_lead_nowhere_are_refused(folder, name):
    (folder.parent / "loop").symlink_to("loop")
    with pytest.raises(ConfigError, match=r"got a folder without card\.toml; give the folder of"):
        find_model(name, folder.parent)


def test_a_link_is_the_model_it_leads_to(folder):
    link = folder.parent / "better-9.9.9"
    link.symlink_to(folder)
    assert find_model("./better-9.9.9", folder.parent) == folder.resolve()
    assert load_model(link).card.full_name == "small-1.2.3"


def test_a_card_with_other_features_is_refused(folder):
    def change(table):
        table["features"]["bands"] = ["nir", "red", "swir16"]
        table["feature_names"] = ["nir_p50", "red_p50", "swir16_p50"]

    edit_card(folder, change)
    with pytest.raises(
        ModelMismatch,
        match=r"got feature 'nir_p50' in place 1 instead of 'red_p50' the arrays were trained on; "
        "the card was edited: take the folder from its source again, or train",
    ):
        load_model(folder)


def test_a_card_that_contradicts_itself_is_refused(folder):
    edit_card(folder, lambda table: table["feature_names"].append("blue_p50"))
    with pytest.raises(ModelMismatch, match="got 4 features instead of the 3"):
        load_model(folder)


def test_a_card_with_other_classes_is_refused(folder):
    def change(table):
        table["classes"][2] |= {"value": int(LandCover.WATER), "name": "water"}

    edit_card(folder, change)
    with pytest.raises(
        ModelMismatch, match="card with classes 1, 4, 11; the arrays hold 1, 4, 8; the card was"
    ):
        load_model(folder)


def test_a_card_whose_bands_cannot_give_the_features_is_refused(folder):
    edit_card(folder, lambda table: table["imagery"].update(bands=["red", "swir16"]))
    with pytest.raises(ModelMismatch, match="its features need nir too; the card was edited"):
        load_model(folder)


def test_a_card_of_a_newer_program_is_refused(folder):
    edit_card(folder, lambda table: table.update(schema_version=3, novelty=True))
    with pytest.raises(ModelMismatch, match="schema_version 3; this program reads up to 2; instal"):
        load_card(folder)


def test_every_mistake_of_a_card_is_named(folder):
    def change(table):
        table["classes"][0]["name"] = "wheat"
        table["version"] = "../1"
        table["licence"] = "mine"

    edit_card(folder, change)
    with pytest.raises(ConfigError, match="3 mistakes") as caught:
        load_card(folder)
    assert "classes.0.name: value 1 is called 'paddy' here" in str(caught.value)


def test_a_renamed_folder_is_refused(folder):
    renamed = folder.rename(folder.with_name("better-9.9.9"))
    with pytest.raises(ModelMismatch, match=r"got the card of small-1\.2\.3; needed a folder of"):
        load_model(renamed)


@pytest.mark.parametrize("name", ["..", "small-1.2.3", "nowhere-1.0.0", "", "a-1.0.0\n", "ä-1.0.0"])
def test_names_that_are_not_shipped_are_refused(folder, name):
    with pytest.raises(ConfigError, match="no such model; shipped are"):
        find_model(name, folder.parent)


@pytest.mark.parametrize("name", ["../../etc", "./nowhere-1.0.0", "/"])
def test_a_path_must_hold_a_card(folder, name):
    with pytest.raises(ConfigError, match=r"got a folder without card.toml"):
        find_model(name, folder.parent)


def test_a_model_is_found_by_its_path(folder):
    assert find_model("./small-1.2.3", folder.parent) == folder.resolve()
    assert models_in(folder.parent) == [folder]


@pytest.mark.parametrize(
    "pair",
    [
        ("../up", "1.0.0"),
        ("a", "1.0"),
        ("A", "1.0.0"),
        ("a", "1.0.0/"),
        ("ä", "1.0.0"),
        ("a", "１.0.0"),
    ],
)
def test_a_name_stays_one_folder(pair):
    with pytest.raises(ConfigError, match="not the name of a model; give"):
        full_name(*pair)
    assert full_name("two-words", "10.0.1") == "two-words-10.0.1"


@pytest.mark.parametrize("path", models_in(shipped_folder()), ids=lambda path: path.name)
def test_shipped_models_are_sound_small_and_say_they_are_synthetic(path):
    card = load_model(find_model(path.name, path)).card
    assert card.arrays.bytes < 1_000_000
    assert card.training.synthetic == path.name.startswith("synthetic-")
    assert any("real decisions" in use for use in card.not_for)
