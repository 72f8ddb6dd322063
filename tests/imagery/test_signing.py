import json
import sys
import urllib.request
from types import ModuleType
from urllib.parse import urlsplit

import pystac
import pytest

from rs_monitor.errors import CatalogError
from rs_monitor.imagery import stac_api
from rs_monitor.imagery.catalog import SceneItem
from rs_monitor.imagery.items import write_items
from rs_monitor.imagery.search import search
from rs_monitor.imagery.signing import API_TOKEN, ASSET_HOST, ASSET_TOKEN, make_signer
from tests.imagery.test_stac_api import options, serving

SECRET = "hunter2"
HOST = "assets.test"
CAPTURED = "odc-stac/S2B_MSIL2A_20190629T212529_R043_T06VVN_20201006T080531_raster_ext.json"
SIX = [f"s{number}" for number in range(6)]


@pytest.fixture(autouse=True)
def small_pages(monkeypatch):
    monkeypatch.setattr(stac_api, "RETRY_WAIT_S", 0.0)
    monkeypatch.setattr(stac_api, "PAGE", 4)
    for variable in (API_TOKEN, ASSET_TOKEN, ASSET_HOST, "PC_SDK_SUBSCRIPTION_KEY"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(scope="module")
def raws(make):
    """Each with an asset on the host, one elsewhere and one given relative to the item."""
    items = []
    for number, name in enumerate(SIX):
        hrefs = {"red": f"https://{HOST}/{name}_red.tif?v=1", "nir": "https://open.test/nir.tif"}
        assets = {band: {"href": href, "dtype": "uint16"} for band, href in hrefs.items()}
        assets["scl"] = {"href": "./scl.tif", "dtype": "uint8"}
        raw = make.item(name, assets, when=f"2021-05-{number + 1:02d}T02:50:00Z")
        items.append(raw | {"links": [{"rel": "self", "href": f"https://{HOST}/{name}/i.json"}]})
    return items


@pytest.fixture(scope="module")
def url(raws, tmp_path_factory):
    with serving(tmp_path_factory.mktemp("stac"), raws) as url:
        yield url


@pytest.fixture
def token(monkeypatch):
    monkeypatch.setenv(ASSET_TOKEN, f"?key={SECRET}")
    monkeypatch.setenv(ASSET_HOST, HOST)


def found(href, kind="api", **changes):
    return search(kind, href, **options(**{"bands": ["red", "nir", "scl"]} | changes)).items


def hrefs(items):
    return {(item.id, name): band.href for item in items for name, band in item.bands.items()}


def expected():
    signed = {(name, "red"): f"https://{HOST}/{name}_red.tif?v=1&key={SECRET}" for name in SIX}
    signed |= {(name, "scl"): f"https://{HOST}/{name}/scl.tif?key={SECRET}" for name in SIX}
    return signed | {(name, "nir"): "https://open.test/nir.tif" for name in SIX}


def test_every_href_of_the_host_gets_the_token_and_no_other(url, token):
    assert hrefs(found(f"{url}/plain", signing="query-token")) == expected()
    unsigned = hrefs(found(f"{url}/plain"))
    assert not any(SECRET in href for href in unsigned.values())


@pytest.mark.parametrize("kind", ["geoparquet", "static"])
def test_other_catalogues_are_signed_alike(kind, raws, token, tmp_path):
    absolute = []
    for raw in raws:
        assets = {key: dict(asset) for key, asset in raw["assets"].items()}
        assets["scl"]["href"] = f"https://{HOST}/{raw['id']}/scl.tif"
        absolute.append(raw | {"assets": assets})
    href = write_items(tmp_path / "items.parquet", absolute)
    if kind == "static":
        catalog = pystac.Catalog("c", "c")
        catalog.add_items([pystac.Item.from_dict(raw) for raw in absolute])
        catalog.normalize_and_save(str(tmp_path), pystac.CatalogType.SELF_CONTAINED)
        href = tmp_path / "catalog.json"
    assert hrefs(found(str(href), kind, signing="query-token")) == expected()


def test_secrets_stay_out_of_records(url, token):
    for item in found(f"{url}/plain", signing="query-token"):
        assert SECRET not in repr(item)
        assert SECRET not in json.dumps(item.to_dict())
        assert SECRET not in repr(SceneItem.from_dict(item.to_dict()))
    assert SECRET not in repr(make_signer("query-token", url))


def test_a_host_without_assets_is_named(url, token, monkeypatch):
    monkeypatch.setenv(ASSET_HOST, "other.test")
    with pytest.raises(CatalogError, match=r"no asset lies on other\.test") as failure:
        found(f"{url}/plain", signing="query-token")
    assert SECRET not in str(failure.value)


def test_bearer_goes_to_the_catalogue_only(url, monkeypatch):
    monkeypatch.setenv(API_TOKEN, SECRET)
    with pytest.raises(CatalogError, match="who are you"):
        found(f"{url}/plain-named")
    assert len(found(f"{url}/plain-named-b", signing="bearer")) == len(SIX)
    away = found(f"{url}/plain-away", signing="bearer")
    assert [item.id for item in away] == SIX
    with urllib.request.urlopen(f"{url}/seen", timeout=10) as answer:
        requests = [entry for entry in json.load(answer) if "/plain-away" in entry["path"]]
    keys = {entry["host"].partition(":")[0]: entry["key"] for entry in requests}
    assert keys == {"127.0.0.1": f"Bearer {SECRET}", "localhost": None}


@pytest.mark.parametrize("kind", ["bearer", "query-token"])
def test_missing_or_broken_variables_are_named(kind, url, monkeypatch):
    variable = API_TOKEN if kind == "bearer" else ASSET_TOKEN
    with pytest.raises(CatalogError, match=f"{variable} is not set"):
        found(f"{url}/plain", signing=kind)
    monkeypatch.setenv(variable, f"{SECRET}\nX: y")
    with pytest.raises(CatalogError, match=f"{variable} holds white space") as failure:
        found(f"{url}/plain", signing=kind)
    assert SECRET not in str(failure.value)


def test_unknown_kinds_and_unknown_things_are_refused(url, token):
    with pytest.raises(CatalogError, match="got signing 'magic'"):
        found(f"{url}/plain", signing="magic")
    with pytest.raises(CatalogError, match="got a Item; needed a page"):
        make_signer("query-token", url).modify(
            pystac.Item("a", None, None, None, {"start_datetime": "x", "end_datetime": "y"})
        )


def test_messages_are_concealed(monkeypatch, token):
    signer = make_signer("query-token", f"https://user:{SECRET}@api.test/?k={SECRET}")
    text = f"GET https://user:pw@api.test/a?x=1 failed; header {SECRET}; url: /b?c={SECRET}"
    assert signer.conceal(text) == "GET https://api.test/a?... failed; header ...; url: /b?..."


@pytest.fixture(scope="module")
def planetary(shared_data, tmp_path_factory):
    captured = json.loads((shared_data / "stac_items" / CAPTURED).read_text())
    with serving(tmp_path_factory.mktemp("pc"), [captured]) as url:
        yield url


@pytest.fixture
def package(planetary, monkeypatch):
    """A stand-in that does what the package documents, with a real token service."""

    def sign_inplace(page):
        for raw in page["features"]:
            for asset in raw["assets"].values():
                parts = urlsplit(asset["href"])
                if parts.netloc.endswith(".blob.core.windows.net"):
                    account, container = parts.netloc.split(".")[0], parts.path.split("/")[1]
                    place = f"{planetary}/sas/{account}/{container}"
                    with urllib.request.urlopen(place, timeout=10) as answer:
                        asset["href"] += f"?{json.load(answer)['token']}"

    module = ModuleType("planetary_computer")
    module.sign_inplace = sign_inplace
    monkeypatch.setitem(sys.modules, "planetary_computer", module)
    return module


@pytest.mark.shared
@pytest.mark.usefixtures("package")
def test_every_blob_is_signed(planetary):
    (item,) = found(f"{planetary}/plain", signing="planetary-computer")
    assert len(item.bands) > 12
    suffix = "?sv=1&sig=secret-sentinel2l2a01-sentinel2-l2"
    assert all(band.href.endswith(f".tif{suffix}") for band in item.bands.values())
    assert "secret" not in json.dumps(item.to_dict()) + repr(item)


@pytest.mark.shared
def test_a_hook_that_does_nothing_is_found_out(planetary, package):
    package.sign_inplace = lambda _: None
    with pytest.raises(CatalogError, match="came back unsigned"):
        found(f"{planetary}/plain", signing="planetary-computer")


@pytest.mark.shared
def test_a_token_service_out_of_reach_is_named(planetary, package):
    def sign_inplace(_):
        raise OSError("503 for https://sas.test/token?key=hunter2")

    package.sign_inplace = sign_inplace
    with pytest.raises(CatalogError, match="no signature for its assets: 503") as failure:
        found(f"{planetary}/plain", signing="planetary-computer")
    assert SECRET not in str(failure.value)


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "planetary_computer", None)
    with pytest.raises(CatalogError, match=r"install rs-monitor\[planetary-computer\]"):
        found("http://127.0.0.1:9", signing="planetary-computer")
