"""The parameters of the portal's calls, as published. Names under ``elsewhere`` are refused here."""

from brokers.simulators.stripe.calls import EXPAND, FEEDBACK, PRORATION, page, words
from brokers.simulators.stripe.params import Choice, Flag, Group, Kind, Listed, Metadata, Text

UPDATES = words("address email name phone shipping tax_id")
SWITCH = Group(names={"enabled": Flag()}, required=("enabled",))
PRODUCT = Group(
    names={"prices": Listed(), "product": Text()},
    required=("prices", "product"),
    elsewhere=("adjustable_quantity",),
)

SESSION_CREATE = Group(
    names={**EXPAND, "configuration": Text(), "customer": Text(), "return_url": Text(), "locale": Text()},
    elsewhere=words("after_expiration customer_account flow_data on_behalf_of"),
)
CONFIGURATION_LIST = page({"active": Flag(), "is_default": Flag()})


def _features(*, new: bool) -> Group:
    """What a portal can do; a new configuration must say of each part whether it is on."""
    needed = ("enabled",) if new else ()
    reasons = Group(
        names={"enabled": Flag(), "options": Listed(item=Choice(words=FEEDBACK), clearable=True)},
        required=("enabled", "options") if new else ("enabled",),
        elsewhere=("feedback_options",),
    )
    cancel: dict[str, Kind] = {
        "cancellation_reason": reasons,
        "enabled": Flag(),
        "mode": Choice(words=("at_period_end", "immediately")),
        "proration_behavior": Choice(words=("none",), unsimulated=("always_invoice", "create_prorations")),
    }
    update: dict[str, Kind] = {
        "default_allowed_updates": Listed(
            item=Choice(words=("price",), unsimulated=("promotion_code", "quantity")), clearable=True
        ),
        "enabled": Flag(),
        "products": Listed(item=PRODUCT, clearable=True),
        "proration_behavior": PRORATION,
    }
    return Group(
        names={
            "customer_update": Group(
                names={
                    "allowed_updates": Listed(item=Choice(words=UPDATES), clearable=True),
                    "enabled": Flag(),
                },
                required=needed,
            ),
            "invoice_history": SWITCH,
            "payment_method_update": Group(
                names={"enabled": Flag()},
                required=("enabled",),
                elsewhere=("payment_method_configuration",),
            ),
            "subscription_cancel": Group(names=cancel, required=needed),
            "subscription_update": Group(
                names=update,
                required=needed,
                elsewhere=words("billing_cycle_anchor schedule_at_period_end trial_update_behavior"),
            ),
        },
        elsewhere=("subscription_pause",),
    )


CONFIGURATION_CREATE = Group(
    names={
        **EXPAND,
        "default_return_url": Text(clearable=True),
        "features": _features(new=True),
        "metadata": Metadata(),
        "name": Text(clearable=True),
    },
    required=("features",),
    elsewhere=("business_profile", "login_page"),
)
CONFIGURATION_UPDATE = Group(
    names={
        **EXPAND,
        "active": Flag(),
        "default_return_url": Text(clearable=True),
        "features": _features(new=False),
        "metadata": Metadata(clearable=True),
        "name": Text(clearable=True),
    },
    elsewhere=("business_profile", "login_page"),
)
