"""Everything we know about a person, as a ZIP file that is written while it is sent."""

import csv
import io
import json
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from allauth.account.models import EmailAddress
from allauth.usersessions.models import UserSession
from django.db.models import Q, QuerySet

from billing.models import BillingNotice, Customer, PlanGrant, StripeDifference, Subscription
from brokers.models import BrokerAccount, BrokerConnection, BrokerEvent, CredentialAccess
from orders.models import Approval, Execution, Order, OrderDefaults, OrderEvent
from portfolios import models as books
from risk.models import RiskDecisionRecord
from tradeplatform.common.audit import record_audit
from tradeplatform.common.crypto import EncryptedTextField
from tradeplatform.models import ApiKey, AuditEntry, DisclosureAcceptance, User, UserEvent

_HIDDEN_FIELDS = frozenset({"password", "key_hash", "session_key"})
_CHUNK = 64 * 1024
_README = (
    "Your data, exported {at}.\n\n"
    "Each table is there twice: as JSON (one object per line) and as CSV. Times are UTC, amounts are exact "
    "decimals as text. Access to your brokers and the hashes of your keys are left out on purpose.\n"
    "In the CSV files a leading ' marks text that a spreadsheet would otherwise take for a formula.\n"
)


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the export."""

    name: str
    rows: QuerySet[Any]


def export_user_data(*, user: User, now: datetime) -> Iterator[bytes]:
    """Yield the bytes of the ZIP file; memory stays small whatever the person has stored."""
    record_audit(actor=user.email, action="data_exported", object_type="user", object_id=user.pk)
    return _zip_chunks(user, now)


def _zip_chunks(user: User, now: datetime) -> Iterator[bytes]:
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.txt", _README.format(at=now.isoformat(timespec="seconds")))
        for table in tables_of(user):
            for suffix, write in ((".jsonl", _json_lines), (".csv", _csv_lines)):
                with archive.open(f"{table.name}{suffix}", "w") as entry:
                    for line in write(table.rows):
                        entry.write(line.encode())
                        if sink.waiting >= _CHUNK:
                            yield sink.take()
    yield sink.take()


def tables_of(user: User) -> list[Table]:
    """Return every table that holds something of this person, scoped to them."""
    accounts = BrokerAccount.objects.filter(user=user)
    account_ids = list(accounts.values_list("pk", flat=True))
    return [
        Table("profile", User.objects.filter(pk=user.pk)),
        Table("email_addresses", EmailAddress.objects.filter(user=user)),
        Table("sessions", UserSession.objects.filter(user=user)),
        Table("disclosures_accepted", DisclosureAcceptance.objects.filter(user=user)),
        Table("api_keys", ApiKey.objects.filter(user=user)),
        Table("plans", PlanGrant.objects.filter(user=user)),
        Table("billing_customer", Customer.objects.filter(user=user)),
        Table("subscriptions", Subscription.objects.filter(customer__user=user)),
        Table("billing_differences", StripeDifference.objects.filter(user=user)),
        Table("billing_mails", BillingNotice.objects.filter(user=user)),
        Table("broker_links", BrokerConnection.objects.filter(user=user)),
        Table("broker_link_uses", CredentialAccess.objects.filter(connection__user=user)),
        Table("accounts", accounts),
        Table("broker_messages", BrokerEvent.objects.filter(account__user=user)),
        Table("order_defaults", OrderDefaults.objects.filter(user=user)),
        Table("orders", Order.objects.filter(user=user)),
        Table("order_journal", OrderEvent.objects.filter(order__user=user)),
        Table("approvals", Approval.objects.filter(order__user=user)),
        Table("executions", Execution.objects.filter(account__user=user)),
        Table("risk_decisions", RiskDecisionRecord.objects.filter(user_id=user.pk)),
        Table("live_events", UserEvent.objects.filter(user=user)),
        Table("audit", _audit_of(user, account_ids)),
        Table("portfolios", books.Portfolio.objects.filter(user=user)),
        Table("book_entries", books.LedgerEntry.objects.filter(portfolio__user=user)),
        Table("book_lots", books.Lot.objects.filter(portfolio__user=user)),
        Table("book_lot_closures", books.LotClosure.objects.filter(lot__portfolio__user=user)),
        Table("book_positions", books.Position.objects.filter(portfolio__user=user)),
        Table("book_equity", books.EquitySnapshot.objects.filter(portfolio__user=user)),
        Table("book_breaks", books.Break.objects.filter(portfolio__user=user)),
        Table("imports", books.ImportBatch.objects.filter(user=user)),
    ]


def _audit_of(user: User, account_ids: list[Any]) -> QuerySet[AuditEntry]:
    about_them = Q(object_type="user", object_id=str(user.pk)) | Q(
        object_type="account", object_id__in=[str(pk) for pk in account_ids]
    )
    return AuditEntry.objects.filter(Q(actor=user.email) | about_them)


def _fields_of(rows: QuerySet[Any]) -> list[Any]:
    return [
        field
        for field in rows.model._meta.concrete_fields
        if field.name not in _HIDDEN_FIELDS and not isinstance(field, EncryptedTextField)
    ]


def _json_lines(rows: QuerySet[Any]) -> Iterator[str]:
    fields = _fields_of(rows)
    for row in rows.order_by("pk").iterator(chunk_size=500):
        values = {field.attname: _plain(getattr(row, field.attname)) for field in fields}
        yield json.dumps(values, ensure_ascii=False) + "\n"


def _csv_lines(rows: QuerySet[Any]) -> Iterator[str]:
    fields = _fields_of(rows)
    yield _csv_line(field.attname for field in fields)
    for row in rows.order_by("pk").iterator(chunk_size=500):
        yield _csv_line(_cell(_plain(getattr(row, field.attname))) for field in fields)


def _csv_line(cells: Iterable[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(list(cells))
    return buffer.getvalue()


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, str, dict, list)):
        return value
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value)
    is_number = isinstance(value, (int, float)) or text.lstrip("-").replace(".", "", 1).isdigit()
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") and not is_number else text


class _Sink(io.RawIOBase):
    """Collects what the ZIP writer produces until somebody takes it."""

    def __init__(self) -> None:
        super().__init__()
        self._chunks: list[bytes] = []
        self.waiting = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._chunks.append(bytes(data))
        self.waiting += len(data)
        return len(data)

    def take(self) -> bytes:
        taken = b"".join(self._chunks)
        self._chunks, self.waiting = [], 0
        return taken
