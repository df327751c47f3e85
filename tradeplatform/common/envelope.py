"""Envelope encryption: AES-256-GCM under a random data key, which is wrapped by a key of the ring.

`FIELD_ENCRYPTION_KEYS` is the ring: each entry is 32 random bytes in URL-safe base64. The first one wraps
new values, all of them open old ones. A sealed text reads

    tpenc1.<key id>.<wrap nonce + wrapped data key>.<nonce + ciphertext>

and both layers carry the caller's binding (which row and field it belongs to) as associated data, so a
value that was moved to another row does not open.
"""

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from tradeplatform.common.exceptions import PlatformError

PREFIX = "tpenc1"
_NONCE_BYTES = 12
_KEY_BYTES = 32


class EncryptionError(PlatformError, code="credentials_unreadable", status=503):
    """A stored secret cannot be read. Nothing has been sent anywhere with it."""


class UnknownEncryptionKey(EncryptionError, code="encryption_key_missing"):
    """The value was sealed with a key that is not in the ring."""


class SealBroken(EncryptionError):
    """The value was changed, belongs to another row, or was never sealed."""


class BadKeyRing(ValueError):
    """FIELD_ENCRYPTION_KEYS cannot be used; the message says why and never shows a key."""


class KeyRing:
    """The usable form of FIELD_ENCRYPTION_KEYS."""

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise BadKeyRing("FIELD_ENCRYPTION_KEYS is empty. Give at least one key.")
        self._wrappers: dict[str, AESGCM] = {}
        for position, text in enumerate(keys, start=1):
            raw = _decode_key(text, position)
            key_id = hashlib.sha256(b"key id" + raw).hexdigest()[:8]
            self._wrappers.setdefault(key_id, AESGCM(_derive_wrapping_key(raw)))
        self.key_ids = tuple(self._wrappers)

    def __repr__(self) -> str:
        return f"<KeyRing {', '.join(self.key_ids)}>"

    @property
    def active_id(self) -> str:
        """Return the id of the key that seals new values."""
        return self.key_ids[0]

    def seal(self, plaintext: str, *, binding: str) -> str:
        """Encrypt a text so that it opens only with the same binding."""
        data_key = AESGCM.generate_key(bit_length=256)
        body = _encrypt(AESGCM(data_key), plaintext.encode(), _associated("body", binding))
        return _join(self.active_id, self._wrap(data_key, binding), body)

    def open(self, token: str, *, binding: str) -> str:
        """Decrypt a sealed text; raises UnknownEncryptionKey or SealBroken."""
        key_id, wrapped, body = _split(token)
        data_key = self._unwrap(key_id, wrapped, binding)
        return _decrypt(AESGCM(data_key), body, _associated("body", binding)).decode()

    def rewrap(self, token: str, *, binding: str) -> str:
        """Return the token wrapped by the active key; the encrypted body stays as it is."""
        key_id, wrapped, body = _split(token)
        return _join(self.active_id, self._wrap(self._unwrap(key_id, wrapped, binding), binding), body)

    def _wrap(self, data_key: bytes, binding: str) -> bytes:
        key_id = self.active_id
        return _encrypt(self._wrappers[key_id], data_key, _associated(key_id, binding))

    def _unwrap(self, key_id: str, wrapped: bytes, binding: str) -> bytes:
        wrapper = self._wrappers.get(key_id)
        if wrapper is None:
            raise UnknownEncryptionKey(
                f"A stored secret was sealed with key {key_id}, which is not in FIELD_ENCRYPTION_KEYS. "
                "Nothing was sent. The operator must add that key back to the ring; otherwise the broker "
                "has to be linked again."
            )
        return _decrypt(wrapper, wrapped, _associated(key_id, binding))


def key_ring() -> KeyRing:
    """Return the ring of the current settings; changed settings give a new ring."""
    return _ring_of(tuple(settings.FIELD_ENCRYPTION_KEYS))


def key_id_of(token: str) -> str:
    """Return the id of the key that wraps this sealed text; raises SealBroken for other text."""
    return _split(token)[0]


@lru_cache(maxsize=8)
def _ring_of(keys: tuple[str, ...]) -> KeyRing:
    return KeyRing(keys)


def _decode_key(text: str, position: int) -> bytes:
    try:
        raw = base64.urlsafe_b64decode(text.encode())
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != _KEY_BYTES:
        raise BadKeyRing(
            f"Key {position} of FIELD_ENCRYPTION_KEYS is not 32 bytes in URL-safe base64. "
            "Make one with: manage.py generate_key"
        )
    return raw


def _derive_wrapping_key(raw: bytes) -> bytes:
    """Separate our wrapping key from the raw one, which also serves as a Fernet key elsewhere."""
    return HKDF(
        algorithm=hashes.SHA256(), length=_KEY_BYTES, salt=None, info=b"tradeplatform key wrapping 1"
    ).derive(raw)


def _associated(part: str, binding: str) -> bytes:
    return f"{PREFIX}|{part}|{binding}".encode()


def _encrypt(cipher: AESGCM, data: bytes, associated: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, data, associated)


def _decrypt(cipher: AESGCM, blob: bytes, associated: bytes) -> bytes:
    try:
        return cipher.decrypt(blob[:_NONCE_BYTES], blob[_NONCE_BYTES:], associated)
    except (InvalidTag, ValueError):
        raise SealBroken(
            "A stored secret does not open: it was changed or belongs to another row. "
            "Nothing was sent. Link the broker again."
        ) from None


def _join(key_id: str, wrapped: bytes, body: bytes) -> str:
    return ".".join((PREFIX, key_id, _b64(wrapped), _b64(body)))


def _split(token: str) -> tuple[str, bytes, bytes]:
    parts = token.split(".")
    if len(parts) != 4 or parts[0] != PREFIX:
        raise SealBroken(
            "A stored secret is not in sealed form, so it is not used. Nothing was sent. "
            "Link the broker again."
        )
    try:
        return parts[1], _unb64(parts[2]), _unb64(parts[3])
    except (binascii.Error, ValueError):
        raise SealBroken("A stored secret is damaged. Nothing was sent. Link the broker again.") from None


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
