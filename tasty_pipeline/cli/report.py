"""Lines for people: what is well, what is only a fact, what is wrong and what to do."""

from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape

from tasty_pipeline.core.errors import TastyError


def plain(text: str) -> str:
    """Return foreign text fit for a terminal: no control character, which could move the cursor or hide words."""
    return "".join(character if character.isprintable() else " " for character in text)


@dataclass
class Report:
    """Prints lines, and counts those that are failures."""

    console: Console
    failures: int = field(default=0)

    def heading(self, text: str) -> None:
        """Begin a part."""
        self.console.print(f"\n[bold]{text}[/]")

    def good(self, text: str) -> None:
        """Report what is as it should be."""
        self.console.print(f"  [green]ok[/]    {escape(plain(text))}", soft_wrap=True)

    def note(self, text: str) -> None:
        """Report a fact."""
        self.console.print(f"  [dim]note[/]  {escape(plain(text))}", soft_wrap=True)

    def bad(self, error: TastyError) -> None:
        """Report what is wrong and what to do."""
        self.failures += 1
        self.console.print(f"  [bold red]FAIL[/]  {escape(plain(error.what))}", soft_wrap=True)
        self.console.print(f"        To do: {escape(plain(error.remedy))}", soft_wrap=True)
