"""The form that begins a run anew from a step. What stands in it is what was; what is written otherwise is what the fork changes."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from typing import Any

import ipywidgets
from IPython.display import clear_output

from workbench.agents.fork import Turn, turns
from workbench.errors import EffectsRepeat, UnencodableValue, UserError, WorkbenchError
from workbench.notebook import shown
from workbench.record.codec import decode_value, encode_value
from workbench.record.envelope import ToolCallEntry
from workbench.runtime.run import Run
from workbench.visible import visible

_WIDE = {"description_width": "6em"}
_LAYOUT = {"width": "44em", "max_width": "100%"}
_LINES = {**_LAYOUT, "height": "7em"}
_NONE = -1
"""Stands for no call: a Dropdown draws nothing for None."""


class ForkForm(ipywidgets.VBox):  # type: ignore[misc]
    """Fields for a step, its code, the task, the model and the result of one call, and a button; the fork is drawn below."""

    def __init__(self, run: Run, *, fork: Callable[..., Run], show: Callable[[Run], None]) -> None:
        """`fork` takes the run and what `Run.fork` takes, `show` draws what it returns.

        Raises:
            UserError: the run has no steps of an agent.
        """
        self._run, self._fork, self._show = run, fork, show
        self._turns = turns(run.entries())
        if not self._turns:
            raise UserError(f"run {run.id[:8]} is no agent's, so it has no steps; in code: wb.open({run.id[:8]!r}).fork(at=…)")
        task = run.state.input
        self._task = str(decode_value(task.inline)) if task is not None and task.blob is None else None
        model = (run.state.manifest.resources.get("model") or {}).get("name", "") if run.state.manifest else ""
        self.step = ipywidgets.Dropdown(
            options=[(_line(number, turn), number) for number, turn in enumerate(self._turns, 1)],
            value=len(self._turns),
            description="Step",
            style=_WIDE,
            layout=_LAYOUT,
        )
        self.code = ipywidgets.Textarea(description="Code", style=_WIDE, layout=_LINES)
        self.prompt = ipywidgets.Textarea(description="Task", style=_WIDE, layout=_LAYOUT)
        _offer(self.prompt, self._task)
        self.model = ipywidgets.Text(description="Model", placeholder=f"{model}, as it was", style=_WIDE, layout=_LAYOUT)
        self.call = ipywidgets.Dropdown(options=[("", _NONE)], description="A call", style=_WIDE, layout=_LAYOUT)
        self.result = ipywidgets.Textarea(description="Result", placeholder="JSON", style=_WIDE, layout=_LAYOUT)
        self.press = ipywidgets.Button(description="Fork", tooltip="Begins a new run; this one stays as it is")
        self.came = ipywidgets.HTML()
        self.below = ipywidgets.Output()
        self._confirmed = False
        self.step.observe(lambda _change: self._fill(), names="value")
        self.call.observe(lambda _change: self._fill_result(), names="value")
        for field in (self.step, self.code, self.prompt, self.model, self.call, self.result):
            field.observe(lambda _change: self._ask_again(), names="value")  # what was confirmed was another fork
        self.press.on_click(lambda _button: self.begin())
        self._fill()
        head = ipywidgets.HTML(
            f"<b>Fork run {run.id[:8]}</b><br><small>The step is taken again with what you change here, and the run goes on live. "
            "Nothing before it is done again.</small>"
        )
        fields = [self.step, self.code, self.prompt, self.model, self.call, self.result]
        super().__init__([head, *fields, self.press, self.came, self.below])

    def __repr__(self) -> str:
        """What stands where the widget cannot be drawn."""
        return f"(Where this notebook's kernel runs, run {self._run.id[:8]} can be forked here.)"

    def begin(self) -> None:
        """Begin the fork that the fields describe. What has happened and may happen again is told first, and a second press confirms it."""
        self.press.disabled = True
        try:
            fork = self._fork(self._run, step=self.step.value, confirm=self._confirmed, **self.changes())
        except EffectsRepeat as error:
            self._confirmed, self.press.description = True, "Fork all the same"
            self._say(f"! {error.told}")
        except (WorkbenchError, ValueError) as error:
            self._ask_again()
            self._say(f"✕ not forked: {error}")
        else:
            self._ask_again()
            self._say(f"✓ run {fork.id[:8]} has begun")
            with self.below:
                clear_output(wait=True)
                self._show(fork)
        finally:
            self.press.disabled = False

    def changes(self) -> dict[str, Any]:
        """What the fields say otherwise than the record, as `Run.fork` takes it.

        Raises:
            ValueError: the result is no JSON.
        """
        turn = self._turns[self.step.value - 1]
        result = None
        if self.call.value != _NONE and self.result.value != _json(turn.calls[self.call.value]):
            try:
                result = {turn.calls[self.call.value].header.exec_id: json.loads(self.result.value)}
            except ValueError as error:
                raise ValueError(f"the result of the call is to be JSON: {error}") from error
        return {
            "code": self.code.value if not self.code.disabled and self.code.value != turn.code else None,
            "prompt": self.prompt.value if not self.prompt.disabled and self.prompt.value != self._task else None,
            "model": self.model.value.strip() or None,
            "result": result,
        }

    def _fill(self) -> None:
        """What the chosen step was."""
        turn = self._turns[self.step.value - 1]
        _offer(self.code, turn.code)
        calls = [(f"{place + 1} · {_called(entry)}", place) for place, entry in enumerate(turn.calls)]
        self.call.options = [("as they were" if calls else "no calls", _NONE), *calls]
        self.call.value = _NONE
        self._fill_result()
        self._ask_again()

    def _fill_result(self) -> None:
        chosen = self.call.value
        self.result.value = "" if chosen == _NONE else _json(self._turns[self.step.value - 1].calls[chosen])
        self.result.disabled = chosen == _NONE

    def _ask_again(self) -> None:
        self._confirmed, self.press.description = False, "Fork"

    def _say(self, text: str) -> None:
        clipped = shown.clip(text)["text"]
        self.came.value = f'<pre role="status" style="white-space:pre-wrap">{html.escape(visible(clipped))}</pre>'


def _line(number: int, turn: Turn) -> str:
    """A step in the list of steps."""
    words = shown.line_of(turn.code, 70) if turn.code else "a reply without code"
    return f"{number} · {words}"


def _called(entry: ToolCallEntry) -> str:
    return shown.line_of(f"{entry.call.tool}({shown.arguments_text(entry.call.args)})", 70)


def _json(entry: ToolCallEntry) -> str:
    """What a call gave, as JSON; empty where JSON does not say all of it, and where it is too long to change by hand."""
    payload = entry.call.result
    if payload is None or payload.blob is not None:
        return ""
    try:
        text = json.dumps(decode_value(payload.inline), ensure_ascii=False)
        whole = encode_value(json.loads(text)) == payload.inline
    except (TypeError, ValueError, UnencodableValue):
        return ""
    return text if whole and _is_plain(text) else ""


def _offer(field: Any, text: str | None) -> None:
    """Let a text be changed, if a person can see all that it is."""
    plain = text is not None and _is_plain(text)
    field.value = text if plain else ""
    field.disabled = not plain
    field.placeholder = (
        "" if plain else "it had none" if text is None else "too long, or not wholly visible: change it in code, with run.fork(…)"
    )


def _is_plain(text: str) -> bool:
    return len(text) <= shown.FIELD and visible(text) == text
