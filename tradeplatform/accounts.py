"""How allauth behaves here: who may sign up, and second factors that are encrypted at rest."""

from typing import Any, ClassVar

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings
from django.http import HttpRequest

from tradeplatform.common.envelope import key_ring

# allauth hands over only the text, so these values are bound to their purpose, not to a row.
MFA_BINDING = "allauth.mfa"


class AccountAdapter(DefaultAccountAdapter):
    """Closes the sign-up when SIGNUPS_OPEN is off, and says what to do about a wrong code."""

    error_messages: ClassVar[dict[str, Any]] = {
        **DefaultAccountAdapter.error_messages,
        "incorrect_code": "This code is not right. Take it from the newest message; older ones do not work.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return settings.SIGNUPS_OPEN

    def get_client_ip(self, request: HttpRequest) -> str:
        """Return the caller's address; unknown callers (a Unix socket) share one."""
        return super().get_client_ip(request) or "0.0.0.0"  # noqa: S104 - a name, nothing listens


class MFAAdapter(DefaultMFAAdapter):
    """Encrypts authenticator secrets and recovery-code seeds, and names the site after its setting."""

    def encrypt(self, text: str) -> str:
        return key_ring().seal(text, binding=MFA_BINDING)

    def decrypt(self, encrypted_text: str) -> str:
        return key_ring().open(encrypted_text, binding=MFA_BINDING)

    def get_public_key_credential_rp_entity(self) -> dict[str, Any]:
        return {**super().get_public_key_credential_rp_entity(), "name": settings.SITE_NAME}
