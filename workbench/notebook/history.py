"""Magics over runs that are in the store: find them, decide what they wait for, play one back, begin one anew from its middle."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar, get_args

import pandas as pd
from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

from workbench import frames
from workbench.current import current
from workbench.errors import EffectsRepeat, UnknownRun, UserError
from workbench.notebook.options import variable
from workbench.notebook.session import NotebookSession
from workbench.record.values import LifetimeStatus
from workbench.runtime.pending import Pending
from workbench.runtime.run import Run

T = TypeVar("T")

STATUSES = (*sorted(get_args(LifetimeStatus)), "interrupted")
"""What a run can be; the last is said of one that nobody works on."""

SHOWN = ["run_id", "title", "status", "started_at", "duration_s", "model", "tasks", "tool_calls", "cost_usd", "forked_from"]


@magics_class
class HistoryMagics(Magics):
    """`%runs`, `%approve`, `%replay` and `%fork`."""

    def __init__(self, shell: Any, session: NotebookSession) -> None:
        super().__init__(shell)
        self._session = session
        self._variables: dict[str, Any] = shell.user_ns

    @no_var_expand
    @magic_arguments()
    @argument("-s", "--status", choices=STATUSES, help="only runs with this status")
    @argument("-t", "--text", help="only runs whose task has this text in it; upper and lower case are the same")
    @argument("-m", "--model", help="only runs of a model whose name has this text in it")
    @argument("--tool", help="only runs that have called this tool")
    @argument("--since", help="only runs that began at this time or later: 2026-11-21, or '2026-11-21 09:00' in quotes; in UTC")
    @argument("--until", help="only runs that began before this time")
    @argument("--cost", help="only runs that cost at least so many dollars")
    @argument("-l", "--limit", type=int, default=20, help="how many, the newest first (default: 20)")
    @argument("-b", "--browse", action="store_true", help="a table to search, open and compare runs in")
    @line_magic
    def runs(self, line: str) -> pd.DataFrame | None:
        """The runs of this store as a DataFrame, the newest first; or a table to look through.

        %runs --browse
        %runs --status waiting
        %runs -t penguins --tool measurements -l 5
        %runs --since 2026-11-01 --cost 0.05
        """
        args = parse_argstring(self.runs, line)
        return _checked(lambda: self._browse(line)) if args.browse else _checked(lambda: _found(args))

    @no_var_expand
    @magic_arguments()
    @argument("run", nargs="?", help="a variable that holds the run, its id, or a beginning of that (default: the only run that waits)")
    @argument("-n", "--number", type=int, default=1, help="which of the run's requests, counted from 1 (default: 1)")
    @argument("--reject", action="store_true", help="refuse the call instead")
    @argument("--note", help="what to tell whoever asked, in quotes")
    @argument("--value", help="the answer to a question, or other arguments for a call, as JSON in quotes")
    @line_magic
    def approve(self, line: str) -> None:
        """Decide what a run waits for: let a call be made, answer a question, let a paused run go on.

        %approve
        %approve 4f21a0c3 --value '{"amount": 10}' --note "less will do"
        %approve 4f21a0c3 --reject --note "not today"
        """
        args = parse_argstring(self.approve, line)
        _checked(lambda: _decide(args, None if args.run is None else self._run(args.run)))

    @no_var_expand
    @magic_arguments()
    @argument("run", help="a variable that holds the run, its id, or a beginning of that")
    @argument("--speed", type=float, default=1.0, help="how many seconds of the run pass in one (default: 1)")
    @line_magic
    def replay(self, line: str) -> None:
        """Show a stored run as if it happened now. Nothing is run, called or asked again.

        %replay 4f21a0c3 --speed 10
        """
        args = parse_argstring(self.replay, line)
        _checked(lambda: self._session.play(self._run(args.run), args.speed))

    @no_var_expand
    @magic_arguments()
    @argument("run", help="a variable that holds the run, its id, or a beginning of that")
    @argument("--step", type=int, help="the agent's step that is taken again (default: a form asks)")
    @argument("--prompt", help="go on as if the task had been this text, in quotes")
    @argument("--result", help="what calls of the step gave instead, as JSON in quotes; the first is 0: '{\"0\": 20.5}'")
    @argument("-m", "--model", help="provider:name, or a variable that holds a model (default: the run's own)")
    @argument("--confirm", action="store_true", help="what has happened after the point and is not idempotent may happen again")
    @argument("-o", "--output", type=variable, help="a variable that is bound to the new run")
    @line_cell_magic
    def fork(self, line: str, cell: str | None = None) -> Run | None:
        """Begin a new run with what another has recorded, and go on live from one of its steps. The other run stays as it is.

        Without a step, a form asks for it and for what is to be changed. As `%%fork`, the cell's text is the code that the step runs in the
        place of what the model wrote.

            %%fork 4f21a0c3 --step 3 -o corrected
            rows = rows[:10]
            finish(len(rows))
        """
        return _checked(lambda: self._forked(parse_argstring(self.fork, line), cell))

    def _browse(self, line: str) -> None:
        if len(line.split()) > 1:
            raise UserError("the table has filters of its own: write %runs --browse alone, or leave --browse out")
        self._session.browse()

    def _run(self, name: str) -> Run:
        """A run by the variable that holds it, by its id, or by a beginning of that."""
        held = self._variables.get(name)
        return held if isinstance(held, Run) else current().open(name)

    def _forked(self, args: Any, code: str | None) -> Run | None:
        run = self._run(args.run)
        changes = {"code": code, "prompt": _unquoted(args.prompt), "result": _by_call(_json(args.result, "--result"))}
        if args.step is None:
            if args.confirm or args.output or args.model or any(value is not None for value in changes.values()):
                raise UserError(f"say which step is taken again: %fork {run.id[:8]} --step 1")
            self._session.fork_form(run)
            return None
        begun = self._session.fork(run, model=args.model, step=args.step, confirm=args.confirm, **changes)
        if args.output is not None:
            self._variables[args.output] = begun
        return begun


def _found(args: Any) -> pd.DataFrame:
    found = frames.runs(since=_time(args.since, "--since"), until=_time(args.until, "--until"))
    if args.cost is not None:
        found = found[found["cost_usd"] >= _dollars(args.cost)]
    for column, text in (("title", _unquoted(args.text)), ("model", _unquoted(args.model))):
        if text is not None:
            found = found[found[column].str.contains(text, case=False, regex=False, na=False)]
    if args.status is not None:
        found = found[found["status"] == args.status]
    if args.tool is not None:
        calls = frames.tool_calls()
        found = found[found["run_id"].isin(calls.loc[calls["tool"] == args.tool, "run_id"])]
    return found.iloc[::-1][SHOWN].head(max(0, args.limit)).reset_index(drop=True)


def _dollars(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise UserError(f"--cost is a number of dollars, such as 0.05; {text!r} is none") from error


def _time(text: str | None, option: str) -> pd.Timestamp | None:
    if text is None:
        return None
    stamp = pd.to_datetime(_unquoted(text) or "", errors="coerce", utc=True)
    if not isinstance(stamp, pd.Timestamp):
        raise UserError(f"{option} is a time, such as 2026-11-21 or '2026-11-21 09:00'; {text!r} is none")
    return stamp


def _decide(args: Any, run: Run | None) -> None:
    pending = _pending(run, args.number)
    value, note = _json(args.value, "--value"), _unquoted(args.note)
    kind = pending.request.kind
    if args.reject:
        pending.stop(note=note, actor="notebook") if kind == "pause" else pending.reject(note, actor="notebook")
    elif kind == "approval":
        pending.approve(value, note=note, actor="notebook")
    elif kind == "question":
        if args.value is None:
            raise UserError(f"{pending.title!r} wants an answer: --value '…', as JSON")
        pending.answer(value, note=note, actor="notebook")
    elif kind == "pause":
        pending.unpause(note=note, actor="notebook")
    else:
        raise UserError(
            f"{pending.title} Say it in code: pending = wb.open({pending.run.id[:8]!r}).pending[{args.number - 1}], then "
            "pending.happened(result), pending.did_not_happen() or pending.stop()"
        )
    print(f"run {pending.run.id[:8]}: {pending.title} {'No' if args.reject else 'Yes'}.")  # noqa: T201 - a magic says what it did


def _pending(run: Run | None, number: int) -> Pending:
    """The request that is meant.

    Raises:
        UserError: there is none, or it is not clear which.
    """
    if run is None:
        waiting = [run for run in current().runs(limit=1_000) if run.pending]
        if len(waiting) != 1:
            listed = "".join(f"\n  {run.id[:8]}  {run.title}: {run.pending[0].title}" for run in waiting)
            raise UserError(
                f"{len(waiting)} runs wait for a person"
                + (f"; say which, such as %approve {waiting[0].id[:8]}:{listed}" if waiting else "")
            )
        (run,) = waiting
    asked = run.pending
    if not 1 <= number <= len(asked):
        raise UserError(f"run {run.id[:8]} is {run.status} and waits for {len(asked)} decisions; there is no number {number}")
    return asked[number - 1]


def _by_call(results: Any) -> dict[int | str, Any] | None:
    """Results by call: its place in the step, or its id."""
    if results is None:
        return None
    if not isinstance(results, dict):
        raise UserError("--result says which calls gave what, by their place, of which the first is 0: '{\"0\": 20.5}'")
    return {int(call) if call.isdecimal() else call: value for call, value in results.items()}


def _json(text: str | None, option: str) -> Any:
    if text is None:
        return None
    try:
        return json.loads(_unquoted(text) or "")
    except ValueError as error:
        raise UserError(f"{option} is JSON, such as '{{\"amount\": 10}}' or '\"yes\"'; {text!r} is not: {error}") from error


def _unquoted(text: str | None) -> str | None:
    """IPython leaves the quotes of an argument in place."""
    quoted = text is not None and len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted and text is not None else text


def _checked(work: Callable[[], T]) -> T:
    """A mistake in how a magic is used is one line, not a traceback."""
    try:
        return work()
    except EffectsRepeat as error:
        raise UsageError(f"{error.told}\n--confirm lets it.") from error
    except (UserError, UnknownRun) as error:
        raise UsageError(str(error)) from error
