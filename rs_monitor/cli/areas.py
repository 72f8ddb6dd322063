"""Command on the mapped areas of a class raster: areas."""

from __future__ import annotations

from pathlib import Path

import click

from rs_monitor.cli.display import show_table
from rs_monitor.cli.options import FILE


@click.command()
@click.argument("map_path", metavar="MAP", type=FILE)
@click.option("--zones", type=FILE, help="Polygons in any CRS; default the whole map.")
@click.option("--layer", help="Layer of the zones, if their file holds several.")
@click.option("--id-field", default="zone_id", show_default=True, help="Field with the zone's id.")
@click.option("--out", type=FILE, help="Write the table as CSV as well.")
def areas(
    map_path: Path, zones: Path | None, layer: str | None, id_field: str, out: Path | None
) -> None:
    """Count the classes of a map and give their mapped (not measured) areas."""
    from rs_monitor.outputs.class_area_view import MAPPED_NOT_MEASURED, printed_areas
    from rs_monitor.outputs.csv_table import require_csv, write_csv
    from rs_monitor.pipeline.class_areas import map_class_areas

    if out is not None:
        require_csv(out)
    counted = map_class_areas(map_path, zones, layer=layer, id_field=id_field)
    show_table(f"Mapped areas, {map_path.name}", printed_areas(counted.table))
    for note in counted.notes:
        click.echo(note)
    click.echo(MAPPED_NOT_MEASURED)
    if out is not None:
        click.echo(f"written {write_csv(out, counted.table)}")
