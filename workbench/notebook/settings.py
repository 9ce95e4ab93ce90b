"""What `%%agent` cells do unless they say otherwise. `%workbench` shows and sets it, and so does `%config WorkbenchSettings`."""

from __future__ import annotations

from html import escape

from traitlets import Enum, Int, TraitError, Unicode
from traitlets.config import Configurable

from workbench.errors import UserError
from workbench.guardrails.policy import policy_of
from workbench.models.resolve import check_name


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
            ConfigurationError, PolicyError: the name is no model's, or the policy cannot be read.
        """
        if name not in self.trait_names(config=True):
            raise UserError(f"there is no setting {name!r}; there are {', '.join(self.names())}")
        if name == "model" and ":" in text:
            check_name(text)
        if name == "policy" and text and not text.isidentifier():
            policy_of(text)
        trait = self.traits()[name]
        try:
            setattr(self, name, int(text) if isinstance(trait, Int) else text)
        except (TraitError, ValueError):
            wanted = ", ".join(trait.values or ()) if isinstance(trait, Enum) else "a whole number from 0"
            raise UserError(f"{name} cannot be {text!r}; give {wanted}") from None

    def forget(self) -> None:
        """Every setting as it is from the beginning."""
        for name in self.names():
            setattr(self, name, self.traits()[name].default_value)

    def names(self) -> list[str]:
        """The settings, in alphabetical order."""
        return sorted(self.trait_names(config=True))

    def table(self) -> Table:
        """All of them, as they stand."""
        rows = []
        for name in self.names():
            value, trait = getattr(self, name), self.traits()[name]
            rows.append((name, str(value) or "-", "changed" if value != trait.default_value else "", trait.help))
        return Table(rows)


class Table:
    """Settings to be read: name, value, whether it was changed, what it is about."""

    def __init__(self, rows: list[tuple[str, str, str, str]]) -> None:
        self._rows = rows

    def __repr__(self) -> str:
        widths = [max(len(row[place]) for row in self._rows) for place in range(3)]
        return "\n".join("  ".join([*(f"{row[place]:<{widths[place]}}" for place in range(3)), row[3]]) for row in self._rows)

    def _repr_html_(self) -> str:
        cell = '<td style="text-align:left">{}</td>'
        rows = "".join(f"<tr>{''.join(cell.format(escape(word)) for word in row)}</tr>" for row in self._rows)
        head = "".join(f'<th scope="col" style="text-align:left">{word}</th>' for word in ("setting", "value", "changed", "about"))
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
