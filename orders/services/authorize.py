"""May this user open risk on this account at all? Plan and arming for live trading, in one place.

Everything that places, approves, changes or sends an order comes through here, whichever way it came in.
Reducing a position needs neither: exits are never trapped behind a plan.
"""

from billing.access import require_entitlement
from billing.entitlements import Feature
from billing.selectors import plan_standing
from brokers.enums import Environment
from brokers.models import BrokerAccount
from brokers.selectors import brokers_linked_before
from orders.enums import OrderOrigin
from risk.exposure import reduces_position
from risk.types import RiskContext
from tradeplatform.common.exceptions import PermissionRefused
from tradeplatform.models import User

_MEANING = "Nothing was sent. You can still cancel orders, close positions and trade on paper."


def authorize_order(*, user: User, account: BrokerAccount, context: RiskContext) -> None:
    """Refuse a live order that adds risk without the plan for it or on an account that is not armed.

    Raises PlanRequired (`plan_required`) or PermissionRefused (`account_not_armed`).
    """
    if not reduces_position(context):
        authorize_opening(user=user, account=account, origin=context.order.origin)


def authorize_opening(*, user: User, account: BrokerAccount, origin: str) -> None:
    """Refuse as `authorize_order` does, for an order that is known to add risk.

    `origin` is how the order came in: the API needs a plan of its own. Where the plan covers fewer brokers
    than are linked, the ones linked first are covered.
    """
    if account.environment != Environment.LIVE:
        return
    standing = plan_standing(user)
    require_entitlement(user=user, feature=Feature.LIVE_TRADING, meaning=_MEANING, standing=standing)
    if origin == OrderOrigin.API:
        require_entitlement(user=user, feature=Feature.API_LIVE_TRADING, meaning=_MEANING, standing=standing)
    if standing.limit(Feature.LINKED_BROKERS) is not None:
        require_entitlement(
            user=user,
            feature=Feature.LINKED_BROKERS,
            meaning=_MEANING,
            used=brokers_linked_before(account),
            standing=standing,
        )
    if account.armed_at is None:
        raise PermissionRefused(
            "This live account is not armed. Nothing was sent. Arm it on the Brokers page first; "
            "that asks for your second factor.",
            code="account_not_armed",
        )
