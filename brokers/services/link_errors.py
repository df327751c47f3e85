"""What can go wrong while linking a broker, each with its own code and sentence."""

from tradeplatform.common.exceptions import ConflictError, PlatformError


class LinkError(PlatformError, code="link_failed"):
    """Base of all refusals while linking. Nothing was stored, and nothing was sent to any account."""


class LinkDenied(LinkError, code="link_denied"):
    """The person declined on the broker's consent page."""


class LinkStateUnknown(LinkError, code="link_state_unknown", status=400):
    """The returned state was never issued here: forged, cut off, or from another install."""


class LinkStateUsed(LinkError, code="link_state_used", status=409):
    """The returned state was used before: a replay, or a reloaded page."""


class LinkStateExpired(LinkError, code="link_state_expired"):
    """More than ten minutes passed between start and return."""


class LinkStateForeign(LinkError, code="link_state_foreign", status=403):
    """The state was issued to another person, browser session or broker."""


class LinkRedirectMismatch(LinkError, code="link_redirect_mismatch", status=400):
    """The callback was reached under another address than the sign-in was started with."""


class LinkCodeRefused(LinkError, code="link_code_refused"):
    """The broker refused the authorization code: used, expired or not ours."""


class LinkCredentialsRefused(LinkError, code="link_credentials_refused"):
    """The broker refused the credentials in every environment that was tried."""


class LinkBrokerUnavailable(LinkError, code="link_broker_unavailable", status=503):
    """The broker did not answer clearly."""


class LinkNotConfigured(LinkError, code="link_not_configured", status=503):
    """The operator has not registered this site with the broker."""


class LinkKindUnsupported(LinkError, code="link_kind_unsupported"):
    """This broker cannot be linked in this way."""


class LinkOtherAccount(ConflictError, code="link_other_account"):
    """The new credentials open other accounts than the link that should be repaired."""
