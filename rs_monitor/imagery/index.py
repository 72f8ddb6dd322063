"""A folder of images becomes a stac-geoparquet catalogue; what cannot be dated is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rs_monitor.errors import CatalogError, ConfigError
from rs_monitor.imagery import naming
from rs_monitor.imagery.catalog import Refusal
from rs_monitor.imagery.header import Header, RefusedFile, read_header_of
from rs_monitor.imagery.items import Acquisition, Part, group_items, write_items
from rs_monitor.imagery.mtl import mtl_calibration
from rs_monitor.imagery.naming import ProductName
from rs_monitor.imagery.sensors import load_sensor
from rs_monitor.imagery.side_table import (
    Layer,
    SideTable,
    SourceEntry,
    moment,
    read_layers,
    read_side_table,
)

INDEX_NAME = "rs_monitor_items.parquet"
SIDE_TABLE_NAME = "index.toml"
_LEVEL1 = frozenset({"landsat-c1-l1", "landsat-c2-l1"})
_ENDINGS = frozenset({".tif", ".tiff", ".jp2"})


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What became of a folder."""

    written: int
    refused: tuple[Refusal, ...]
    path: Path
    ignored: tuple[str, ...] = ()


def index_folder(
    folder: Path,
    out: Path | None = None,
    *,
    side_table: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> IndexReport:
    """Turn a folder of GeoTIFF or JPEG 2000 files into a catalogue.

    Parameters
    ----------
    folder : Path
        Searched with all its subfolders; may be read-only when ``out`` lies elsewhere.
    out : Path, optional
        stac-geoparquet file to write; default ``rs_monitor_items.parquet`` in the folder.
    side_table : Path, optional
        TOML with what the files do not say; default ``index.toml`` in the folder, if there is one.
    progress : callable, optional
        Called with the path of each file before it is looked at.

    Returns
    -------
    IndexReport
        Number of items written and, by name, the files refused and why.

    Raises
    ------
    ConfigError
        If the folder is missing or the side table has mistakes.
    CatalogError
        If no file could be indexed; gives every reason.

    Notes
    -----
    The date of a file comes from the side table, else an acquisition tag, else a known product
    name or a name with exactly one date, else TIFFTAG_DATETIME. Files whose tag and name disagree
    about the day are refused. A date without time is set to noon UTC, whose solar day is that date
    at every longitude.

    Band names come from the side table (bands or a sensor table), a known product name, or the band
    descriptions; scale and offset from the side table, the specification of a known product, the
    MTL file of Landsat Level 1, or the file header. Relative hrefs are stored when the images lie
    below the catalogue's folder, absolute paths otherwise.
    """
    if not folder.is_dir():
        raise ConfigError(str(folder), ["no such folder; give the folder that holds the images"])
    out = out or folder / INDEX_NAME
    table = _table(folder, side_table)
    near = (folder, *([side_table.parent] if side_table else []))
    parts: list[Part] = []
    refused: list[Refusal] = []
    ignored: list[str] = []
    for path in _images(folder):
        relative = path.relative_to(folder).as_posix()
        if progress is not None:
            progress(relative)
        try:
            found = _parts(path, relative, table, near)
        except RefusedFile as error:
            refused.append(Refusal(relative, str(error)))
            continue
        parts += found
        ignored += [] if found else [relative]
    items, clashes = group_items(parts, out)
    refused += clashes
    if not items:
        raise CatalogError(_nothing(folder, refused))
    write_items(out, items)
    return IndexReport(len(items), tuple(refused), out, tuple(ignored))


def _table(folder: Path, side_table: Path | None) -> SideTable:
    if side_table is not None:
        return read_side_table(side_table)
    own = folder / SIDE_TABLE_NAME
    return read_side_table(own) if own.is_file() else SideTable()


def _images(folder: Path) -> list[Path]:
    found = (p for p in folder.rglob("*") if p.suffix.lower() in _ENDINGS and p.is_file())
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _nothing(folder: Path, refused: Sequence[Refusal]) -> str:
    reasons = [f"  {refusal.item_id}: {refusal.reason}" for refusal in refused]
    head = f"no image in {folder.name} could be indexed; a side table can give dates and bands"
    return "\n".join([head, *reasons])


def _parts(path: Path, relative: str, table: SideTable, near: Sequence[Path]) -> list[Part]:
    """Bands of a file; empty when the file is to be ignored."""
    entry = table.entry(relative) or SourceEntry(files=("*",))
    name = naming.parse_name(relative.split("/"))
    if table.ignores(relative) or entry.role == "ignore" or (name and name.preview):
        return []
    facts = read_header_of(path, relative)
    if isinstance(entry.bands, str):
        return _stack(facts, entry, entry.bands, table, near)
    when = _when(facts, entry, name)
    names = _band_names(facts, entry, name)
    return [
        _part(facts, entry, name, table, when, band, index)
        for index, band in enumerate(names, start=1)
    ]


def _stack(
    facts: Header, entry: SourceEntry, csv_name: str, table: SideTable, near: Sequence[Path]
) -> list[Part]:
    places = [facts.path.parent / csv_name, *(folder / csv_name for folder in near)]
    csv_path = next((place for place in places if place.is_file()), None)
    if csv_path is None:
        raise ConfigError(csv_name, ["no such file beside the images or the side table"])
    layers = read_layers(csv_path, entry)
    beyond = [layer.index for layer in layers if layer.index > len(facts.dtypes)]
    if beyond or len(layers) != len(facts.dtypes):
        raise RefusedFile(
            f"has {len(facts.dtypes)} layers where {csv_name} dates {len(layers)}; "
            "needed one row per layer"
        )
    return [_layer_part(facts, entry, table, layer, csv_name) for layer in layers]


def _layer_part(
    facts: Header, entry: SourceEntry, table: SideTable, layer: Layer, csv_name: str
) -> Part:
    collection = entry.collection or table.collection or "local"
    when = Acquisition(layer.when, layer.day_only, f"side table, {csv_name}")
    base = _part(facts, entry, None, table, when, str(entry.band), layer.index)
    stamp = f"{layer.when:%Y%m%d}" if layer.day_only else f"{layer.when:%Y%m%dT%H%M%S}"
    return replace(
        base,
        item_id=layer.item_id or f"{collection}_{stamp}",
        platform=layer.platform or base.platform,
    )


def _when(facts: Header, entry: SourceEntry, name: ProductName | None) -> Acquisition:
    stated = entry.when
    if stated is not None and entry.stand_in_date:
        return Acquisition(*stated, "side table, stand-in", precision="unknown")
    if stated is not None:
        return Acquisition(*stated, "side table")
    named = _named_when(facts, name)
    tagged = _tag_when(facts.acquired, "acquisition tag")
    if tagged and named:
        if tagged.moment.date() != named.moment.date():
            raise RefusedFile(
                f"its tag says {tagged.moment:%Y-%m-%d}, its name {named.moment:%Y-%m-%d}; "
                "state the date in the side table"
            )
        return named if tagged.day_only else tagged
    found = tagged or named or _tag_when(facts.created, "TIFFTAG_DATETIME")
    if found is None:
        raise RefusedFile(
            "has no date: no acquisition tag, no known product name, not exactly one date in its "
            "name; state the date in the side table"
        )
    return found


def _named_when(facts: Header, name: ProductName | None) -> Acquisition | None:
    if name is not None:
        return Acquisition(name.when, name.day_only, f"{name.family} name")
    day = naming.generic_day(facts.path.stem)
    return Acquisition(naming.noon_utc(day), True, "date in the name") if day else None


def _tag_when(text: str | None, source: str) -> Acquisition | None:
    if not text:
        return None
    # TIFF writes 2020:01:31 10:20:30
    plain = re.sub(r"^(\d{4}):(\d{2}):(\d{2})", r"\1-\2-\3", text.strip())
    try:
        return Acquisition(*moment(plain), source)
    except ValueError:
        return None


def _band_names(facts: Header, entry: SourceEntry, name: ProductName | None) -> tuple[str, ...]:
    count = len(facts.dtypes)
    names = _stated_names(entry) or _named_bands(name) or _described_names(facts, name)
    if not names:
        raise RefusedFile("its bands have no names; state bands = [...] in the side table")
    if len(names) != count or len(set(names)) != count:
        raise RefusedFile(
            f"has {count} bands where the names are {', '.join(names)}; needed one distinct name "
            "per band; state bands = [...] in the side table"
        )
    return names


def _stated_names(entry: SourceEntry) -> tuple[str, ...]:
    if entry.role == "dem":
        return ("dem",)
    if entry.band is not None:
        return (entry.band,)
    if entry.sensor is not None:
        return load_sensor(entry.sensor).names
    return entry.bands if isinstance(entry.bands, tuple) else ()


def _named_bands(name: ProductName | None) -> tuple[str, ...]:
    if name is None or name.sensor is None:
        return name.bands if name else ()
    return load_sensor(name.sensor).names


def _described_names(facts: Header, name: ProductName | None) -> tuple[str, ...]:
    """Names from band descriptions such as ``red``, ``B1 blue`` or, for Sentinel-2, ``B04``."""
    sentinel = name is not None and name.family == "sentinel-2"
    found: list[str] = []
    for text in facts.descriptions:
        words = re.split(r"[^0-9A-Za-z_]+", text or "")
        codes = [naming.SENTINEL2_BANDS[w.upper()] for w in words if w.upper() in _S2] * sentinel
        common = [word.lower() for word in words if word.lower() in naming.COMMON_NAMES]
        if len(set(common or codes)) != 1:
            return ()
        found.append((common or codes)[0])
    return tuple(found)


_S2 = frozenset(naming.SENTINEL2_BANDS)


def _part(
    facts: Header,
    entry: SourceEntry,
    name: ProductName | None,
    table: SideTable,
    when: Acquisition,
    band: str,
    index: int,
) -> Part:
    collection = entry.collection or table.collection or (name.collection if name else "local")
    scale, offset = _calibration(facts, entry, name, index)
    return Part(
        item_id=entry.item or (name.product if name else facts.path.stem),
        collection=collection,
        platform=entry.platform or (name.platform if name else "unknown"),
        when=when,
        facts=facts,
        band=band,
        index=index,
        nodata=_nodata(facts, entry, name, index),
        scale=scale,
        offset=offset,
        role=entry.role,
        gsd_m=entry.gsd_m,
        vertical_datum=entry.vertical_datum,
    )


def _calibration(
    facts: Header, entry: SourceEntry, name: ProductName | None, index: int
) -> tuple[float, float]:
    stated = _stated_calibration(facts, entry, index)
    if stated is not None:
        return stated
    if name is not None and name.scale is not None and name.offset is not None:
        return name.scale, name.offset
    if name is not None and name.collection in _LEVEL1:
        measured = mtl_calibration(facts.path, name.product)
        if measured is not None:
            return measured
    return facts.scales[index - 1], facts.offsets[index - 1]


def _stated_calibration(
    facts: Header, entry: SourceEntry, index: int
) -> tuple[float, float] | None:
    lists = [value for value in (entry.scale, entry.offset) if isinstance(value, tuple)]
    if any(len(value) != len(facts.dtypes) for value in lists):
        raise RefusedFile(
            f"has {len(facts.dtypes)} bands where the side table lists "
            f"{', '.join(str(len(value)) for value in lists)} scales or offsets; needed one a band"
        )
    return entry.calibration(index)


def _nodata(
    facts: Header, entry: SourceEntry, name: ProductName | None, index: int
) -> float | None:
    """Side table, then file header, then product specification."""
    stated = entry.nodata if entry.nodata is not None else facts.nodata[index - 1]
    if stated is None and name is not None:
        stated = name.nodata
    return None if stated is None or math.isnan(stated) else stated
