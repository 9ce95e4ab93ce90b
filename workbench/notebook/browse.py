"""The run browser: the runs of a store in a table that can be searched, opened, compared and forked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anywidget
import ipywidgets
import pandas as pd
import traitlets
from IPython.display import clear_output

from workbench import frames
from workbench.current import current
from workbench.errors import WorkbenchError
from workbench.notebook import shown
from workbench.notebook.assets import BROWSE, STATIC, small_css, small_js
from workbench.notebook.wire import BADGES
from workbench.runtime.run import Run
from workbench.visible import visible

RUNS = 2_000
"""So many of the newest runs are in the table."""


class RunTable(anywidget.AnyWidget):
    """The table. The page filters it; what is pressed comes back as a message."""

    _esm = small_js("dom.js", "browse.js")
    _css = small_css(STATIC, BROWSE)
    rows: Any = traitlets.List().tag(sync=True)
    notice: Any = traitlets.Unicode("").tag(sync=True)

    def __repr__(self) -> str:
        """What stands where the widget cannot be drawn."""
        return f"{len(self.rows)} runs; %runs lists them as a DataFrame."


class RunBrowser:
    """The table, and below it what was opened: a run's view, two runs side by side, or the form that forks one."""

    def __init__(self, *, open_run: Callable[[Run], None], compare: Callable[[Run, Run], None], fork: Callable[[Run], None]) -> None:
        self.table = RunTable(rows=rows())
        self.below = ipywidgets.Output()
        self.widget = ipywidgets.VBox([self.table, self.below])
        self._open_run = open_run
        self._compare = compare
        self._fork = fork
        self.table.on_msg(self._from_page)

    def _from_page(self, _widget: Any, message: Any, _buffers: Any) -> None:
        """A press. Whatever goes wrong is said in the page: nobody else would hear of it."""
        self.table.notice = ""
        try:
            match message:
                case {"open": str(run_id)}:
                    self._draw(self._open_run, run_id)
                case {"compare": [str(left), str(right)]}:
                    self._draw(self._compare, left, right)
                case {"fork": str(run_id)}:
                    self._draw(self._fork, run_id)
                case {"refresh": True}:
                    self.table.rows = rows()
        except WorkbenchError as error:
            self.table.notice = visible(str(error))

    def _draw(self, draw: Callable[..., None], *run_ids: str) -> None:
        runs = [current().open(run_id) for run_id in run_ids]
        with self.below:
            clear_output(wait=True)
            draw(*runs)


def rows() -> list[dict[str, Any]]:
    """The newest runs, as the table shows them."""
    found = frames.runs().iloc[::-1].head(RUNS)
    tools = frames.tool_calls().groupby("run_id")["tool"].agg(lambda names: sorted(set(names))).to_dict() if len(found) else {}
    return [_row(run, tools.get(run.run_id, [])) for run in found.itertuples()]


def _row(run: Any, tools: list[str]) -> dict[str, Any]:
    cost = "" if not run.cost_usd else f"${run.cost_usd:.4f}"
    return {
        "id": run.run_id,
        "title": shown.line_of("" if pd.isna(run.title) else str(run.title), 160),
        "origin": "" if pd.isna(run.forked_from) else f"fork of {run.forked_from[:8]}",
        "status": run.status,
        "badge": BADGES[run.status],
        "model": "" if pd.isna(run.model) else shown.line_of(str(run.model), 60),
        "started": f"{run.started_at:%Y-%m-%d %H:%M}",
        "took": "" if pd.isna(run.duration_s) else shown.duration_text(run.duration_s * 1000),
        "steps": int(run.model_calls or run.tasks),
        "calls": int(run.tool_calls),
        "usd": float(run.cost_usd or 0),
        "cost": cost + (" + unpriced" if cost and run.unpriced else "unpriced" if run.unpriced else ""),
        "tools": [shown.line_of(str(tool), 60) for tool in tools],
    }
