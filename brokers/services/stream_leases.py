"""Which stream process listens to which account: leases in the database, shared out evenly.

A process proves that it is alive by one row, whatever the number of its accounts. When it stops proving it,
the next round of any other process frees what it held. Its name is its fence: a process that was taken for
dead finds its name gone, and nothing written under that name changes a row any more. Broker messages need no
such guard; they are facts whoever brings them, and the inbox stores each once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import QuerySet

from brokers.enums import StreamState
from brokers.models import AccountStream, StreamProcess
from brokers.selectors import streaming_accounts
from tradeplatform.common.clock import utc_now
from tradeplatform.common.prepared import PreparedQuery, PreparedUpdate, one_round_trip, slot

logger = structlog.get_logger(__name__)

LEASE = timedelta(seconds=6)
# Taken in and given up per round, so that a change of shares does not move everything in one moment.
CLAIM_BATCH = 1000
GIVE_UP_BATCH = 200


_BY_HOLDER = {"holder_id": slot(AccountStream, "holder")}
_PROVE_LIFE = PreparedUpdate(
    lambda: StreamProcess.objects.filter(name=slot(StreamProcess, "name")),
    alive_until=slot(StreamProcess, "alive_until"),
)
_PROCESSES = PreparedQuery(lambda: StreamProcess.objects.values_list("name", flat=True))
_A_DEAD_ONE = PreparedQuery(
    lambda: (
        StreamProcess.objects.filter(alive_until__lt=slot(StreamProcess, "alive_until", name="now"))
        .order_by()
        .values_list("name", flat=True)[:1]
    )
)
_WITHOUT_ROW = PreparedQuery(
    lambda: streaming_accounts().filter(stream=None).order_by().values_list("pk", flat=True)
)
_DROP_UNLINKED = PreparedUpdate(
    lambda: AccountStream.objects.filter(**_BY_HOLDER).exclude(account__in=streaming_accounts()),
    holder_id=None,
    state=StreamState.WAITING,
    since=slot(AccountStream, "since"),
)
_HELD = PreparedQuery(
    lambda: AccountStream.objects.filter(**_BY_HOLDER).values_list(
        "account_id", "account__broker", "account__connection__linked_at"
    )
)
_NOTED = ("state", "since", "problem", "last_event_at")


def _one_stream() -> QuerySet[AccountStream]:
    return AccountStream.objects.filter(account_id=slot(AccountStream, "account"), **_BY_HOLDER)


_NOTE = PreparedUpdate(_one_stream, **{name: slot(AccountStream, name) for name in _NOTED})
_NOTE_COVERED = PreparedUpdate(
    _one_stream, **{name: slot(AccountStream, name) for name in (*_NOTED, "covered_until")}
)


@dataclass(frozen=True, slots=True)
class HeldAccount:
    """An account that this process listens to; `linked_at` tells a link from the one before it."""

    account_id: UUID
    broker: str
    linked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What a process has after a round. `give_up` is above its share; it ends these, then releases them."""

    accounts: Mapping[UUID, HeldAccount]
    give_up: Sequence[UUID]
    is_leader: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamNote:
    """How one account's stream is doing. `covered_until` None leaves what the row says."""

    account_id: UUID
    state: StreamState
    since: datetime
    problem: str
    last_event_at: datetime | None
    covered_until: datetime | None


def join(name: str) -> None:
    """Enter a process. The name must be new."""
    now = utc_now()
    StreamProcess.objects.create(name=name, started_at=now, alive_until=now + LEASE)


def take_round(name: str) -> Holding | None:
    """Prove that this process is alive and take its fair share; None when it was taken for dead."""
    now = utc_now()
    if not _PROVE_LIFE.run(name=name, alive_until=now + LEASE):
        return None
    _free_the_dead(now)
    _add_missing_rows()
    _DROP_UNLINKED.write(holder=name, since=now)
    names = _PROCESSES.all()
    wanted = AccountStream.objects.filter(account__in=streaming_accounts()).count()
    fair = ceil(wanted / max(len(names), 1))
    accounts = _held_by(name)
    if len(accounts) < fair:
        _claim(name, min(fair - len(accounts), CLAIM_BATCH))
        accounts = _held_by(name)
    surplus = max(0, min(len(accounts) - fair, GIVE_UP_BATCH))
    return Holding(
        accounts=accounts, give_up=sorted(accounts)[:surplus], is_leader=bool(names) and names[0] == name
    )


def release(name: str, account_ids: Sequence[UUID]) -> None:
    """Let go of accounts whose streams have ended, so that another process takes them."""
    AccountStream.objects.filter(holder=name, account__in=account_ids).update(
        holder=None, state=StreamState.WAITING, since=utc_now()
    )


def leave(name: str) -> None:
    """Take a process out that has ended its streams; everything that it held is free at once."""
    with transaction.atomic():
        _free([name], utc_now())


def note_streams(name: str, notes: Sequence[StreamNote]) -> None:
    """Write how streams are doing, for as long as this process holds them."""
    with transaction.atomic(), one_round_trip():
        # In one order everywhere, so that two processes never wait for each other.
        for note in sorted(notes, key=lambda note: note.account_id):
            values = {field: getattr(note, field) for field in _NOTED}
            if note.covered_until is None:
                _NOTE.write(account=note.account_id, holder=name, **values)
            else:
                _NOTE_COVERED.write(
                    account=note.account_id, holder=name, covered_until=note.covered_until, **values
                )


def note_covered(name: str, *, until: datetime, behind: Sequence[UUID]) -> int:
    """Note that all live streams of a process have told everything until then, but those in `behind`."""
    live = AccountStream.objects.filter(holder=name, state=StreamState.LIVE)
    return live.exclude(account__in=behind).update(covered_until=until)


def _free_the_dead(now: datetime) -> None:
    if _A_DEAD_ONE.first(now=now) is None:
        return
    with transaction.atomic():
        late = StreamProcess.objects.select_for_update(skip_locked=True).filter(alive_until__lt=now)
        names = list(late.values_list("name", flat=True))
        freed = _free(names, now)
    if names:
        logger.warning("stream_processes_lost", processes=names, accounts=freed)


def _free(names: Sequence[str], now: datetime) -> int:
    """Delete processes and free what they held."""
    freed = AccountStream.objects.filter(holder__in=names).update(
        holder=None, state=StreamState.WAITING, since=now
    )
    StreamProcess.objects.filter(name__in=names).delete()
    return freed


def _add_missing_rows() -> None:
    rows = [AccountStream(account_id=account_id) for account_id in _WITHOUT_ROW.all()]
    if rows:
        AccountStream.objects.bulk_create(rows, ignore_conflicts=True, batch_size=500)


def _claim(name: str, count: int) -> None:
    """Take free accounts. Rows that another process is just taking are passed over, not waited for."""
    with transaction.atomic():
        free = AccountStream.objects.filter(holder=None, account__in=streaming_accounts()).order_by("account")
        ids = list(free.select_for_update(skip_locked=True).values_list("account", flat=True)[:count])
        AccountStream.objects.filter(account__in=ids, holder=None).update(
            holder=name, state=StreamState.CONNECTING, since=utc_now(), problem=""
        )


def _held_by(name: str) -> dict[UUID, HeldAccount]:
    return {row[0]: HeldAccount(*row) for row in _HELD.all(holder=name)}
