"""The command line: `workbench demo | new | runs | show | answer | verify | export | import | prune | shred | keys`.

It never goes on with a run.
"""

from __future__ import annotations

import argparse
import getpass
import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.adapters.cipher import new_key
from workbench.adapters.masterkeys import written
from workbench.agents.trace import describe
from workbench.current import current
from workbench.errors import (
    BlobCorrupt,
    BlobMissing,
    KeyUnavailable,
    RecordCorrupt,
    ReplayDivergence,
    RunError,
    RunShredded,
    UserError,
    WorkbenchError,
)
from workbench.runtime.run import Run
from workbench.scaffold.write import KINDS, write
from workbench.visible import visible

QUICKSTART = Path("notebooks", "01_quickstart.ipynb")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is 0, 1 for a failure it reports, or 2 for wrong usage."""
    arguments = _parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a character shows the rest
    try:
        code: int = arguments.command(arguments)
        sys.stdout.flush()
    except WorkbenchError as error:
        print(f"workbench: {visible(str(error))}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read our output has seen enough; what is still buffered goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="workbench", description="Agents in Jupyter, and the record of what they did.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo = commands.add_parser("demo", help="execute the quickstart notebook headless and print the agent's answer")
    demo.add_argument("--output", type=Path, default=Path("out"), help="directory for the executed notebook (default: out)")
    demo.set_defaults(command=_demo)
    runs = commands.add_parser("runs", help="list runs, the newest first")
    runs.add_argument("--limit", type=int, default=20, help="how many (default: 20)")
    runs.set_defaults(command=_runs)
    show = commands.add_parser("show", help="print what a run did, step by step")
    show.add_argument("run", metavar="RUN", help="a run's id, or the beginning of one")
    show.set_defaults(command=_show)
    answer = commands.add_parser("answer", help="decide what a run waits for")
    answer.add_argument("run", metavar="RUN", help="a run's id, or the beginning of one")
    answer.add_argument("decision", choices=["approve", "approve-always", "reject", "answer", "happened", "did-not-happen", "stop"])
    answer.add_argument("--value", metavar="JSON", help="the answer, the changed arguments, or the result the call had")
    answer.add_argument("--note", help="what to tell whoever asked")
    answer.set_defaults(command=_answer)
    verify = commands.add_parser("verify", help="check a run's record against its hashes")
    verify.add_argument("run", metavar="RUN", help="a run's id, or the beginning of one")
    verify.add_argument("--head", metavar="HASH", help="the last hash that an earlier verify printed: then nothing can have been cut off")
    verify.set_defaults(command=_verify)
    export = commands.add_parser("export", help="write a run, with all its record refers to, into one file")
    export.add_argument("run", metavar="RUN", help="a run's id, or the beginning of one")
    export.add_argument("--output", type=Path, help="the file (default: RUN.json)")
    export.set_defaults(command=_export)
    taken = commands.add_parser("import", help="check an exported run, and write it into this store")
    taken.add_argument("file", type=Path, metavar="FILE")
    taken.set_defaults(command=_import)
    prune = commands.add_parser("prune", help="delete runs that have ended, leaving a tombstone of each")
    prune.add_argument("runs", metavar="RUN", nargs="+", help="a run's id, or the beginning of one")
    prune.set_defaults(command=_prune)
    shred = commands.add_parser("shred", help="delete the keys of encrypted runs that have ended; what they say can then be read by nobody")
    shred.add_argument("runs", metavar="RUN", nargs="+", help="a run's id, or the beginning of one")
    shred.set_defaults(command=_shred)
    keys = commands.add_parser("keys", help="make a master key, or encrypt all data keys with the newest one")
    keys.add_argument("what", choices=["new", "rotate"])
    keys.set_defaults(command=_keys)
    new = commands.add_parser("new", help="write the files that a new graph, task, plan, tool, policy or notebook begins with")
    new.add_argument("kind", choices=KINDS, metavar="KIND", help=", ".join(KINDS))
    new.add_argument("name", metavar="NAME", help="the module's name, such as write_report")
    new.add_argument("--dir", type=Path, default=Path(), help="where to write (default: here)")
    new.add_argument("--force", action="store_true", help="overwrite files that are there")
    new.set_defaults(command=_new)
    return parser


def _new(arguments: argparse.Namespace) -> int:
    for path in write(arguments.kind, arguments.name, arguments.dir, force=arguments.force):
        print(path)
    return 0


def _runs(arguments: argparse.Namespace) -> int:
    runs = current().runs(arguments.limit)
    if not runs:
        print("There are no runs in this store yet.")
    for run in runs:
        try:
            started = run.state.created_at
            print(f"{run.id}  {run.status:<11}  {started:%Y-%m-%d %H:%M:%S}  {visible(run.title)}")
        except (KeyUnavailable, RunShredded) as error:
            print(f"{run.id}  {visible(str(error))}")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    run = current().open(arguments.run)
    totals = run.state.totals
    print(f"{visible(run.title)}\nrun {run.id}: {run.status}")
    print(
        f"{totals.tasks} tasks, {totals.plans} plans, {totals.tool_calls} tool calls, "
        f"{totals.tokens_in} tokens in, {totals.tokens_out} out\n"
    )
    for event in run.events():
        print(describe(event))
    for pending in run.pending:
        print(f"   waiting: {visible(pending.title)} {pending.args!r}")
    return 0


def _answer(arguments: argparse.Namespace) -> int:
    """Decide the oldest request of a run; the process that owns the run takes the decision from the store."""
    run = current().open(arguments.run)
    if not run.pending:
        raise UserError(f"run {run.id} is {run.status} and waits for nobody")
    value = None if arguments.value is None else _json(arguments.value)
    pending, said = run.pending[0], {"note": arguments.note, "actor": getpass.getuser()}
    match arguments.decision:
        case "approve":
            pending.approve(value, **said)
        case "approve-always":
            pending.approve_always(value, **said)
        case "reject":
            pending.reject(**said)
        case "answer":
            pending.answer(value, **said)
        case "happened":
            pending.happened(value, **said)
        case "did-not-happen":
            pending.did_not_happen(**said)
        case "stop":
            pending.stop(**said)
    print(f"run {run.id}: {visible(pending.title)} {arguments.decision}")
    return 0


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError(f"--value {text!r} is not JSON: {error}; text needs quotes of its own, as in --value '\"yes\"'") from error


def _verify(arguments: argparse.Namespace) -> int:
    run = current().open(arguments.run)
    try:
        verified = run.verify(head=arguments.head)
    except (RecordCorrupt, BlobMissing, BlobCorrupt, ReplayDivergence) as error:
        print(f"run {run.id}: the record does NOT hold: {error}", file=sys.stderr)
        return 1
    print(f"run {run.id}: {verified.entries} entries hold, last hash {verified.head}")
    if verified.unreadable is not None:
        print(f"Only the hashes could be checked: {visible(verified.unreadable)}")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    run = current().open(arguments.run)
    path = arguments.output or Path(f"{run.id}.json")
    try:
        with path.open("xb") as file:
            file.write(current().export(run.id))
    except FileExistsError:
        raise UserError(f"{str(path)!r} is there already; give --output another name") from None
    print(f"run {run.id}: {path}")
    return 0


def _import(arguments: argparse.Namespace) -> int:
    try:
        file = arguments.file.read_bytes()
    except OSError as error:
        raise UserError(f"{str(arguments.file)!r} cannot be read: {error.strerror}") from error
    run = current().import_run(file)
    print(f"run {run.id}: {run.verify().entries} entries hold")
    return 0


def _prune(arguments: argparse.Namespace) -> int:
    pruned = current().prune(*(current().open(run).id for run in arguments.runs))
    print(f"{pruned.runs} runs deleted: {pruned.entries} entries, {pruned.streams} sandbox streams, {pruned.blobs} blobs")
    return 0


def _shred(arguments: argparse.Namespace) -> int:
    gone = current().shred(*(current().open(run).id for run in arguments.runs))
    print(f"{gone.runs} runs and {gone.streams} sandbox streams shredded")
    if gone.shared_streams:
        print(f"{gone.shared_streams} sandbox streams are used by other runs too and can still be read")
    return 0


def _keys(arguments: argparse.Namespace) -> int:
    if arguments.what == "new":
        print(written(new_key()))
    else:
        print(f"{current().rotate()} data keys encrypted with the newest master key")
    return 0


def _demo(arguments: argparse.Namespace) -> int:
    notebook = _quickstart()
    if notebook is None:
        print(f"workbench: {QUICKSTART} is not here; run this in a checkout of the project", file=sys.stderr)
        return 1
    try:
        executed = _execute(notebook, arguments.output)
    except ImportError as error:
        print(f"workbench: the demo needs {error.name}; pip install 'agent-workbench[demo]'", file=sys.stderr)
        return 1
    run = current().runs(1)[0]
    print(f"Task:     {visible(run.title)}")
    print(f"Model:    {run.state.manifest.resources['model']['name']}" if run.state.manifest else "")
    print(f"Answer:   {_value(run)}")
    print(f"Run:      {run.id} (see it with: workbench show {run.id[:8]})")
    print(f"Notebook: {executed}")
    return 0


def _quickstart() -> Path | None:
    beside = Path(__file__).resolve().parent.parent
    return next((base / QUICKSTART for base in (Path.cwd(), beside) if (base / QUICKSTART).is_file()), None)


def _execute(notebook: Path, output: Path) -> Path:
    """Execute a notebook in a kernel of this interpreter and write it with its outputs; the notebook itself stays as it is."""
    import nbformat  # noqa: PLC0415 - an extra that only the demo needs
    from nbclient import NotebookClient  # noqa: PLC0415

    content: Any = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    print(f"Executing {notebook} …", flush=True)
    # The kernel warns that its loopback sockets are not encrypted, which a newcomer would take for a fault; its errors are shown.
    quiet, place = ["--log-level=ERROR"], {"metadata": {"path": str(notebook.parent)}}
    NotebookClient(content, timeout=300, kernel_name="python3", extra_arguments=quiet, resources=place).execute()
    output.mkdir(parents=True, exist_ok=True)
    executed = output / f"{notebook.stem}.executed.ipynb"
    nbformat.write(content, executed)  # type: ignore[no-untyped-call]
    return executed.resolve()


def _value(run: Run) -> str:
    try:
        return repr(run.value)
    except RunError as error:
        return f"none: {error}"
