"""Signals of this app. They are hints sent after commit; the rows are the truth."""

from django.dispatch import Signal

account_linked = Signal()
"""An account was linked or linked again: sender is BrokerAccount, with `account_id` and `created`."""
