"""The site's components as template tags: `{% load ui icons formats %}`.

Block tags take their content between the opening and the closing tag.

    {% page_header "Orders" subtitle="Everything sent, waiting or refused" %}buttons{% endpage_header %}
    {% card title="Positions" note="5 open" flush=True id="positions" %}...{% endcard %}
    {% stat "Equity" equity|money:"USD" note="+1.42% today" tone="gain" help="What it is" %}
    {% button "Review order" kind="primary" %}          kind: primary, buy, sell, danger, quiet, link or none
    {% button "Open" href=url icon="right" size="s" %}  size: s, l; type: submit (default), button
    {% field form.symbol %}  {% field form.limit_price prefix="$" suffix="USD" help="..." label="..." %}
    {% form_errors form %}                              errors that belong to no field
    {% segmented form.side %}                           radio choices shown as one bar
    {% table label="Open positions" %}<thead>...<tbody>...{% endtable %}
        rows become cards on a phone: first cell <th scope="row">, others <td data-label="Price">;
        class="num" right-aligns; class="table__actions" holds buttons; cards=False scrolls instead
    {% badge "Checked" tone="good" icon="check" %}      tone: good, bad, warn, info or none
    {% order_status order.status %}                     the order's state in plain words
    {% environment_badge account.environment %}         PAPER or LIVE
    {% alert tone="warn" title="..." %}...{% endalert %}  tone: info, good, warn, bad
    {% empty_state "No orders yet" icon="orders" text="What to do next" %}buttons{% endempty_state %}
    {% tabs "Portfolio" %}{% tab "Positions" url active=True %}{% endtabs %}
    {% dialog "cancel-order" "Cancel this order?" %}...{% enddialog %}
        opened by <button type="button" data-dialog-open="cancel-order">, closed by data-dialog-close
    {% headroom "Daily loss" used limit text="$120 of $500" %}
    {% timeline %}
        {% timeline_item "Accepted" at=moment tone="good" took="120 ms" %}detail{% endtimeline_item %}
    {% endtimeline %}
    {% facts %}{% fact "Broker order id" %}...{% endfact %}{% endfacts %}
    {% pagination page_obj %}                           keeps the other query parameters
    {% help_tip "What this means" %}
    {% copy_text value label="Copy the order id" %}
    {% chart "equity" "Equity" data=series kind="area" empty="Drawn from the first snapshot on" %}
        kind: area, line, candles; instead of data: url="/same/origin.json"; symbol="AAPL" follows live quotes
    {% has_static "img/dashboard.png" as has_picture %}
    {% nav_link "orders:list" "Orders" "orders" %}      nothing when the route does not exist

Amounts, percentages and times come from `formats`, icons from `icons`.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from itertools import count
from typing import Any

from django import template
from django.contrib.staticfiles import finders
from django.core.paginator import Page
from django.forms import BaseForm, BoundField, CheckboxInput
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse
from django.utils.safestring import SafeString

register = template.Library()

ALERT_ICONS = {"info": "info", "good": "check-circle", "warn": "warning", "bad": "error"}

# status -> (the words of orders.enums.OrderStatus, tone, icon); the icon says the same as the colour.
ORDER_STATUSES: dict[str, tuple[str, str, str]] = {
    "PENDING_APPROVAL": ("Waiting for approval", "warn", "clock"),
    "QUEUED": ("Queued", "info", "clock"),
    "SUBMITTING": ("Submitting", "info", "refresh"),
    "UNCONFIRMED": ("Unconfirmed", "warn", "warning"),
    "PENDING_CANCEL": ("Cancel pending", "warn", "refresh"),
    "PENDING_REPLACE": ("Replace pending", "info", "refresh"),
    "ACCEPTED": ("Accepted", "info", "clock"),
    "PARTIALLY_FILLED": ("Partially filled", "info", "chart"),
    "DENIED": ("Denied", "bad", "stop"),
    "NOT_SENT": ("Not sent", "", "minus"),
    "REJECTED": ("Rejected", "bad", "close"),
    "FILLED": ("Filled", "good", "check"),
    "CANCELED": ("Canceled", "", "close"),
    "EXPIRED": ("Expired", "", "clock"),
}

_tip_ids = count(1)


def _component(name: str, context: Mapping[str, object]) -> SafeString:
    return render_to_string(f"components/{name}.html", dict(context))


@register.simple_block_tag
def page_header(content: str, title: str, subtitle: str = "") -> SafeString:
    return _component(
        "page_header", {"title": title, "subtitle": subtitle, "actions": content if content.strip() else ""}
    )


@register.simple_block_tag
def card(
    content: str,
    title: str = "",
    note: str = "",
    id: str = "",
    href: str = "",
    link_text: str = "",
    flush: bool = False,
) -> SafeString:
    """A surface with an optional head; `flush` removes the padding for tables, lists and charts."""
    context = {
        "content": content,
        "title": title,
        "note": note,
        "id": id,
        "href": href,
        "link_text": link_text,
        "flush": flush,
    }
    return _component("card", context)


@register.simple_tag
def stat(
    label: str,
    value: str,
    note: str = "",
    tone: str = "",
    value_tone: str = "",
    help: str = "",
) -> SafeString:
    """A number that matters. `tone` colours the note, `value_tone` the number."""
    context = {
        "label": label,
        "value": value,
        "note": note,
        "tone": tone,
        "value_tone": value_tone,
        "help": help,
    }
    return _component("stat", context)


@register.simple_tag
def button(
    label: str,
    kind: str = "",
    href: str = "",
    icon: str = "",
    type: str = "submit",
    size: str = "",
    wide: bool = False,
    name: str = "",
    value: str = "",
    form: str = "",
    id: str = "",
    disabled: bool = False,
    confirm: str = "",
) -> SafeString:
    """A button, or a link that looks like one when `href` is given; `confirm` asks before it acts."""
    context = {
        "label": label,
        "kind": kind,
        "href": href,
        "icon": icon,
        "type": type,
        "size": size,
        "wide": wide,
        "name": name,
        "value": value,
        "form": form,
        "id": id,
        "disabled": disabled,
        "confirm": confirm,
    }
    return _component("button", context)


@register.simple_tag
def field(
    bound: BoundField,
    label: str = "",
    help: str = "",
    prefix: str = "",
    suffix: str = "",
    hide_label: bool = False,
    extra_class: str = "",
) -> SafeString:
    """A form field with its label, help and errors tied together for assistive technology."""
    if bound.is_hidden:
        return bound.as_widget()
    widget = bound.field.widget
    is_choice_group = bool(getattr(widget, "use_fieldset", False))
    context = {
        "bound": bound,
        "label": label or bound.label,
        "help": help or bound.help_text,
        "prefix": prefix,
        "suffix": suffix,
        "hide_label": hide_label,
        "extra_class": extra_class,
        "is_checkbox": isinstance(widget, CheckboxInput),
        "is_choice_group": is_choice_group,
        "control": _control(bound, has_help=bool(help or bound.help_text)),
    }
    return _component("field", context)


def _control(bound: BoundField, *, has_help: bool) -> SafeString:
    described_by = []
    if has_help:
        described_by.append(f"{bound.auto_id}_help")
    if bound.errors:
        described_by.append(f"{bound.auto_id}_error")
    attrs: dict[str, Any] = {}
    if described_by:
        attrs["aria-describedby"] = " ".join(described_by)
    if bound.errors:
        attrs["aria-invalid"] = "true"
    return bound.as_widget(attrs=attrs)


@register.simple_tag
def form_errors(form: BaseForm) -> SafeString:
    return _component("form_errors", {"errors": form.non_field_errors()})


@register.simple_tag
def segmented(bound: BoundField, label: str = "", hide_label: bool = False, wrap: bool = False) -> SafeString:
    """A choice field as one bar of options; the field's widget may be a select or radio buttons."""
    value = bound.value()
    selected = "" if value is None else str(value)
    options = [
        {"value": choice, "text": text, "id": f"{bound.auto_id}_{index}", "checked": str(choice) == selected}
        for index, (choice, text) in enumerate(getattr(bound.field, "choices", ()))
        if str(choice) != ""
    ]
    context = {
        "bound": bound,
        "label": label or bound.label,
        "hide_label": hide_label,
        "options": options,
        "wrap": wrap,
    }
    return _component("segmented", context)


@register.simple_block_tag
def table(content: str, label: str, cards: bool = True, id: str = "") -> SafeString:
    """A table named `label` for screen readers; see the module's docstring for the cell conventions."""
    return _component("table", {"content": content, "label": label, "cards": cards, "id": id})


@register.simple_tag
def badge(text: str, tone: str = "", icon: str = "", title: str = "") -> SafeString:
    return _component("badge", {"text": text, "tone": tone, "icon": icon, "title": title})


@register.simple_tag
def order_status(status: str) -> SafeString:
    """The badge of an order status; accepts the stored value in either case."""
    text, tone, icon = ORDER_STATUSES[str(status).upper()]
    return badge(text, tone=tone, icon=icon)


@register.simple_tag
def environment_badge(environment: str) -> SafeString:
    """PAPER or LIVE, in words as well as colour, because one of them is real money."""
    return _component("environment_badge", {"is_live": str(environment).lower() == "live"})


@register.simple_block_tag
def alert(content: str, tone: str = "info", title: str = "") -> SafeString:
    context = {"content": content, "tone": tone, "title": title, "icon_name": ALERT_ICONS[tone]}
    return _component("alert", context)


@register.simple_block_tag
def empty_state(content: str, title: str, icon: str = "info", text: str = "") -> SafeString:
    # The calling template rendered, and so escaped, the content; strip() would lose that mark.
    actions = SafeString(content.strip())
    return _component("empty_state", {"actions": actions, "title": title, "icon_name": icon, "text": text})


@register.simple_block_tag
def tabs(content: str, label: str) -> SafeString:
    return _component("tabs", {"content": content, "label": label})


@register.simple_tag
def tab(text: str, href: str, active: bool = False) -> SafeString:
    return _component("tab", {"text": text, "href": href, "active": active})


@register.simple_block_tag
def dialog(content: str, id: str, title: str, wide: bool = False) -> SafeString:
    return _component("dialog", {"content": content, "id": id, "title": title, "wide": wide})


@register.simple_tag
def headroom(label: str, used: Decimal | int, limit: Decimal | int, text: str) -> SafeString:
    """How much of a limit is used: calm below 75 %, amber from there, red at or over the limit."""
    share = Decimal(used) / Decimal(limit) if limit else Decimal(1)
    tone = "bad" if share >= 1 else "warn" if share >= Decimal("0.75") else ""
    context = {
        "label": label,
        "text": text,
        "tone": tone,
        "percent": int(min(max(share, Decimal(0)), Decimal(1)) * 100),
    }
    return _component("headroom", context)


@register.simple_block_tag
def timeline(content: str) -> SafeString:
    return _component("timeline", {"content": content})


@register.simple_block_tag
def timeline_item(
    content: str, title: str, at: datetime | None = None, tone: str = "", took: str = ""
) -> SafeString:
    context = {"content": content, "title": title, "at": at, "tone": tone, "took": took}
    return _component("timeline_item", context)


@register.simple_block_tag
def facts(content: str) -> SafeString:
    return _component("facts", {"content": content})


@register.simple_block_tag
def fact(content: str, label: str) -> SafeString:
    return _component("fact", {"content": content, "label": label})


@register.inclusion_tag("components/pagination.html", takes_context=True)
def pagination(context: template.Context, page: Page) -> dict[str, object]:
    return {"request": context.get("request"), "page": page}


@register.simple_tag
def help_tip(text: str, label: str = "this") -> SafeString:
    return _component("help_tip", {"text": text, "label": label, "id": f"tip-{next(_tip_ids)}"})


@register.simple_tag
def copy_text(value: str, label: str = "Copy") -> SafeString:
    return _component("copy_text", {"value": value, "label": label})


@register.simple_tag
def chart(
    id: str,
    label: str,
    data: Mapping[str, object] | None = None,
    url: str = "",
    kind: str = "line",
    symbol: str = "",
    small: bool = False,
    empty: str = "",
) -> SafeString:
    """A chart with its numbers as a table; the shape of `data` is described in static/js/charts.js."""
    context = {
        "source_id": f"{id}-data",
        "label": label,
        "data": data,
        "url": url,
        "kind": kind,
        "symbol": symbol,
        "small": small,
        "empty": empty,
    }
    return _component("chart", context)


@register.simple_tag
def has_static(path: str) -> bool:
    """Whether a static file exists, for pictures that an installation may leave out."""
    return finders.find(path) is not None


@register.inclusion_tag("components/nav_link.html", takes_context=True)
def nav_link(
    context: template.Context,
    route: str,
    text: str,
    icon: str = "",
    style: str = "nav__link",
    section: str = "",
    alone: bool = False,
) -> dict[str, object]:
    """A navigation entry: absent when its route is, marked current on its own section's pages.

    The section is the route's namespace, and the routes that start with a word of `section`. An entry that
    stands `alone` is a tab among others of its namespace, marked on its own page only.
    """
    try:
        href = reverse(route)
    except NoReverseMatch:
        return {"href": ""}
    match = getattr(context.get("request"), "resolver_match", None)
    current = match.view_name or "" if match is not None else ""
    return {
        "href": href,
        "text": text,
        "icon_name": icon,
        "style": style,
        "is_current": (route == current if alone else _is_section(route, current))
        or current.startswith(tuple(section.split()) or "\0"),
    }


# Routes that have an entry of their own, with those named after them, and so do not light up their
# namespace's entry.
OWN_ENTRIES = frozenset({"orders:ticket", "portfolios:import"})
# Steps of such an entry, which light it up.
STEPS = {"orders:prepare": "orders:ticket", "orders:review": "orders:ticket", "orders:place": "orders:ticket"}


def _is_section(route: str, current: str) -> bool:
    current = STEPS.get(current, current)
    if route == current:
        return True
    own = next((entry for entry in OWN_ENTRIES if current == entry or current.startswith(f"{entry}_")), "")
    namespace, separator, _ = route.partition(":")
    if own or not separator or route in OWN_ENTRIES:
        return route == own
    return current.startswith(f"{namespace}:")
