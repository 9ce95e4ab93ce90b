"""The form below a tool's card: the tool is called by hand, and its typed result or error is shown. No record has any of it."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from typing import Any

import ipywidgets

from workbench.errors import ToolError, ToolFailed
from workbench.loop import run_sync
from workbench.notebook import shown
from workbench.notebook.forms import form
from workbench.notebook.wire import Field
from workbench.tools.executor import ToolExecutor
from workbench.tools.printed import Printed, caught
from workbench.tools.tool import Tool

_WIDE = {"description_width": "initial"}
_LAYOUT = {"width": "32em", "max_width": "100%"}


class TryTool(ipywidgets.VBox):  # type: ignore[misc]
    """Fields for the arguments of one tool, and a button."""

    def __init__(self, tool: Tool) -> None:
        self._tool = tool
        self._executor = ToolExecutor([tool])
        self._fields = [(field, _input(field)) for field in form(tool.schema) or []]
        self._press = ipywidgets.Button(description=f"Call {tool.name}()", tooltip="Calls the tool now; no record has it")
        self._press.on_click(lambda _button: self.call())
        self.came = ipywidgets.HTML()
        asks = " It asks a person before an agent's call; here you are that person." if tool.approval else ""
        note = f"<small>Calls the tool for real. The call is part of no record.{asks}</small>"
        inputs = [widget for _, widget in self._fields]
        box = ipywidgets.VBox([*inputs, ipywidgets.HBox([self._press]), ipywidgets.HTML(note), self.came])
        folded = ipywidgets.Accordion([box], titles=[f"Try {tool.name}"])
        super().__init__([folded])

    def __repr__(self) -> str:
        """What stands where the widget cannot be drawn."""
        return f"(Where this notebook's kernel runs, {self._tool.name} can be tried here.)"

    def call(self) -> None:
        """Call the tool with what the fields hold."""
        self._press.disabled = True
        printed = Printed(alone=True)
        try:
            args = self.arguments()
            with caught(printed):
                value = run_sync(self._executor.call(self._tool.name, args, approved=True))
            self._say("✓ returned", f"{type(value).__name__}: {shown.value_text(value)}", printed)
        except ToolFailed as error:
            self._say("✕ raised", "\n  at ".join([f"{error.type}: {error}", *error.trace]), printed)
        except ToolError as error:
            self._say(f"✕ {error.code.removeprefix('tool_').replace('_', ' ')}", str(error), printed)
        except ValueError as error:
            self._say("✕ not called", str(error), printed)
        finally:
            self._press.disabled = False

    def arguments(self) -> dict[str, Any]:
        """The arguments as they stand in the fields; an empty field that need not be filled in is left out.

        Raises:
            ValueError: a field holds no value of its kind.
        """
        args = {}
        for field, widget in self._fields:
            text = str(widget.value).strip()
            if not text and field["needed"] and field["reads"] != "text":
                raise ValueError(f"{field['label']} has to be filled in")
            if text or field["needed"]:
                args[field["key"]] = _read(field, text)
        return args

    def _say(self, word: str, text: str, printed: Printed) -> None:
        parts = [f'<p role="status"><b>{html.escape(word)}</b></p>{_pre(text)}']
        if printed.text:
            parts.append(f"<small>printed</small>{_pre(printed.text)}")
        parts += [
            f'<img style="max-width:100%" src="data:{picture.type};base64,{base64.b64encode(picture.data).decode()}" '
            f'alt="{html.escape(picture.text)}">'
            for picture in printed.pictures
        ]
        self.came.value = "".join(parts)


def _pre(text: str) -> str:
    clipped = html.escape(shown.clip(text)["text"])
    return f'<pre style="white-space:pre-wrap;max-height:20em;overflow:auto">{clipped}</pre>'


def _input(field: Field) -> Any:
    label = field["label"] + ("" if field["needed"] else " (optional)")
    if field["reads"] == "choice":
        words = [*([] if field["needed"] else [("", "")]), *field["options"]]
        return ipywidgets.Dropdown(options=words, value=field["start"] or words[0][1], description=label, style=_WIDE, layout=_LAYOUT)
    kind = ipywidgets.Textarea if field["reads"] == "json" else ipywidgets.Text
    return kind(value=field["start"], placeholder=field["help"] or _HINTS[field["reads"]], description=label, style=_WIDE, layout=_LAYOUT)


_HINTS = {"text": "text", "integer": "a whole number", "number": "a number", "json": "JSON", "any": "text or JSON"}


def _read(field: Field, text: str) -> Any:
    readers: dict[str, Callable[[str], Any]] = {"integer": int, "number": float, "json": json.loads, "choice": json.loads}
    read = readers.get(field["reads"])
    if read is None:
        return text
    try:
        return read(text)
    except ValueError:
        raise ValueError(f"{field['label']} is to be {_HINTS.get(field['reads'], 'one of the choices')}; got {text!r}") from None
