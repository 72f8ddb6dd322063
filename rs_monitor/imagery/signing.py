"""Authorised requests and signed hrefs; every secret comes from the environment."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from rs_monitor.errors import CatalogError
from rs_monitor.imagery.dialects import JSON, absolute_href, self_link

if TYPE_CHECKING:
    import requests

SigningKind = Literal["none", "planetary-computer", "query-token", "bearer"]

API_TOKEN = "RS_MONITOR_API_TOKEN"  # noqa: S105 - the variable's name
"""bearer: sent as a header to the host of the catalogue and to no other."""
ASSET_TOKEN = "RS_MONITOR_ASSET_TOKEN"  # noqa: S105
"""query-token: query string such as ``token=...``, appended to asset hrefs."""
ASSET_HOST = "RS_MONITOR_ASSET_HOST"
"""query-token: the one host whose assets get the token."""

_BLOB_HOST = ".blob.core.windows.net"
_QUERY = re.compile(r"\?[^\s'\"<>)]+")
_USERINFO = re.compile(r"//[^/@\s'\"]+@")

Sign = Callable[[dict[str, JSON]], None]


@dataclass(frozen=True, slots=True)
class Signer:
    """How the requests to one catalogue are authorised.

    Attributes
    ----------
    kind : str
    modify : callable, optional
        A ``modifier`` of pystac-client: signs the assets of a page of items (a dict
        FeatureCollection) or of one item (a dict Feature) in place.
    authorise : callable, optional
        A ``request_modifier`` of pystac-client: puts the header on a request.
    secrets : tuple of str
        What no message may show.
    """

    kind: SigningKind
    modify: Callable[[Any], None] | None = field(default=None, repr=False)
    authorise: Callable[[requests.Request], requests.Request] | None = field(
        default=None, repr=False
    )
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def sign(self, raw: Mapping[str, JSON], base: str | None) -> Mapping[str, JSON]:
        """Sign one item of a catalogue that is no API; relative hrefs start at ``base``."""
        if self.modify is None:
            return raw
        assets = {key: dict(asset) for key, asset in (raw.get("assets") or {}).items()}
        for asset in assets.values():
            asset["href"] = absolute_href(str(asset["href"]), base, str(raw.get("id")))
        signed = {**raw, "assets": assets}
        self.modify(signed)
        return signed

    def conceal(self, text: str) -> str:
        """Text without query strings, credentials of addresses, and secrets."""
        text = _plain(text)
        for secret in self.secrets:
            text = text.replace(secret, "...")
        return text


def make_signer(kind: str, href: str) -> Signer:
    """Signer of a catalogue.

    Parameters
    ----------
    kind : {'none', 'planetary-computer', 'query-token', 'bearer'}
    href : str
        Address of the catalogue; ``bearer`` authorises requests to its host only.

    Raises
    ------
    CatalogError
        If a variable or the package ``planetary-computer`` is missing.

    Notes
    -----
    ``planetary-computer`` is signed by Microsoft's package of that name, which takes an optional
    key from ``PC_SDK_SUBSCRIPTION_KEY``.
    """
    own = tuple(part for part in _secrets_of(href) if part)
    if kind == "none":
        return Signer("none", secrets=own)
    if kind == "planetary-computer":
        key = os.environ.get("PC_SDK_SUBSCRIPTION_KEY", "")
        secrets = (*own, key) if key else own
        return Signer("planetary-computer", modify=_on_items(_blob_signer()), secrets=secrets)
    if kind == "query-token":
        token = _from_environment(ASSET_TOKEN, kind).lstrip("?&")
        host = _from_environment(ASSET_HOST, kind).lower()
        values = [pair.partition("=")[2] for pair in token.split("&")]
        secrets = (*own, token, *(value for value in values if value))
        return Signer("query-token", modify=_on_items(_token_signer(token, host)), secrets=secrets)
    if kind == "bearer":
        token = _from_environment(API_TOKEN, kind)
        return Signer("bearer", authorise=_bearer(token, href), secrets=(*own, token))
    raise CatalogError(
        f"got signing {kind!r}; needed 'none', 'planetary-computer', 'query-token' or 'bearer'"
    )


def _plain(text: str) -> str:
    return _USERINFO.sub("//", _QUERY.sub("?...", text))


def _secrets_of(href: str) -> tuple[str, str]:
    if "://" not in href:
        return "", ""
    parts = urlsplit(href)
    return parts.query, parts.netloc.rpartition("@")[0]


def _from_environment(variable: str, kind: str) -> str:
    value = os.environ.get(variable, "").strip()
    if not value or re.search(r"\s", value):
        state = "holds white space" if value else "is not set"
        raise CatalogError(f"signing {kind!r}: {variable} {state}; set it in the environment")
    return value


def _on_items(sign: Sign) -> Callable[[Any], None]:
    """Modifier that takes whatever pystac-client hands over, and nothing it would leave unsigned.

    pystac-client gives dict pages, not items: a hook that only knows items does nothing at all.
    """

    def modify(given: Any) -> None:
        if isinstance(given, dict) and isinstance(given.get("features"), list):
            for raw in given["features"]:
                _resolve(raw)
                sign(raw)
        elif isinstance(given, dict) and "assets" in given:
            _resolve(given)
            sign(given)
        else:
            raise CatalogError(
                f"signing got a {type(given).__name__}; needed a page of items or an item as dict"
            )

    return modify


def _resolve(raw: dict[str, JSON]) -> None:
    """Make relative hrefs absolute: their host decides whether they are signed."""
    base = self_link(raw)
    for asset in (raw.get("assets") or {}).values():
        if base is not None:
            asset["href"] = absolute_href(str(asset["href"]), base, str(raw.get("id")))


def _token_signer(token: str, host: str) -> Sign:
    def sign(raw: dict[str, JSON]) -> None:
        assets = list((raw.get("assets") or {}).values())
        meant = [asset for asset in assets if host in _hosts(str(asset["href"]))]
        if assets and not meant:
            others = sorted({urlsplit(str(asset["href"])).hostname or "-" for asset in assets})
            raise CatalogError(
                f"item {raw.get('id')}: no asset lies on {host}, they lie on {', '.join(others)}; "
                f"needed the host that wants the token; correct {ASSET_HOST}"
            )
        for asset in meant:
            asset["href"] = _with_query(str(asset["href"]), token)

    return sign


def _hosts(href: str) -> Iterable[str]:
    """Host of an address without and with its port; none for files and buckets."""
    parts = urlsplit(href)
    if parts.scheme not in {"http", "https"}:
        return ()
    return (parts.hostname or "").lower(), parts.netloc.rpartition("@")[2].lower()


def _with_query(href: str, token: str) -> str:
    if href.endswith((f"?{token}", f"&{token}")):
        return href
    return f"{href}{'&' if urlsplit(href).query else '?'}{token}"


def _blob_signer() -> Sign:
    try:
        sign_inplace = importlib.import_module("planetary_computer").sign_inplace
    except ImportError:
        raise CatalogError(
            "signing 'planetary-computer' needs the package planetary-computer, which is not "
            "installed; install rs-monitor[planetary-computer]"
        ) from None

    def sign(raw: dict[str, JSON]) -> None:
        # as a page: for a lone item the package first guesses its type, and may guess wrong
        try:
            sign_inplace({"type": "FeatureCollection", "features": [raw]})
        except (OSError, ValueError) as error:
            raise CatalogError(
                f"item {raw.get('id')}: no signature for its assets: {_plain(str(error))}; check "
                "the network and PC_SDK_SUBSCRIPTION_KEY"
            ) from None
        for key, asset in (raw.get("assets") or {}).items():
            parts = urlsplit(str(asset["href"]))
            if (parts.hostname or "").endswith(_BLOB_HOST) and not parts.query:
                raise CatalogError(
                    f"item {raw.get('id')}: asset {key} came back unsigned; needed a signature for "
                    f"{parts.hostname}; check the version of the package planetary-computer"
                )

    return sign


def _bearer(token: str, href: str) -> Callable[[requests.Request], requests.Request]:
    home = urlsplit(href).netloc.rpartition("@")[2].lower()

    def authorise(request: requests.Request) -> requests.Request:
        # a next link may lead to another host, which must not learn the token
        if urlsplit(str(request.url)).netloc.rpartition("@")[2].lower() == home:
            request.headers = {**(request.headers or {}), "Authorization": f"Bearer {token}"}
        return request

    return authorise
