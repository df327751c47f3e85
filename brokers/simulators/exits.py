"""Exit legs: what the orders of a bracket, OCO or OTO do to each other.

Children stay held until their parent is completely filled. Of a pair of exits, one that ends takes the other
with it, and a partial fill of one shrinks the other. An OCO has the take-profit as parent and the stop as its
child.
"""

from decimal import Decimal
from typing import TYPE_CHECKING

from brokers.simulators.records import Order

if TYPE_CHECKING:
    from brokers.simulators.desk import Desk

ENTRY_CLASSES = ("bracket", "oto")


def children(desk: "Desk", order: Order) -> list[Order]:
    """Open child orders of ``order``, following replacements of the parent."""
    root = order
    while root.replaces and not desk.book.children.get(root.id):
        root = desk.book.orders[root.replaces]
    found = (desk.book.orders[child] for child in desk.book.children.get(root.id, []))
    return [child for child in found if child.is_open]


def siblings(desk: "Desk", order: Order) -> list[Order]:
    """Open orders of the same exit pair, without ``order`` and without its own replacement."""
    if order.parent_id is None:
        return children(desk, order) if order.order_class == "oco" else []
    own = {order.id, order.replaced_by, order.replaces}
    found = (desk.book.orders[child] for child in desk.book.children.get(order.parent_id, []))
    pair = [child for child in found if child.is_open and child.id not in own]
    parent = desk.book.orders[order.parent_id]
    while parent.replaced_by and not parent.is_open:
        parent = desk.book.orders[parent.replaced_by]
    if order.order_class == "oco" and parent.is_open and parent.id not in own:
        pair.append(parent)
    return pair


def activate_children(desk: "Desk", order: Order) -> None:
    """Let the held legs work."""
    for child in children(desk, order):
        if child.status == "held" and child.is_open:
            desk.activate(child)


def after_fill(desk: "Desk", order: Order, quantity: Decimal) -> None:
    """Consequences of a fill of ``order``."""
    is_entry = order.parent_id is None and order.order_class in ENTRY_CLASSES
    if is_entry:
        if order.status == "filled":
            activate_children(desk, order)
        return
    for other in siblings(desk, order):
        if order.status == "filled":
            desk.finish(other, "canceled")
        elif other.qty is not None and other.leaves_qty > quantity:
            other.qty -= quantity
            desk.book.touch(other)
            desk.emit("restated", other)


def after_end(desk: "Desk", order: Order) -> None:
    """Consequences of ``order`` ending without being filled: its legs and its partner end as well."""
    if order.status == "replaced":
        return
    linked = children(desk, order) + siblings(desk, order)
    for other in {item.id: item for item in linked}.values():
        if other.is_open:
            desk.finish(other, "canceled")
