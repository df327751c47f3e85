"""What the book does when something happens in the apps below it. Hints only: syncs find the same work."""

from typing import Any
from uuid import UUID

from django.dispatch import receiver

from brokers.signals import account_linked
from portfolios.services.opening import open_linked_account


@receiver(account_linked, dispatch_uid="portfolios.open_book")
def open_book_of_linked_account(*, account_id: UUID, **_: Any) -> None:
    """Open a linked account's book at once, in the process that linked it: the link is committed already.

    When the broker cannot be read just then, the order dispatcher's next look opens it.
    """
    open_linked_account(account_id)
