"""NotebookSession: the tools and the one agent of a kernel, and how a cell waits for a run."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, cast

from IPython.display import display

from workbench.agents.agent import Agent
from workbench.agents.codeact import Approve
from workbench.current import current
from workbench.errors import AgentBusy, RunError, RunStopped, UserError
from workbench.loop import run_async, run_sync
from workbench.models.client import ModelClient
from workbench.models.resolve import resolve
from workbench.notebook.at_hand import model_of, on_loop, tools_of
from workbench.notebook.browse import RunBrowser
from workbench.notebook.card import tool_bundle, tools_bundle
from workbench.notebook.comparison import compared
from workbench.notebook.drawing import Drawing
from workbench.notebook.filling import filled, told, variables
from workbench.notebook.forking import ForkForm
from workbench.notebook.options import AgentOptions, ToolOptions
from workbench.notebook.pages import Pages
from workbench.notebook.playback import played
from workbench.notebook.settings import WorkbenchSettings
from workbench.notebook.trying import TryTool
from workbench.notebook.view import RunView
from workbench.notebook.wire import View
from workbench.runtime.run import Run
from workbench.sandbox.session import EngineChoice
from workbench.tools.tool import ATTRIBUTE, Tool

logger = logging.getLogger(__name__)

TICK = 0.05
"""Seconds between two looks of a waiting cell at its run. A cell that sleeps longer would not notice the kernel's interrupt."""

STOP_SECONDS = 2.0
"""How long an interrupted cell waits for its run to have stopped."""

INTERRUPTED = "interrupted by the user"

GOING_ON = frozenset({"pending", "running", "waiting", "paused"})
"""How a run stands that more will follow of."""


@dataclass(frozen=True, kw_only=True)
class _Request:
    task: str
    agent: Agent
    schema: Any
    given: dict[str, Any]
    continuing: Run | None


class NotebookSession:
    """What one kernel has: tools by name, which cell each came from, settings, and for each `--engine` a sandbox that all `%%agent` cells
    share."""

    def __init__(self, ip: Any) -> None:
        self._ip = ip
        self.settings = WorkbenchSettings()
        self.tools: dict[str, Tool] = {}
        self._cells: dict[str, list[Tool]] = {}
        self._model: ModelClient | None = None
        """The one given last, so that its connections serve the next cell too."""
        self._owners: dict[str, Agent] = {}
        self._last: Run | None = None
        """The run of the last `%%agent` cell: what `--continue` goes on with."""
        self._drawn: tuple[str, int] | None = None
        """The run drawn last and the execution that drew it: a cell whose value is its run draws it once."""
        self._tasks: set[asyncio.Task[None]] = set()

    def define_tools(self, cell: str, only: str | None, options: ToolOptions) -> None:
        """Run a `%%tool` cell, make tools of its functions, and show them.

        Raises:
            UserError: the cell failed, or defines no function that could be a tool; the notebook's tools stay as they were.
        """
        code = self._ip.transform_cell(cell)
        names = _functions(code, only)
        if self._ip.should_run_async(cell, transformed_cell=code) and _loop_is_running():
            raise UserError("a %%tool cell cannot await; await in a cell of its own, and use the result here")
        # A line stands for the magic's, so that tracebacks count lines as the page does.
        if not self._ip.run_cell(f"# %%tool\n{cell}", store_history=False).success:
            # What is wrong has been shown. This says what it means, and stops Run All.
            raise UserError("the cell failed; the notebook's tools are as they were")
        made = [_tool(self._ip.user_ns[name], options) for name in names]
        # What an agent would refuse is refused here, where it can be mended.
        Agent(tools=made)
        owner = self._cell_id()
        for stale in self._cells.get(owner, []):
            # Another cell may have made a tool of the same name since.
            if self.tools.get(stale.name) is stale:
                del self.tools[stale.name]
        self._cells[owner] = made
        self.tools.update((tool.name, tool) for tool in made)
        display(tools_bundle(made), raw=True)

    def run_blocking(self, options: AgentOptions, cell: str) -> Run:
        """Run an `%%agent` cell where nothing can be awaited; an interrupt stops the run."""
        # The page's buttons do nothing while the kernel is blocked, so nobody can be asked, unless it is said that somebody will answer.
        run = run_sync(self._begin(options, self._request(options, cell, None), unattended=self._unattended(options, headless=True)))
        if options.background:
            return run
        drawing = self._draw(run, interactive=False)
        try:
            with contextlib.suppress(RunError):
                run.result()
        except KeyboardInterrupt:
            run.stop(INTERRUPTED)
            with contextlib.suppress(RunError, TimeoutError):
                run.result(STOP_SECONDS)
        drawing.settle()
        return self._ended(run)

    async def run_awaited(self, options: AgentOptions, cell: str) -> Run:
        """Run an `%%agent` cell that awaits its run. While it waits the kernel answers its buttons; an interrupt stops the run."""
        request = self._request(options, cell, asyncio.get_running_loop())
        beginning = asyncio.ensure_future(run_async(self._begin(options, request, unattended=self._unattended(options))))
        try:
            run = await asyncio.shield(beginning)
        except asyncio.CancelledError:
            run = await beginning
            run.stop(INTERRUPTED)
        watching = self._watch(self._draw(run, interactive=not self._headless()))
        if options.background:
            return run
        try:
            # Ticks, not one long wait: the kernel's interrupt does not wake a sleeping loop.
            while run.live:  # noqa: ASYNC110
                await asyncio.sleep(TICK)
            await asyncio.wait({watching})
        except asyncio.CancelledError:
            run.stop(INTERRUPTED)
            await asyncio.wait({watching}, timeout=STOP_SECONDS)
        return self._ended(run)

    def show(self, run: Run) -> None:
        """Draw a run as it stands in the record; one that somebody works on, here or elsewhere, is followed where a loop can do it."""
        follow = _loop_is_running() and (run.live or (run.status in GOING_ON and not self._headless()))
        drawing = self._draw(run, interactive=follow and not self._headless())
        if follow:
            self._watch(drawing)
        else:
            drawing.settle()

    def view(self, run: Run) -> None:
        """Open a run's interactive view, which stays.

        Raises:
            UserError: no loop can follow it, or nobody could press its buttons.
        """
        self._needs_a_page("an interactive view needs a page to be drawn in; run.show() draws the run as it stands in the record")
        self._watch(self._draw(run, interactive=True), keep=True)

    def _show_below(self, run: Run) -> None:
        """Draw a run inside another widget: what is displayed there cannot be replaced later, so a run that goes on stays interactive."""
        if run.live or run.status in GOING_ON:
            self.view(run)
        else:
            self.show(run)

    def compare(self, left: Run, right: Run) -> None:
        """Draw two runs side by side."""
        display(compared(_view_of(left), _view_of(right)), raw=True)

    def try_tool(self, name: str) -> None:
        """Open the form of a tool.

        Raises:
            UserError: there is no such tool, or no page to show the form in.
        """
        (tool,) = self._chosen((name,))
        self._needs_a_page(f"a form needs a page to be drawn in; in code, {name}(…) is the function itself")
        display(TryTool(tool))

    def fork(self, run: Run, *, model: str | None, **changes: Any) -> Run:
        """Begin a run anew from one of its steps, with the tools and the model that the notebook has under their names."""
        loop = asyncio.get_running_loop() if _loop_is_running() else None
        variables = self._ip.user_ns
        tools = [on_loop(tool, loop) for tool in tools_of(run, self.tools, variables)]
        client = model_of(run, self._model, variables) if model is None else variables.get(model, model)
        objects: dict[str, Any] = {"tools": tools or None, "model": client}
        return run.fork(**changes, **{name: value for name, value in objects.items() if value is not None})

    def fork_form(self, run: Run) -> None:
        """Open the form that begins a run anew from one of its steps.

        Raises:
            UserError: the run is no agent's, or there is no page to show the form in.
        """
        self._needs_a_page(f"a form needs a page to be drawn in; say the step: %fork {run.id[:8]} --step 1")
        display(ForkForm(run, fork=self.fork, show=self._show_below))

    def browse(self) -> None:
        """Open the run browser.

        Raises:
            UserError: there is no page to show it in.
        """
        self._needs_a_page("the run browser needs a page to be drawn in; %runs lists the runs as a DataFrame")
        display(RunBrowser(open_run=self._show_below, compare=self.compare, fork=self.fork_form).widget)

    def play(self, run: Run, speed: float) -> None:
        """Show a stored run as if it happened now; nothing is run, called or asked again.

        Raises:
            UserError: there is no page to show it in, or nothing to play, or the speed is none.
        """
        self._needs_a_page("a playback needs a page to be drawn in; run.show() draws the run as it stands in the record")
        playing = played(run.entries(), speed=speed, pages=Pages(run).page)
        display(playing.widget)
        self._keep(playing.watch())

    def display_run(self, run: Run) -> None:
        """A run as a cell's value: drawn, unless this very cell has drawn it already."""
        if self._drawn != (run.id, self._ip.execution_count):
            self.show(run)

    def tool_bundle(self, tool: Tool, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """A tool as a cell's value."""
        return tool_bundle(tool)

    def _request(self, options: AgentOptions, cell: str, loop: asyncio.AbstractEventLoop | None) -> _Request:
        task = filled(cell.strip(), self._variable)
        if not task:
            raise UserError("the cell has no task; write it below the line with %%agent")
        if options.continuing and self._last is None:
            raise UserError("there is no %%agent cell to go on with; leave --continue out")
        given = {} if options.given is None else variables(options.given, self._variable)
        schema = None if options.schema is None else self._variable(options.schema, "--schema")
        return _Request(
            task=f"{task}\n\n{told(given)}" if given else task,
            agent=self._agent(options, loop),
            schema=schema,
            given=given,
            continuing=self._last if options.continuing else None,
        )

    async def _begin(self, options: AgentOptions, request: _Request, *, unattended: bool) -> Run:
        """Start the run and bind it. On the runtime's loop, so that it is bound before the run takes its first step."""
        run = self._last = await request.agent.astart(
            request.task, schema=request.schema, unattended=unattended, continuing=request.continuing, variables=request.given
        )
        run.hush()  # before the first tool is called; the view follows
        if options.output is not None:
            self._ip.user_ns[options.output] = run
        return run

    def _watch(self, drawing: Drawing, *, keep: bool = False) -> asyncio.Task[None]:
        return self._keep(drawing.follow() if keep else drawing.watch())

    def _keep(self, view: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        watching = asyncio.get_running_loop().create_task(view)
        self._tasks.add(watching)
        watching.add_done_callback(self._watched)
        return watching

    def _watched(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a view has stopped; its run goes on", exc_info=error)

    def _agent(self, options: AgentOptions, loop: asyncio.AbstractEventLoop | None) -> Agent:
        """An agent with this cell's options, in the sandbox that all cells share."""
        name = options.model or (self.settings.model if self._model is None else "")
        if name:
            self._model = resolve(name if ":" in name else self._variable(name, "--model"))
        elif self._model is None:
            self._model = resolve()
        engine = options.engine or cast("EngineChoice", self.settings.engine)
        approve = options.approve or cast("Approve", self.settings.approve)
        policy = options.policy or self.settings.policy or None
        agent = Agent(
            self._model,
            tools=[on_loop(tool, loop) for tool in self._chosen(options.tools)],
            max_iterations=self.settings.max_iterations if options.max_iterations is None else options.max_iterations,
            system=None if options.system is None else str(self._variable(options.system, "--system")),
            engine=engine,
            policy=self._ip.user_ns[policy] if policy is not None and policy in self._ip.user_ns else policy,
            approve=approve,
            workbench=current(),
        )
        return agent.sharing_sandbox(self._owners.setdefault(engine, agent))

    def _chosen(self, names: tuple[str, ...] | None) -> list[Tool]:
        if names is None:
            return list(self.tools.values())
        unknown = [name for name in names if name not in self.tools]
        if unknown:
            raise UserError(f"no tool is named {', '.join(unknown)}; the notebook's tools are: {', '.join(self.tools) or 'none'}")
        return [self.tools[name] for name in names]

    def _variable(self, name: str, where: str) -> Any:
        if name not in self._ip.user_ns:
            raise UserError(f"{where} names {name!r}, but the notebook has no variable of that name")
        return self._ip.user_ns[name]

    def _draw(self, run: Run, *, interactive: bool) -> Drawing:
        self._drawn = (run.id, self._ip.execution_count)
        run.hush()
        return Drawing(run, interactive=interactive)

    def _ended(self, run: Run) -> Run:
        """The run, if it completed; else its error, so that Run All stops here."""
        try:
            run.result(0 if run.live else None)
        except TimeoutError:
            raise RunStopped(f"run {run.id} has been asked to stop and is still cleaning up", run=run) from None
        return run

    def _headless(self) -> bool:
        """Nobody can press a button: nbclient and scripts allow no stdin."""
        kernel = getattr(self._ip, "kernel", None)
        return kernel is None or not getattr(kernel, "_allow_stdin", False)

    def _needs_a_page(self, instead: str) -> None:
        """Raise UserError with what to do `instead`, where nothing interactive can be shown."""
        if not _loop_is_running() or self._headless():
            raise UserError(instead)

    def _unattended(self, options: AgentOptions, *, headless: bool = False) -> bool:
        """Whether what would be asked is refused at once."""
        said = options.approvals or self.settings.approvals
        return (headless or self._headless()) if said == "auto" else said == "reject"

    def reset(self) -> None:
        """Forget the agent: its conversation and its sandboxes with their variables. Tools and settings stay.

        Raises:
            AgentBusy: one of its runs is going on.
        """
        if self._last is not None and self._last.live:
            raise AgentBusy(f"{self._last} is going on; stop it first")
        for owner in self._owners.values():
            owner.close()
        self._owners, self._last, self._model = {}, None, None

    def _cell_id(self) -> str:
        """The id of the cell being run; where the frontend gives none, cells are told apart by their count alone."""
        kernel = getattr(self._ip, "kernel", None)
        parent = kernel.get_parent() if kernel is not None else {}
        return str(parent.get("metadata", {}).get("cellId") or f"execution {self._ip.execution_count}")


def _view_of(run: Run) -> View:
    view = RunView()
    for entry in run.entries():
        view.apply(entry)
    return view.full()


def _tool(function: Callable[..., Any], options: ToolOptions) -> Tool:
    """A tool with the cell's options; a function decorated with `wb.tool` has its own."""
    return Tool.of(function) if hasattr(function, ATTRIBUTE) else Tool.from_function(function, **vars(options))


def _functions(code: str, only: str | None) -> list[str]:
    """The names of the functions that some Python defines at its top level and that are meant as tools."""
    try:
        tree = ast.parse(code)
    except SyntaxError:
        # Running the cell says what is wrong.
        return []
    defined = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    chosen = [name for name in dict.fromkeys(defined) if (name == only if only else not name.startswith("_"))]
    if not chosen:
        wanted = f"no function named {only!r}" if only else "no function whose name does not begin with '_'"
        raise UserError(f"the cell defines {wanted}; a %%tool cell makes tools of the functions in it")
    return chosen


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
