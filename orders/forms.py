"""The ticket and the change form: shape only. `orders.drafts` reads the values, the gate judges them."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from django import forms
from django.db import models

from brokers.enums import OrderClass, OrderType, Side, TimeInForce
from brokers.models import BrokerAccount
from brokers.types import Capabilities, OrderRequest, ReplaceRequest, format_decimal
from orders.drafts import parse_changes, parse_order
from orders.exceptions import InvalidOrder
from orders.models import Order, OrderDefaults
from orders.sizing import SizeMode, SizeUnknown, compute_size


class ExitKind(models.TextChoices):
    """What the ticket offers beside the order itself."""

    NONE = "none", "None"
    ATTACHED = "attached", "Add a take-profit, a stop-loss or both"
    PAIR = "pair", "Exit pair for shares held: one cancels the other"


class TrailMode(models.TextChoices):
    AMOUNT = "amount", "Amount"
    PERCENT = "percent", "Percent"


# Where the ticket shows a message about a field of the order.
FIELD_OF = {
    "quantity": "size",
    "notional": "size",
    "trail_amount": "trail",
    "trail_percent": "trail",
    "order_class": "exits",
    "take_profit": "take_profit_limit_price",
    "stop_loss": "stop_loss_stop_price",
}
PRICES_OF_TYPE: Mapping[str, tuple[str, ...]] = {
    OrderType.LIMIT: ("limit_price",),
    OrderType.STOP: ("stop_price",),
    OrderType.STOP_LIMIT: ("stop_price", "limit_price"),
}
EXIT_PRICES = ("take_profit_limit_price", "stop_loss_stop_price", "stop_loss_limit_price")


def _decimal_field(label: str, help_text: str = "", *, required: bool = True) -> forms.CharField:
    """A number as text, so that what was typed stays on the page exactly, wrong or right."""
    return forms.CharField(
        label=label,
        required=required,
        max_length=40,
        help_text=help_text,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
        error_messages={"required": "This order needs a value here."},
    )


class TicketForm(forms.Form):
    """Every field a ticket can have; which of them count follows from the type and the exits."""

    use_required_attribute = False
    # The fields that only some orders have.
    conditional = ("limit_price", "stop_price", "trail_mode", "trail", "exits")

    account = forms.UUIDField(widget=forms.HiddenInput)
    symbol = forms.CharField(label="Symbol", max_length=20, widget=forms.HiddenInput)
    side = forms.ChoiceField(label="Side", choices=Side.choices, widget=forms.RadioSelect)
    order_type = forms.ChoiceField(label="Order type")
    size_mode = forms.ChoiceField(label="Size by", widget=forms.RadioSelect)
    size = _decimal_field("Size")
    limit_price = _decimal_field("Limit price")
    stop_price = _decimal_field("Stop price")
    trail_mode = forms.ChoiceField(label="Trail by", choices=TrailMode.choices)
    trail = _decimal_field("Trail")
    time_in_force = forms.ChoiceField(label="Time in force")
    extended_hours = forms.BooleanField(label="Also trade in extended hours", required=False)
    exits = forms.ChoiceField(label="Exits")
    take_profit_limit_price = _decimal_field("Take-profit at", required=False)
    stop_loss_stop_price = _decimal_field("Stop-loss at", required=False)
    stop_loss_limit_price = _decimal_field("Stop-loss limit", required=False)
    note = forms.CharField(label="Note", required=False, max_length=200, help_text="Kept with the order.")

    def __init__(self, *args: Any, account: BrokerAccount, capabilities: Capabilities, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.broker_account = account
        self.capabilities = capabilities
        self._draft: OrderRequest | None = None
        rules = capabilities.order_rules
        times = {time for rule in rules for time in rule.times_in_force}
        self._offer("order_type", [kind for kind in OrderType if capabilities.rule_for(kind)])
        self._offer("time_in_force", [time for time in TimeInForce if time in times])
        self._offer("exits", self._exit_kinds())
        self._choices("size_mode").choices = [
            (SizeMode.SHARES, "Shares"),
            (SizeMode.DOLLARS, account.currency),
            (SizeMode.PERCENT, "% of equity"),
        ]
        if not any(rule.extended_hours_times_in_force for rule in rules):
            del self.fields["extended_hours"]

    def _choices(self, name: str) -> forms.ChoiceField:
        field = self.fields[name]
        if not isinstance(field, forms.ChoiceField):
            raise TypeError(name)
        return field

    def _offer(self, name: str, members: list[Any]) -> None:
        self._choices(name).choices = [(member.value, member.label) for member in members]

    def _exit_kinds(self) -> list[ExitKind]:
        classes = {kind for rule in self.capabilities.order_rules for kind in rule.order_classes}
        kinds = [ExitKind.NONE]
        if classes & {OrderClass.BRACKET, OrderClass.OTO}:
            kinds.append(ExitKind.ATTACHED)
        if OrderClass.OCO in classes:
            kinds.append(ExitKind.PAIR)
        return kinds

    def full_clean(self) -> None:
        """Ask only for what this kind of order has; elsewhere an empty field is no mistake."""
        if not self.is_bound:
            return super().full_clean()
        needed = self._needed()
        for name in self.conditional:
            self.fields[name].required = name in needed
        try:
            return super().full_clean()
        finally:
            for name in self.conditional:
                self.fields[name].required = True

    def _needed(self) -> set[str]:
        kind, exits = self.data.get("order_type", ""), self.data.get("exits", "")
        needed = set() if exits == ExitKind.PAIR else set(PRICES_OF_TYPE.get(kind, ()))
        return needed | ({"trail", "trail_mode"} if kind == OrderType.TRAILING_STOP else set())

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        self._check_exits(values)
        if not self.errors:
            try:
                self._draft = parse_order(self._order_fields(values))
            except InvalidOrder as error:
                self.add_order_errors(error)
        return values

    def _check_exits(self, values: Mapping[str, Any]) -> None:
        exits = values.get("exits")
        profit, stop = values.get("take_profit_limit_price"), values.get("stop_loss_stop_price")
        if exits == ExitKind.ATTACHED and not profit and not stop:
            self.add_error("take_profit_limit_price", "Give a take-profit, a stop-loss or both.")
        if exits == ExitKind.PAIR:
            for name, value in (("take_profit_limit_price", profit), ("stop_loss_stop_price", stop)):
                if not value:
                    self.add_error(name, "An exit pair needs both prices.")

    def _order_fields(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that count, as `parse_order` reads them; the size stands in for the quantity."""
        kind, exits = values["order_type"], values.get("exits")
        fields = {name: values[name] for name in ("symbol", "side", "time_in_force")}
        fields |= {
            "order_type": kind,
            "quantity": values["size"],
            "extended_hours": values.get("extended_hours", False),
        }
        if kind == OrderType.TRAILING_STOP:
            name = "trail_percent" if values.get("trail_mode") == TrailMode.PERCENT else "trail_amount"
            fields[name] = values["trail"]
        if exits == ExitKind.PAIR:
            fields["order_class"] = OrderClass.OCO.value
        else:
            fields |= {name: values[name] for name in PRICES_OF_TYPE.get(kind, ())}
        if exits in (ExitKind.ATTACHED, ExitKind.PAIR):
            fields |= {name: values[name] for name in EXIT_PRICES}
        return fields

    def add_order_errors(self, error: InvalidOrder) -> None:
        """Show what is wrong with the order at the fields of the ticket."""
        for name, texts in error.details.get("fields", {}).items():
            for text in texts:
                self.add_error(self.field_for(name), text)

    def field_for(self, name: str) -> str | None:
        """Return the ticket's field for a field of the order; None when the ticket shows none."""
        shown = FIELD_OF.get(name, name)
        return shown if shown in self.fields else None

    @property
    def draft(self) -> OrderRequest:
        """The order as typed, its `quantity` holding the size in whatever unit was chosen."""
        if self._draft is None:
            raise RuntimeError("The ticket is not valid.")
        return self._draft

    @property
    def mode(self) -> SizeMode:
        return SizeMode(self.cleaned_data["size_mode"])

    @property
    def can_be_amount(self) -> bool:
        """Whether the broker takes this kind of order by amount; the security must also allow it."""
        rule = self.capabilities.rule_for(self.draft.order_type)
        is_simple = self.draft.order_class is OrderClass.SIMPLE
        return bool(
            rule
            and is_simple
            and self.capabilities.notional
            and self.draft.time_in_force in rule.fractional_times_in_force
        )

    def build_request(self, *, price: Decimal | None, takes_amounts: bool) -> OrderRequest | None:
        """Return the order with its size worked out; None, with a message at the size, when it cannot be."""
        value = self.draft.quantity
        if value is None:
            raise RuntimeError("The ticket is not valid.")
        try:
            size = compute_size(
                mode=self.mode,
                value=value,
                equity=self.broker_account.equity,
                price=price,
                takes_amounts=takes_amounts,
            )
        except SizeUnknown as error:
            self.add_error("size", str(error))
            return None
        return replace(self.draft, quantity=size.quantity, notional=size.notional)

    def typed(self) -> dict[str, str]:
        """Return what was filled in, for showing the same ticket again."""
        names = [name for name in self.fields if name != "account"]
        return {name: value for name in names if (value := str(self.data.get(name, "")).strip())}


def first_values(defaults: OrderDefaults, account: BrokerAccount, symbol: str) -> dict[str, Any]:
    """Return what an untouched ticket starts with."""
    return {
        "account": account.pk,
        "symbol": symbol,
        "side": Side.BUY,
        "order_type": defaults.order_type,
        "size_mode": SizeMode.SHARES,
        "time_in_force": defaults.time_in_force,
        "extended_hours": defaults.extended_hours,
        "trail_mode": TrailMode.AMOUNT,
        "exits": ExitKind.NONE,
    }


class ChangeForm(forms.Form):
    """New terms for an open order. Shows only what this order has and its broker can change."""

    quantity = _decimal_field("Total quantity", "The whole order, with what has filled already.")
    limit_price = _decimal_field("Limit price")
    stop_price = _decimal_field("Stop price")
    trail = _decimal_field("Trail")
    time_in_force = forms.ChoiceField(label="Time in force", choices=TimeInForce.choices)

    use_required_attribute = False

    def __init__(self, *args: Any, order: Order, capabilities: Capabilities, **kwargs: Any) -> None:
        self.order = order
        self.current = _current_terms(order)
        super().__init__(*args, **{**kwargs, "initial": self.current})
        self._changes: ReplaceRequest | None = None
        for name in list(self.fields):
            if name not in self.current or name not in capabilities.replace_fields:
                del self.fields[name]
        rule = capabilities.rule_for(OrderType(order.order_type))
        times = self.fields.get("time_in_force")
        if isinstance(times, forms.ChoiceField) and rule is not None:
            times.choices = [(t.value, t.label) for t in TimeInForce if t in rule.times_in_force]

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if self.errors:
            return values
        changed = {
            name: text for name, text in values.items() if text.strip() and text.strip() != self.current[name]
        }
        if not changed:
            raise forms.ValidationError("Nothing is different from the order as it stands.")
        try:
            self._changes = parse_changes(changed)
        except InvalidOrder as error:
            self.add_order_errors(error)
        return values

    def add_order_errors(self, error: InvalidOrder) -> None:
        """Show what is wrong with the change at its fields; what has none goes above them."""
        fields = error.details.get("fields", {})
        for name, texts in fields.items():
            for text in texts:
                self.add_error(name if name in self.fields else None, text)
        if not fields:
            self.add_error(None, error.message)

    @property
    def changes(self) -> ReplaceRequest:
        if self._changes is None:
            raise RuntimeError("The form is not valid.")
        return self._changes


def _current_terms(order: Order) -> dict[str, str]:
    """Return the terms the order has now, as text; absent ones are left out."""
    trail = order.trail_amount if order.trail_amount is not None else order.trail_percent
    numbers = {
        "quantity": order.quantity,
        "limit_price": order.limit_price,
        "stop_price": order.stop_price,
        "trail": trail,
    }
    terms = {name: format_decimal(value) or "" for name, value in numbers.items() if value is not None}
    return {**terms, "time_in_force": str(order.time_in_force)}


class SettleForm(forms.Form):
    """What a person saw at the broker about an unconfirmed order."""

    OTHER = "other"

    answer = forms.CharField(max_length=80, error_messages={"required": "Choose what you saw at the broker."})
    broker_order_id = forms.CharField(label="Its order id at the broker", max_length=64, required=False)
    looked = forms.BooleanField(
        label="I have looked at the broker's own site or app just now",
        error_messages={"required": "Look there first: a wrong answer leaves an order that nobody watches."},
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("answer") == self.OTHER and not cleaned.get("broker_order_id", "").strip():
            self.add_error("broker_order_id", "Give the id that the broker shows for the order.")
        return cleaned

    @property
    def choice(self) -> str:
        """Return the choice as `settle_unconfirmed` takes it."""
        answer: str = self.cleaned_data["answer"]
        if answer == self.OTHER:
            return f"adopt:{self.cleaned_data['broker_order_id'].strip()}"
        return answer
