"""What `%%agent` cells do unless they say otherwise. `%workbench` shows and sets it, and so does `%config WorkbenchSettings`."""

from __future__ import annotations

from typing import Any

from traitlets import Enum, Int, TraitError, Unicode
from traitlets.config import Configurable

from workbench.errors import UserError


class WorkbenchSettings(Configurable):
    """The settings of one kernel. A configuration file may have them too: `c.WorkbenchSettings.model = "openai:gpt-5-mini"`."""

    model = Unicode("", help="provider:name, or a variable that holds a model; empty: what the environment configures").tag(config=True)
    max_iterations = Int(10, min=0, help="how many turns the model has").tag(config=True)
    engine = Enum(["auto", "littrs", "monty"], "auto", help="the sandbox engine").tag(config=True)
    approve = Enum(["none", "tools", "code"], "tools", help="what a person is asked about").tag(config=True)
    approvals = Enum(["auto", "wait", "reject"], "auto", help="auto: where nobody can press a button, what would be asked is refused").tag(
        config=True
    )
    policy = Unicode("", help="a policy file, a policy in words, or a variable that holds one; empty: none").tag(config=True)

    def change(self, name: str, text: str) -> None:
        """Set one by its name, from text.

        Raises:
            UserError: there is no such setting, or it cannot have this value.
        """
        if name not in self.trait_names(config=True):
            raise UserError(f"there is no setting {name!r}; there are {', '.join(self.names())}")
        try:
            setattr(self, name, int(text) if isinstance(self.traits()[name], Int) else text)
        except (TraitError, ValueError) as error:
            raise UserError(f"{name} cannot be {text!r}: {error}") from None

    def forget(self) -> None:
        """Every setting as it is from the beginning."""
        for name in self.names():
            setattr(self, name, self.traits()[name].default_value)

    def names(self) -> list[str]:
        """The settings, in alphabetical order."""
        return sorted(self.trait_names(config=True))

    def rows(self) -> list[dict[str, Any]]:
        """Each setting: its name, its value, whether it was changed, what it is about."""
        return [
            {
                "setting": name,
                "value": getattr(self, name),
                "changed": "changed" if getattr(self, name) != self.traits()[name].default_value else "",
                "about": self.traits()[name].help,
            }
            for name in self.names()
        ]
