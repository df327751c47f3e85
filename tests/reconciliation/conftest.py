"""The scripted broker and its account, for drifts of orders; the book's drifts bring their own."""

from tests.orders.conftest import account, book, plans, stranger, user  # noqa: F401
