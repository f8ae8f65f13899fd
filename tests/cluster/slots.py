"""What a node may call its own on this machine: a numbered slot with addresses and names that no other node uses at the same time.

A slot is held by a lock on a file, which the kernel lets go of when its holder ends, however that ends. So a slot whose lock can be had
has no owner, and objects there under its names were left by a killed holder.

Addresses are of 198.18.0.0/15, which RFC 2544 reserves for tests: no host on the internet has one.
"""

import fcntl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

LOCKS = Path("/run/tunewright-nodes")
FOLDERS = Path("/var/tmp")  # images are gigabytes, and /tmp may be memory; each folder is for root only
COUNT = 64


class NoSlotError(Exception):
    """All slots are taken."""


@dataclass(frozen=True)
class Slot:
    """One number, and all that follows from it."""

    number: int

    @property
    def name(self) -> str:
        return f"tunewright-node-{self.number}"

    @property
    def folder(self) -> Path:
        return FOLDERS / self.name

    @property
    def link(self) -> str:
        """The machine's end of the link between the machine and the node."""
        return f"tunewright{self.number}"

    @property
    def machine_address(self) -> str:
        return f"198.18.{COUNT + self.number}.1"

    @property
    def address(self) -> str:
        """The node's own."""
        return f"198.18.{COUNT + self.number}.2"

    @property
    def services(self) -> str:
        return f"198.18.{self.number}.0/24"

    @property
    def pods(self) -> str:
        return f"198.19.{self.number}.0/24"


class Claim:
    """A slot that is held until `release`, or until this process ends."""

    def __init__(self, slot: Slot, lock: IO[str]) -> None:
        self.slot = slot
        self._lock = lock

    @classmethod
    def of(cls, slot: Slot) -> Self | None:
        """Return the claim to one slot, or None if another process holds it."""
        LOCKS.mkdir(mode=0o700, exist_ok=True)
        lock = (LOCKS / str(slot.number)).open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return None
        return cls(slot, lock)

    @classmethod
    def first_free(cls) -> Self:
        """Return the claim to the first free slot. Raises `NoSlotError`."""
        for number in range(COUNT):
            claim = cls.of(Slot(number))
            if claim is not None:
                return claim
        raise NoSlotError(f"{COUNT} nodes run on this machine already: end some")

    def note(self, pid: int | None) -> None:
        """Record the main process of this slot, for a later cleanup of an abandoned slot."""
        self._lock.seek(0)
        self._lock.truncate()
        self._lock.write(str(pid or ""))
        self._lock.flush()

    def noted(self) -> int | None:
        """Return what the last holder wrote down."""
        self._lock.seek(0)
        text = self._lock.read()
        return int(text) if text.isdigit() else None

    def release(self) -> None:
        self._lock.close()


def abandoned() -> Iterator[Claim]:
    """Yield a claim to every slot that was used and is free now. The caller releases each."""
    for number in sorted(int(file.name) for file in LOCKS.glob("[0-9]*")):
        claim = Claim.of(Slot(number))
        if claim is not None:
            yield claim
