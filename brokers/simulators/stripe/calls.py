"""The parameters of every call, as published. Names under ``elsewhere`` are Stripe's and refused here.

A test holds each table against the typed parameters of the official library.
"""

from brokers.simulators.stripe.params import (
    Between,
    Choice,
    ChoiceOrTime,
    Flag,
    Group,
    Kind,
    Listed,
    Metadata,
    Number,
    Text,
    Whole,
)

DAYS_OF_TRIAL = Whole(least=1, most=730)
PAGE: dict[str, Kind] = {
    "ending_before": Text(),
    "starting_after": Text(),
    "limit": Whole(least=1, most=100),
    "expand": Listed(),
}
EXPAND: dict[str, Kind] = {"expand": Listed()}
ONLY_EXPAND = Group(names=EXPAND)
INTENT_RETRIEVE = Group(names=EXPAND, elsewhere=("client_secret",))
ADDRESS = Group(
    names={name: Text() for name in ("city", "country", "line1", "line2", "postal_code", "state")},
    clearable=True,
)
FEEDBACK = (
    "customer_service",
    "low_quality",
    "missing_features",
    "other",
    "switched_service",
    "too_complex",
    "too_expensive",
    "unused",
)
CANCELLATION = Group(
    names={"comment": Text(clearable=True), "feedback": Choice(words=FEEDBACK, clearable=True)},
    elsewhere=("feedback_option",),
)
LIABILITY = Group(
    names={"type": Choice(words=("self",), unsimulated=("account",))},
    required=("type",),
    elsewhere=("account",),
)
AUTOMATIC_TAX = Group(names={"enabled": Flag(), "liability": LIABILITY}, required=("enabled",))
MISSING_METHOD = Choice(words=("cancel", "create_invoice", "pause"))
TAX_BEHAVIOR = Choice(words=("exclusive", "inclusive", "unspecified"))
BILLING_MODE = Group(
    names={
        "flexible": Group(
            names={"proration_discounts": Choice(words=("included",), unsimulated=("itemized",))}
        ),
        "type": Choice(words=("classic", "flexible")),
    },
    required=("type",),
)


def words(text: str) -> tuple[str, ...]:
    """The words of a text, for lists of names."""
    return tuple(text.split())


def page(names: dict[str, Kind], *, elsewhere: str = "") -> Group:
    """The parameters of a list call."""
    return Group(names={**PAGE, **names}, elsewhere=words(elsewhere))


PRODUCT_CREATE = Group(
    names={
        **EXPAND,
        "active": Flag(),
        "description": Text(),
        "id": Text(),
        "images": Listed(item=Text(), most=8),
        "metadata": Metadata(),
        "name": Text(longest=250),
        "statement_descriptor": Text(longest=22),
        "tax_code": Text(),
        "type": Choice(words=("service", "good")),
        "unit_label": Text(),
        "url": Text(),
    },
    required=("name",),
    elsewhere=words("default_price_data marketing_features package_dimensions shippable tax_details"),
)
PRODUCT_UPDATE = Group(
    names={
        **EXPAND,
        "active": Flag(),
        "default_price": Text(),
        "description": Text(clearable=True),
        "images": Listed(item=Text(), most=8, clearable=True),
        "metadata": Metadata(clearable=True),
        "name": Text(longest=250),
        "statement_descriptor": Text(longest=22),
        "tax_code": Text(clearable=True),
        "unit_label": Text(clearable=True),
        "url": Text(clearable=True),
    },
    elsewhere=words("marketing_features package_dimensions shippable tax_details"),
)
PRODUCT_LIST = page({"active": Flag(), "created": Between(), "ids": Listed()}, elsewhere="shippable type url")

PRICE_CREATE = Group(
    names={
        **EXPAND,
        "active": Flag(),
        "billing_scheme": Choice(words=("per_unit",), unsimulated=("tiered",)),
        "currency": Text(longest=3),
        "lookup_key": Text(longest=200),
        "metadata": Metadata(),
        "nickname": Text(),
        "product": Text(),
        "recurring": Group(
            names={
                "interval": Choice(words=("day", "month", "week", "year")),
                "interval_count": Whole(least=1),
                "usage_type": Choice(words=("licensed",), unsimulated=("metered",)),
            },
            required=("interval",),
            elsewhere=("meter", "trial_period_days"),
        ),
        "tax_behavior": TAX_BEHAVIOR,
        "transfer_lookup_key": Flag(),
        "unit_amount": Whole(least=0, most=99_999_999),
        "unit_amount_decimal": Number(),
    },
    required=("currency",),
    elsewhere=words("currency_options custom_unit_amount product_data tiers tiers_mode transform_quantity"),
)
PRICE_UPDATE = Group(
    names={
        **EXPAND,
        "active": Flag(),
        "lookup_key": Text(longest=200),
        "metadata": Metadata(clearable=True),
        "nickname": Text(),
        "tax_behavior": TAX_BEHAVIOR,
        "transfer_lookup_key": Flag(),
    },
    elsewhere=("currency_options",),
)
PRICE_LIST = page(
    {
        "active": Flag(),
        "created": Between(),
        "currency": Text(),
        "lookup_keys": Listed(item=Text(), most=10),
        "product": Text(),
        "recurring": Group(
            names={"interval": Choice(words=("day", "month", "week", "year"))},
            elsewhere=("meter", "usage_type"),
        ),
        "type": Choice(words=("one_time", "recurring")),
    }
)

CUSTOMER_SHARED: dict[str, Kind] = {
    **EXPAND,
    "address": ADDRESS,
    "description": Text(),
    "email": Text(longest=512),
    "invoice_settings": Group(
        names={"default_payment_method": Text()},
        elsewhere=words("custom_fields footer rendering_options"),
    ),
    "metadata": Metadata(clearable=True),
    "name": Text(longest=256),
    "phone": Text(longest=20),
    "preferred_locales": Listed(),
    "tax_exempt": Choice(words=("exempt", "none", "reverse"), clearable=True),
}
CUSTOMER_CREATE = Group(
    names=CUSTOMER_SHARED,
    elsewhere=words(
        "balance business_name cash_balance individual_name invoice_prefix next_invoice_sequence"
        " payment_method shipping source tax tax_id_data test_clock validate"
    ),
)
CUSTOMER_UPDATE = Group(
    names=CUSTOMER_SHARED,
    elsewhere=words(
        "balance business_name cash_balance default_source individual_name invoice_prefix"
        " next_invoice_sequence shipping source tax validate"
    ),
)
CUSTOMER_LIST = page({"created": Between(), "email": Text()}, elsewhere="test_clock")
CUSTOMER_SEARCH = Group(
    names={**EXPAND, "limit": PAGE["limit"], "page": Text(), "query": Text()}, required=("query",)
)
PAYMENT_METHOD_LIST = page(
    {"customer": Text(), "type": Choice(words=("card",))},
    elsewhere="allow_redisplay customer_account",
)

SESSION_CREATE = Group(
    names={
        **EXPAND,
        "allow_promotion_codes": Flag(),
        "automatic_tax": AUTOMATIC_TAX,
        "billing_address_collection": Choice(words=("auto", "required")),
        "cancel_url": Text(),
        "client_reference_id": Text(longest=200),
        "customer": Text(),
        "customer_email": Text(longest=800),
        "customer_update": Group(
            names={name: Choice(words=("auto", "never")) for name in ("address", "name")},
            elsewhere=("shipping",),
        ),
        "expires_at": Whole(),
        "line_items": Listed(
            item=Group(
                names={"price": Text(), "quantity": Whole(least=1)},
                elsewhere=words("adjustable_quantity metadata price_data tax_rates"),
            ),
            most=20,
        ),
        "locale": Text(),
        "metadata": Metadata(),
        "mode": Choice(words=("subscription",), unsimulated=("payment", "setup")),
        "payment_method_collection": Choice(words=("always", "if_required")),
        "submit_type": Choice(words=("auto", "subscribe"), unsimulated=("book", "donate", "pay")),
        "subscription_data": Group(
            names={
                "billing_mode": BILLING_MODE,
                "description": Text(longest=500),
                "metadata": Metadata(),
                "trial_end": Whole(),
                "trial_period_days": DAYS_OF_TRIAL,
                "trial_settings": Group(
                    names={
                        "end_behavior": Group(
                            names={"missing_payment_method": MISSING_METHOD},
                            required=("missing_payment_method",),
                        )
                    },
                    required=("end_behavior",),
                ),
            },
            elsewhere=words(
                "application_fee_percent billing_cycle_anchor billing_cycle_anchor_config"
                " default_tax_rates invoice_settings on_behalf_of pending_invoice_item_interval"
                " proration_behavior transfer_data"
            ),
        ),
        "success_url": Text(),
        "tax_id_collection": Group(names={"enabled": Flag()}, required=("enabled",), elsewhere=("required",)),
        "ui_mode": Choice(words=("hosted_page",), unsimulated=("elements", "embedded_page", "form")),
    },
    elsewhere=words(
        "adaptive_pricing after_expiration allowed_payment_method_types branding_settings"
        " consent_collection currency custom_fields custom_text customer_account customer_creation"
        " discounts excluded_payment_method_types integration_identifier invoice_creation"
        " managed_payments name_collection optional_items origin_context payment_intent_data"
        " payment_method_configuration payment_method_data payment_method_options permissions"
        " phone_number_collection redirect_on_completion return_url saved_payment_method_options"
        " setup_intent_data shipping_address_collection shipping_options wallet_options"
    ),
)
SESSION_LIST = page(
    {
        "created": Between(),
        "customer": Text(),
        "customer_details": Group(names={"email": Text()}, required=("email",)),
        "status": Choice(words=("complete", "expired", "open")),
        "subscription": Text(),
    },
    elsewhere="customer_account payment_intent payment_link",
)
LINE_ITEM_LIST = page({})

PRORATION = Choice(words=("always_invoice", "create_prorations", "none"))
SUBSCRIPTION_UPDATE = Group(
    names={
        **EXPAND,
        "cancel_at": ChoiceOrTime(
            words=("max_period_end", "min_period_end"),
            unsimulated=("max_billed_until",),
            clearable=True,
        ),
        "cancel_at_period_end": Flag(),
        "cancellation_details": CANCELLATION,
        "default_payment_method": Text(),
        "description": Text(clearable=True),
        "items": Listed(
            item=Group(
                names={
                    "id": Text(),
                    "metadata": Metadata(clearable=True),
                    "price": Text(),
                    "quantity": Whole(least=1),
                },
                elsewhere=words(
                    "billing_thresholds clear_usage current_trial deleted discounts plan price_data tax_rates"
                ),
            )
        ),
        "metadata": Metadata(clearable=True),
        "payment_behavior": Choice(
            words=("allow_incomplete", "error_if_incomplete"),
            unsimulated=("default_incomplete", "pending_if_incomplete"),
        ),
        "proration_behavior": PRORATION,
        "trial_end": ChoiceOrTime(words=("now",)),
    },
    elsewhere=words(
        "add_invoice_items application_fee_percent automatic_tax billing_cycle_anchor billing_schedules"
        " billing_thresholds collection_method days_until_due default_source default_tax_rates discounts"
        " invoice_settings off_session on_behalf_of pause_collection payment_settings"
        " pending_invoice_item_interval proration_date transfer_data trial_from_plan trial_settings"
    ),
)
SUBSCRIPTION_CANCEL = Group(
    names={**EXPAND, "cancellation_details": CANCELLATION}, elsewhere=("invoice_now", "prorate")
)
SUBSCRIPTION_RESUME = Group(
    names={**EXPAND},
    elsewhere=words("billing_cycle_anchor payment_behavior proration_behavior proration_date"),
)
SUBSCRIPTION_STATUS = words(
    "active all canceled ended incomplete incomplete_expired past_due paused trialing unpaid"
)
SUBSCRIPTION_LIST = page(
    {
        "created": Between(),
        "current_period_end": Between(),
        "current_period_start": Between(),
        "customer": Text(),
        "price": Text(),
        "status": Choice(words=SUBSCRIPTION_STATUS),
    },
    elsewhere="automatic_tax collection_method customer_account plan test_clock",
)

INVOICE_LIST = page(
    {
        "created": Between(),
        "customer": Text(),
        "status": Choice(words=("draft", "open", "paid", "uncollectible", "void")),
        "subscription": Text(),
    },
    elsewhere="collection_method customer_account due_date",
)
INVOICE_PAY = Group(
    names={**EXPAND, "payment_method": Text()},
    elsewhere=words("forgive mandate off_session paid_out_of_band source"),
)
INVOICE_PAYMENT_LIST = page(
    {
        "created": Between(),
        "invoice": Text(),
        "payment": Group(
            names={
                "payment_intent": Text(),
                "type": Choice(words=("payment_intent",), unsimulated=("payment_record",)),
            },
            required=("type",),
            elsewhere=("payment_record",),
        ),
        "status": Choice(words=("canceled", "open", "paid")),
    }
)
CHARGE_LIST = page(
    {"created": Between(), "customer": Text(), "payment_intent": Text()}, elsewhere="transfer_group"
)
PAYMENT_INTENT_LIST = page({"created": Between(), "customer": Text()}, elsewhere="customer_account")
REFUND_CREATE = Group(
    names={
        **EXPAND,
        "amount": Whole(least=1),
        "charge": Text(),
        "metadata": Metadata(clearable=True),
        "payment_intent": Text(),
        "reason": Choice(words=("duplicate", "fraudulent", "requested_by_customer")),
    },
    elsewhere=words("currency customer instructions_email origin refund_application_fee reverse_transfer"),
)
REFUND_LIST = page({"charge": Text(), "created": Between(), "payment_intent": Text()})
DISPUTE_LIST = page({"charge": Text(), "created": Between(), "payment_intent": Text()})
EVENT_LIST = page(
    {"created": Between(), "delivery_success": Flag(), "type": Text(), "types": Listed(item=Text(), most=20)}
)
ENDPOINT_LIST = page({})
REFUND_UPDATE = Group(names={**EXPAND, "metadata": Metadata(clearable=True)})
