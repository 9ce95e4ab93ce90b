"""Tools: what an agent may call. A typed function becomes a `Tool`, three wire forms and one recorded outcome a call.

tool.py         Tool, and the `@tool` decorator
info.py         ToolInfo: a tool described by hand
annotations.py  a Python type as the model should read it
docstrings.py   the text of each argument in a docstring
schema.py       CodeAct stub, OpenAI schema, Anthropic schema
recorded.py     what the record keeps of a call's arguments
values.py       what a tool returned → what the record can hold
executor.py     ToolExecutor: validate, run, time, convert
thread.py       the one thread in which synchronous tools run
"""

from workbench.tools.executor import ToolExecutor
from workbench.tools.info import ToolInfo
from workbench.tools.parameters import Parameter
from workbench.tools.tool import Tool, tool

__all__ = ["Parameter", "Tool", "ToolExecutor", "ToolInfo", "tool"]
