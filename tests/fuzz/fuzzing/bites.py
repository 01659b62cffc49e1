"""Choices taken off the front of what a target is given, so that one input says everything about one run."""


class Bites:
    """Bytes to take from; a taker that comes too late gets zeros."""

    def __init__(self, data: bytes) -> None:
        """Begin with all of them."""
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """How many are still there."""
        return len(self._data) - self._at

    def number(self) -> int:
        """One byte."""
        if not self.left:
            return 0
        self._at += 1
        return self._data[self._at - 1]

    def take(self, count: int) -> bytes:
        """So many bytes, or as many as are there."""
        taken = self._data[self._at : self._at + count]
        self._at += len(taken)
        return taken

    def rest(self) -> bytes:
        """Everything that is left."""
        return self.take(self.left)


def text(data: bytes) -> str:
    """Bytes as a door hands text on: UTF-8, what is none of it as lone surrogates."""
    return data.decode("utf-8", "surrogateescape")
