"""What a proof has seen."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Tally:
    """How many cases there were, what came of them, and each of which two readings differ."""

    cases: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    disagreements: list[str] = field(default_factory=list)

    def add(self, outcome: str, disagreement: str | None) -> None:
        """Take one case."""
        self.cases += 1
        self.outcomes[outcome] += 1
        if disagreement is not None:
            self.disagreements.append(disagreement)

    def join(self, other: "Tally") -> None:
        """Take the cases of another tally too."""
        self.cases += other.cases
        self.outcomes += other.outcomes
        self.disagreements += other.disagreements


# Given a MySQL server's URL, a seed and the cases' numbers.
Compare = Callable[[str, int, range], Tally]
