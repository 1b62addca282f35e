"""`kb doctor`: prove that rows, originals and indexes agree; repair what can be."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points

import click

from kb.app import Kb, build
from kb.commands.show import as_json, json_option


@click.command()
@click.option(
    "--repair", is_flag=True, help="Mend what can be mended: everything derived is rebuilt from the rows."
)
@click.option("--full", is_flag=True, help="Also read every original file and compare its hash.")
@json_option
def doctor(repair: bool, full: bool, as_json_: bool) -> None:
    """Check the whole state; exit status 1 if anything is wrong.

    Servers that the settings name and that do not answer are noted: the state is sound without them.
    """
    from kb.ops import doctor as state
    from kb.store import Finding

    kb = build()
    if repair:
        report = state.repair(kb, index=kb.index, faqs=kb.faqs, full=full)
    else:
        report = state.check(kb, index=kb.index, full=full)
    findings = (*report.findings, *(Finding("note", what, why) for what, why in _helpers(kb)))
    if as_json_:
        as_json({"ok": report.ok, "findings": findings, "done": report.done})
    else:
        for done in report.done:
            click.secho(done, fg="green")
        for finding in findings:
            click.echo(f"{finding.severity}: {finding.detail}")
        wrong = sum(f.severity != "note" for f in report.findings)
        click.echo(
            "Everything agrees."
            if report.ok
            else f"{wrong} left that cannot be mended from what is here."
            if repair
            else f"{wrong} wrong; kb doctor --repair mends what it can."
        )
    if not report.ok:
        raise click.exceptions.Exit(1)


def _helpers(kb: Kb) -> Iterator[tuple[str, str]]:
    """What kb leans on and would not get now: (what, why in words)."""
    from kb.llm.local.processes import find, missing

    for point in entry_points(group="kb.ingestors"):
        yield from (("tika", why) for why in point.load().silent(kb.settings))
    if kb.chat is not None:
        if why := kb.chat.look():
            yield "model", why
    elif find(kb.settings) is None:
        yield "model", missing(kb.settings)
