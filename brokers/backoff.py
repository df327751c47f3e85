"""Pauses between attempts to connect: longer each time, and never the same for many that failed together."""

from random import Random

# Connections that one process makes in a second when many were lost at once: enough to be back soon, few
# enough for the broker and for our own TLS handshakes.
CONNECTS_PER_SECOND = 200.0
SHORTEST_SECONDS = 0.05


def spread(crowd: int, *, random: Random) -> float:
    """Return a pause in seconds before a first attempt of which `crowd` begin at the same time."""
    return random.uniform(0.0, crowd / CONNECTS_PER_SECOND)


class Backoff:
    """The pauses of one account. The window doubles up to `longest`; the pause is anywhere within it."""

    __slots__ = ("_attempts", "_first", "_longest", "_random")

    def __init__(self, *, first: float, longest: float, random: Random) -> None:
        self._first = first
        self._longest = longest
        self._random = random
        self._attempts = 0

    def next_pause(self, *, crowd: int = 1) -> float:
        """Return the next pause in seconds; `crowd` others lost their connection too and want it back."""
        window = min(self._first * 2.0 ** min(self._attempts, 16), self._longest)
        self._attempts += 1
        window = max(window, min(crowd / CONNECTS_PER_SECOND, self._longest))
        return max(SHORTEST_SECONDS, self._random.uniform(0.0, window))

    def reset(self) -> None:
        """Begin at the shortest pause again: the connection was a good one."""
        self._attempts = 0
