"""`%load_ext workbench`: what is added to IPython, and taken away again by `%unload_ext`."""

from __future__ import annotations

from typing import Any

from workbench.agents.many import set_bar
from workbench.notebook.bars import bar
from workbench.notebook.completion import Completion, is_ours
from workbench.notebook.displays import Displays
from workbench.notebook.history import HistoryMagics
from workbench.notebook.magics import WorkbenchMagics, awaited_cell
from workbench.notebook.session import NotebookSession
from workbench.notebook.settings import WorkbenchSettings
from workbench.runtime.presenting import Presenters, set_presenters
from workbench.runtime.run import Run
from workbench.tools.printed import set_surroundings
from workbench.tools.tool import Tool

MAGICS = ("WorkbenchMagics", "HistoryMagics")


def load(ip: Any) -> None:
    """Register the magics, the cell transformer and the displays. Loading twice changes nothing; nothing is printed."""
    if MAGICS[0] in ip.magics_manager.registry:
        return
    session = NotebookSession(ip)
    ip.register_magics(WorkbenchMagics(ip, session), HistoryMagics(ip, session))
    session.settings.update_config(ip.config)
    ip.configurables.append(session.settings)
    ip.Completer.custom_matchers.append(Completion(ip, session).matcher)
    ip.input_transformers_cleanup.append(awaited_cell)
    ip.display_formatter.ipython_display_formatter.for_type(Run, session.display_run)
    ip.display_formatter.mimebundle_formatter.for_type(Tool, session.tool_bundle)
    set_bar(bar)
    set_surroundings(Displays(ip.display_pub).heard)
    set_presenters(Presenters(session.show, session.view, session.compare))


def unload(ip: Any) -> None:
    """Take away what `load` added. Tools, the agent and its runs go on existing for whoever holds them."""
    registered = [ip.magics_manager.registry.pop(name, None) for name in MAGICS]
    if None in registered:
        return
    for magics in registered:
        for kind, names in magics.magics.items():
            for name in names:
                ip.magics_manager.magics[kind].pop(name, None)
    ours = (WorkbenchSettings, WorkbenchMagics, HistoryMagics)
    ip.configurables[:] = [each for each in ip.configurables if not isinstance(each, ours)]
    ip.Completer.custom_matchers[:] = [each for each in ip.Completer.custom_matchers if not is_ours(each)]
    ip.input_transformers_cleanup.remove(awaited_cell)
    ip.display_formatter.ipython_display_formatter.pop(Run)
    ip.display_formatter.mimebundle_formatter.pop(Tool)
    set_bar(None)
    set_surroundings(None)
    set_presenters(None)
