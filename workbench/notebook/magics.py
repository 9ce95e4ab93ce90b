"""The magics. They parse and delegate; `session` does the work."""

from __future__ import annotations

import inspect
from typing import Any

from IPython.core.error import UsageError
from IPython.core.getipython import get_ipython
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

from workbench.errors import UserError
from workbench.notebook.options import AgentOptions, ToolOptions, variable
from workbench.notebook.session import NotebookSession

AWAITED = "_agent_awaited"
"""The cell magic that an `%%agent` cell becomes, so that the cell awaits its run."""


def awaited_cell(lines: list[str]) -> list[str]:
    """An input transformer: a cell that begins with `%%agent` awaits the run it starts.

    IPython does not await what a cell magic returns. Where a cell cannot await (`%%time`, `%%capture`, `%run`, `%autoawait off`) and where
    no transformer comes by (`run_cell_magic` from a script), the plain magic runs and blocks instead.
    """
    first = next((index for index, line in enumerate(lines) if line.strip()), None)
    if first is None:
        return lines
    magic, _, options = lines[first].strip().partition(" ")
    shell = get_ipython()
    if magic != "%%agent" or shell is None or not shell.autoawait or _inside_a_cell():
        return lines
    body = "".join(lines[first + 1 :]) or "\n"
    return [f"await get_ipython().run_cell_magic({AWAITED!r}, {options.strip()!r}, {body!r})\n"]


def _inside_a_cell() -> bool:
    """Whether a running cell has asked for the transformation: what it makes of the result is compiled and run without awaiting."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code is not InteractiveShell.run_code.__code__:
        frame = frame.f_back
    return frame is not None


@magics_class
class WorkbenchMagics(Magics):
    """`%%tool`, `%%agent`, `%try` and `%workbench`."""

    def __init__(self, shell: Any, session: NotebookSession) -> None:
        super().__init__(shell)
        self._session = session

    @no_var_expand
    @magic_arguments()
    @argument("-n", "--name", help="make a tool of the function of this name only; the cell's other functions are helpers")
    @argument("--timeout", type=float, help="seconds a call may take (default: 30)")
    @argument("--retries", type=int, default=0, help="how often a transient failure is tried again (default: 0)")
    @argument("--idempotent", action="store_true", help="repeating a call is harmless, so a call that a crash cut off may be made again")
    @argument("--approval", action="store_true", help="a person approves each call before it is made")
    @argument("--finish", action="store_true", help="calling the tool ends the run with its value")
    @argument(
        "--on",
        choices=["main"],
        help="run in the kernel's main thread, for libraries that work nowhere else (default: a thread of the run)",
    )
    @cell_magic
    def tool(self, line: str, cell: str) -> Any:
        """Run the cell and make a tool of every function it defines; names that begin with `_` are helpers.

        The docstring and the type hints are what the model is told. Running the cell again replaces its tools. A function decorated with
        `wb.tool` keeps the decorator's options.
        """
        args = parse_argstring(self.tool, line)
        options = ToolOptions(
            timeout=args.timeout,
            retries=args.retries,
            idempotent=args.idempotent,
            finish=args.finish,
            approval=args.approval,
            on=args.on,
        )
        return self._checked(lambda: self._session.define_tools(cell, args.name, options))

    @no_var_expand
    @magic_arguments()
    @argument("-m", "--model", help="provider:name, or a variable that holds a model (default: the last one given)")
    @argument("-t", "--tools", help="names of tools, separated by commas (default: every tool of the notebook)")
    @argument("-n", "--max-iterations", type=int, help="how many turns the model has (default: 10)")
    @argument("--schema", help="a variable that holds a pydantic class or a JSON Schema the answer must match")
    @argument("--system", help="a variable that holds text to put in place of the prompt's opening sentence")
    @argument(
        "--engine",
        choices=["auto", "littrs", "monty"],
        help="the sandbox engine, each with variables of its own (default: auto)",
    )
    @argument("--policy", help="what the run is judged by: a file, or a variable that holds a policy")
    @argument(
        "--approve",
        choices=["none", "tools", "code"],
        help="what a person is asked about: nothing, calls of tools that ask, or each block of code too (default: tools)",
    )
    @argument(
        "--approvals",
        choices=["wait", "reject"],
        help="wait for a person even where nobody can press a button, or refuse what would be asked (default: wait where somebody can)",
    )
    @argument("--with", dest="given", help="names of variables that are put into the sandbox, separated by commas")
    @argument("--continue", dest="continuing", action="store_true", help="go on with the conversation of the last %%agent cell")
    @argument("-o", "--output", type=variable, help="a variable that is bound to the run before it starts working")
    @argument("--background", action="store_true", help="do not wait: the cell's value is the live run")
    @cell_magic
    def agent(self, line: str, cell: str) -> Any:
        """Give the agent a task and wait for its run.

        The cell's text is the task; `{{name}}` puts in a variable, as text, JSON, or a table's columns and first rows. The cell's value is
        the run: `await run` or `run.value` gives the answer. The sandbox keeps its variables from one task to the next; what was said is
        forgotten unless the next one says `--continue`. `%workbench` shows and sets the defaults.

            %%agent -m openai:gpt-5-mini -o run
            How many penguins of each species are there?
        """
        options = self._agent_options(line)
        return self._checked(lambda: self._session.run_blocking(options, cell))

    @no_var_expand
    @cell_magic(AWAITED)
    async def agent_awaited(self, line: str, cell: str) -> Any:
        """What an `%%agent` cell becomes: see `%%agent?`."""
        options = self._agent_options(line)
        try:
            return await self._session.run_awaited(options, cell)
        except UserError as error:
            raise UsageError(str(error)) from error

    @no_var_expand
    @magic_arguments("try")
    @argument("tool", help="a tool of this notebook")
    @line_magic("try")
    def try_tool(self, line: str) -> None:
        """Open a form to call a tool by hand. The call is made for real, and no record has it.

        %try lookup
        """
        args = parse_argstring(self.try_tool, line)
        self._checked(lambda: self._session.try_tool(args.tool))

    @no_var_expand
    @magic_arguments()
    @argument("setting", nargs="?", help="a setting, or `reset`")
    @argument("value", nargs="*", help="what it is set to")
    @line_magic
    def workbench(self, line: str) -> Any:
        """Show the settings of this notebook, or set one, or begin anew.

        %workbench                              every setting, with what it is about
        %workbench model openai:gpt-5-mini      set one
        %workbench reset                        a new agent: no conversation, empty sandboxes; tools and settings stay
        %workbench reset settings               every setting as it was
        """
        args = parse_argstring(self.workbench, line)
        return self._checked(lambda: self._set_up(args.setting, " ".join(args.value)))

    def _set_up(self, setting: str | None, value: str) -> Any:
        settings = self._session.settings
        if setting == "reset" and value == "settings":
            settings.forget()
        elif setting == "reset" and not value:
            self._session.reset()
            return None
        elif setting is not None:
            settings.change(setting, value.strip("'\""))
        return settings.table()

    def _agent_options(self, line: str) -> AgentOptions:
        args = parse_argstring(self.agent, line)
        return AgentOptions(
            model=args.model,
            tools=None if args.tools is None else tuple(name.strip() for name in args.tools.split(",") if name.strip()),
            max_iterations=args.max_iterations,
            schema=args.schema,
            system=args.system,
            policy=args.policy,
            engine=args.engine,
            approve=args.approve,
            approvals=args.approvals,
            given=args.given,
            continuing=args.continuing,
            output=args.output,
            background=args.background,
        )

    def _checked(self, work: Any) -> Any:
        """A mistake in how a magic is used is one line, not a traceback."""
        try:
            return work()
        except UserError as error:
            raise UsageError(str(error)) from error
