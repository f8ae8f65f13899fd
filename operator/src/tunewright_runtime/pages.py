"""Page sizes of lists. The API server limits a page by the number of objects, but memory is limited in bytes."""

PAGE_BYTES = 8 * 2**20  # of one answer to a list; decoded it takes several times as much
SINGLE_BYTES = 16 * 2**20  # of one object: etcd stores 1.5 MB by default, and warns when it is set up for more than 10


class PageSizes:
    """Sizes of pages, by what is listed. A page that is too long is requested again with a quarter of its size; sizes then grow again."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._sizes: dict[str, int] = {}

    def size(self, what: str) -> int:
        """Return how many objects to request."""
        return self._sizes.get(what, self._most)

    def limit_bytes(self, what: str) -> int:
        """Return how many bytes of an answer to read. A page of one object cannot be made shorter."""
        return PAGE_BYTES if self.size(what) > 1 else SINGLE_BYTES

    def too_long(self, what: str) -> None:
        """Record that an answer was too long."""
        self._sizes[what] = max(1, self.size(what) // 4)

    def fitted(self, what: str) -> None:
        """Record that an answer fitted."""
        size = min(self.size(what) * 2, self._most)
        if size < self._most:
            self._sizes[what] = size
        else:
            self._sizes.pop(what, None)
