"""A mapping whose values are computed when first read: a search makes it, and only answering asks for it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value", covariant=True)


class Lazy(Mapping[Key, Value]):
    """Subclasses keep what they compute from, and say how in `compute`, which is called once at most."""

    @abstractmethod
    def compute(self) -> Mapping[Key, Value]:
        """All of it."""

    def __getitem__(self, key: Key) -> Value:
        return self._values[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    @cached_property
    def _values(self) -> Mapping[Key, Value]:
        return self.compute()
