"""Names of topics under `prefix/device`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topics:
    """Topics of one device."""

    prefix: str
    device: str

    @property
    def client_id(self) -> str:
        """`PREFIX-DEVICE`, or `PREFIX/DEVICE` where the prefix has a `/`.

        With `-` for each `/`, device `c` of `a/b` would be device `b-c` of `a`: of two clients of one id each throws
        the other out, for ever.
        """
        return f"{self.prefix}{'/' if '/' in self.prefix else '-'}{self.device}"

    def of(self, name: str) -> str:
        """`event`, `image`, `status`, `availability` or `snapshot/SOURCE` as a whole topic."""
        return f"{self.prefix}/{self.device}/{name}"

    def of_any_device(self, name: str) -> str:
        """The filter that matches the topic of every device under the prefix."""
        return f"{self.prefix}/+/{name}"
