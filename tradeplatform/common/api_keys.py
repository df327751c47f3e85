"""The shape of API keys and their scopes. Only the SHA-256 of a key is ever stored."""

import hashlib
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum

KEY_PATTERN = re.compile(r"tp_[0-9a-f]{8}_[A-Za-z0-9_-]{43}")


class Scope(StrEnum):
    """What a key may do; a key has exactly the scopes it was given, none implies another."""

    READ = "read"
    TRADE_PAPER = "trade:paper"
    TRADE_LIVE = "trade:live"


SCOPE_LABELS = {
    Scope.READ: "Read accounts, positions, orders and events",
    Scope.TRADE_PAPER: "Place, replace and cancel orders on practice accounts",
    Scope.TRADE_LIVE: "Place, replace and cancel orders with real money",
}


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made. `secret` is the whole key; it is shown once and never stored."""

    secret: str
    prefix: str
    key_hash: str

    def __repr__(self) -> str:
        return f"<NewKey {self.prefix}>"


def make_key() -> NewKey:
    """Return a new random key of the form tp_<8 hex digits>_<43 characters>."""
    prefix = secrets.token_hex(4)
    secret = f"tp_{prefix}_{secrets.token_urlsafe(32)}"
    return NewKey(secret=secret, prefix=f"tp_{prefix}", key_hash=hash_key(secret))


def hash_key(secret: str) -> str:
    """Return the SHA-256 of a key in hex. A plain hash is enough: keys are 256 random bits."""
    return hashlib.sha256(secret.encode()).hexdigest()
