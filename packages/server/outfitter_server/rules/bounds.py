"""How large the values of one evaluation may grow: a statement of a few words must not fill the memory."""

from collections.abc import Sequence
from typing import Final

TEXT_CHARACTERS_MAX: Final = 512 * 1024
ITEMS_MAX: Final = 100_000


class CannotEvaluate(Exception):  # noqa: N818 - it says what happened; the message is the error
    """The statement says nothing about this message; why is in the text."""


def check_text(characters: int) -> None:
    """Refuse a text of this length when it is too long.

    Raises:
        CannotEvaluate: it is.
    """
    if characters > TEXT_CHARACTERS_MAX:
        raise CannotEvaluate(f"a text would grow beyond {TEXT_CHARACTERS_MAX} characters")


def check_items(count: int) -> None:
    """Refuse an array of so many items when they are too many.

    Raises:
        CannotEvaluate: they are.
    """
    if count > ITEMS_MAX:
        raise CannotEvaluate(f"an array would grow beyond {ITEMS_MAX} items")


def bounded_text(texts: Sequence[str]) -> str:
    """The texts as one.

    Raises:
        CannotEvaluate: it would be too long.
    """
    check_text(sum(map(len, texts)))
    return "".join(texts)
