"""Names of topics under `prefix/device`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topics:
    """Topics of one device."""

    prefix: str
    device: str

    def of(self, name: str) -> str:
        """`event`, `image`, `status`, `availability` or `snapshot/SOURCE` as a whole topic."""
        return f"{self.prefix}/{self.device}/{name}"

    def of_any_device(self, name: str) -> str:
        """The filter that matches the topic of every device under the prefix."""
        return f"{self.prefix}/+/{name}"
