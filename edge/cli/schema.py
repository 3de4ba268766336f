"""`maskgate schema`."""

from __future__ import annotations

import json

import click


@click.command()
@click.argument("name", type=click.Choice(["event", "image", "status", "asyncapi"]), default="asyncapi")
def schema(name: str) -> None:
    """The JSON Schema of a record, or the AsyncAPI 3 document of all topics."""
    from edge.asyncapi import asyncapi_document
    from edge.messages import json_schema

    document = asyncapi_document() if name == "asyncapi" else json_schema(name)  # type: ignore[arg-type]
    click.echo(json.dumps(document, indent=2))
