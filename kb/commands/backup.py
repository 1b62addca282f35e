"""`kb backup`: a copy of everything that matters, while kb runs."""

from __future__ import annotations

from pathlib import Path

import click

from kb.app import build


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def backup(folder: Path) -> None:
    """Copy database and originals into FOLDER, also while kb runs.

    FOLDER is new, or holds an earlier backup, of which only what changed is copied. To restore: copy it to where the
    state is to be, point KB_DATA there, and run `kb doctor`.
    """
    from kb.store.backup import backup as save

    kb = build()
    saved = save(kb.db, kb.blobs, folder)
    kb.close()
    click.echo(
        f"{saved.documents} documents, {saved.originals} originals ({saved.copied} of them new): {folder}"
    )
