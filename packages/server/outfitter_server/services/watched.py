"""The things whose notifications somebody listens to."""

from collections import Counter
from typing import Final

EVERY_THING: Final = "+"  # what a listener to all things watches


class Watched:
    """A multiset, since several sessions may watch one thing."""

    def __init__(self) -> None:
        """Nobody listens yet."""
        self._counts: Counter[str] = Counter()

    def add(self, thing: str) -> None:
        """One more listener."""
        self._counts[thing] += 1

    def remove(self, thing: str) -> None:
        """One listener less."""
        self._counts[thing] -= 1
        if self._counts[thing] <= 0:
            del self._counts[thing]

    def __contains__(self, thing: str) -> bool:
        return thing in self._counts or EVERY_THING in self._counts

    def __len__(self) -> int:
        return len(self._counts)
