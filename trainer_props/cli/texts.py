"""`trainer-props list` and `trainer-props explain`: what there is, in words."""

from __future__ import annotations

from typing import Annotated

import typer

from trainer_props.arguments import nearest
from trainer_props.cli.common import OK, UsageError, importing


def list_(
    what: Annotated[
        str, typer.Argument(help="properties, experiments, models, datasets, arguments, optimizers, schedulers, faults or known-bugs.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> int:
    """List what there is."""
    from trainer_props import listings

    if what not in listings.LISTINGS:
        raise UsageError(f"list {what!r}: there are {', '.join(listings.LISTINGS)}{nearest(what, list(listings.LISTINGS))}")
    with importing():
        listing = listings.LISTINGS[what]()
        from trainer_props.reports.terminal import make_console
    if as_json:
        print(listing.as_json())
    else:
        make_console().print(listing.as_table())
    return OK


def explain(property: Annotated[str, typer.Argument(help="An id of trainer-props list properties.")]) -> int:
    """What a property says, where that is documented, what it needs, which faults it kills, and how a failure looks."""
    with importing():
        from trainer_props import explaining
        from trainer_props.properties import PROPERTIES
        from trainer_props.reports.terminal import make_console
    if property not in PROPERTIES:
        raise UsageError(f"explain {property!r}: no such property{nearest(property, list(PROPERTIES))}")
    explaining.explain(PROPERTIES[property], make_console())
    return OK
