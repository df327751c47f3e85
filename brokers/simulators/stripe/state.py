"""Every object of the stand-in, its events, and their way into the state file.

Objects are plain dictionaries in Stripe's published shape and are never changed in place: a change puts a new
dictionary in the old one's stead. So a transaction that fails leaves nothing behind, and an event keeps the
picture of its moment.
"""

import secrets
import string
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from brokers.simulators.clock import SimulatedClock
from brokers.simulators.records import StripeRecord
from brokers.simulators.store import Store
from brokers.simulators.stripe.errors import resource_missing

API_VERSION = "2026-10-28.endive"
ENDPOINT_ID = "we_simulated"
LETTERS = string.ascii_letters + string.digits
Thing = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cause:
    """The API request behind an event; both empty for what happens by itself or on a page."""

    request_id: str | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class StripeOptions:
    """Start options. An empty ``webhook_url`` delivers no events until the control interface sets one."""

    secret_key: str = "sk_test_simulated"  # noqa: S105 - a published credential of a local simulator
    signing_secret: str = "whsec_simulated_demo"  # noqa: S105 - likewise
    webhook_url: str = ""


@dataclass(slots=True)
class Settings:
    """How the stand-in behaves beyond what Stripe's API says. Stored with the objects.

    ``after_retries`` is cancel, unpaid or past_due; ``fail_next`` has a decline code by customer or ``*``;
    ``secrets`` are signing secrets beside that of the options.
    """

    after_retries: str = "cancel"
    fail_next: dict[str, str] = field(default_factory=dict)
    secrets: list[str] = field(default_factory=list)
    webhook_url: str = ""
    pages_url: str = ""


class StripeState:
    """All objects by id. Change them inside ``with state.transaction():`` only."""

    def __init__(self, store: Store, options: StripeOptions) -> None:
        self.store, self.options = store, options
        self.clock = SimulatedClock()
        self.listeners: list[Callable[[Thing], None]] = []
        self._depth = 0
        self._logical: int | None = None
        self._forget()
        self._load()
        self.set_webhook_url(options.webhook_url or self.settings.webhook_url)

    def _forget(self) -> None:
        self.settings = Settings()
        self.objects: dict[str, Thing] = {}
        self.notes: dict[str, Thing] = {}
        self.kinds: dict[str, dict[str, None]] = defaultdict(dict)
        self._order: dict[str, int] = {}
        self._sequence = 0
        self._before: dict[str, tuple[Thing | None, Thing]] = {}
        self._events: list[Thing] = []
        self.cause = Cause()

    def _load(self) -> None:
        rows: list[StripeRecord] = self.store.read(StripeRecord)
        for row in sorted(rows, key=lambda one: one.sequence):
            self._sequence = max(self._sequence, row.sequence)
            if row.id == "settings":
                self.settings = Settings(**row.body)
                self.clock.restore(row.notes)
                continue
            self._index(row.id, row.body, row.notes, row.sequence)

    def reset(self) -> None:
        """Forget every object; the caller clears the file."""
        self._forget()
        self.clock.restore({})
        self.set_webhook_url(self.options.webhook_url)

    def set_webhook_url(self, url: str) -> None:
        """Where events go from now on; nowhere when empty."""
        self.settings.webhook_url = url
        self.save_settings()
        with self.transaction():
            if not url:
                if ENDPOINT_ID in self.objects:
                    self.discard(ENDPOINT_ID)
            elif ENDPOINT_ID in self.objects:
                self.change(ENDPOINT_ID, url=url)
            else:
                self.add(webhook_endpoint(url, self.now()))

    def now(self) -> int:
        """The stand-in's time in whole seconds since 1970."""
        if self._logical is not None:
            return self._logical
        return int(self.clock.now().timestamp())

    @contextmanager
    def at(self, moment: int) -> Iterator[None]:
        """Let everything inside happen at ``moment``."""
        before, self._logical = self._logical, moment
        try:
            yield
        finally:
            self._logical = before

    @contextmanager
    def transaction(self, cause: Cause | None = None) -> Iterator[None]:
        """Keep all changes of the block or, when it raises, none; then give the events to the listeners."""
        self._depth += 1
        outer = self.cause
        if cause is not None:
            self.cause = cause
        try:
            yield
        except BaseException:
            if self._depth == 1:
                self._undo()
            raise
        else:
            if self._depth == 1:
                self._commit()
        finally:
            self._depth -= 1
            self.cause = outer

    def add(self, thing: Thing, **notes: Any) -> Thing:
        """A new object, with notes that are not part of its published shape."""
        self._remember(thing["id"])
        self._sequence += 1
        self._index(thing["id"], thing, notes, self._sequence)
        return thing

    def change(self, thing_id: str, **values: Any) -> Thing:
        """Put other values into an object and return its new picture."""
        self._remember(thing_id)
        self.objects[thing_id] = {**self.objects[thing_id], **values}
        return self.objects[thing_id]

    def note(self, thing_id: str, **values: Any) -> None:
        """Keep something about an object that Stripe does not publish."""
        self._remember(thing_id)
        self.notes[thing_id] = {**self.notes[thing_id], **values}

    def discard(self, thing_id: str) -> None:
        """Forget an object."""
        self._remember(thing_id)
        kind = self.objects.pop(thing_id)["object"]
        self.kinds[kind].pop(thing_id)
        self.notes.pop(thing_id)

    def find(self, kind: str, thing_id: str, *, param: str = "id", status: int = 404) -> Thing:
        """The object. Raises StripeError resource_missing."""
        thing = self.objects.get(thing_id)
        if thing is None or thing["object"] != kind:
            raise resource_missing(kind, thing_id, param=param, status=status)
        return thing

    def every(self, kind: str) -> list[Thing]:
        """All objects of a kind, oldest first."""
        return [self.objects[thing_id] for thing_id in self.kinds[kind]]

    def emit(self, event_type: str, thing: Thing, before: Thing | None = None) -> None:
        """Publish an event about ``thing``; ``before`` gives the previous values of what changed."""
        data: Thing = {"object": thing}
        if before is not None:
            data["previous_attributes"] = differences(before, thing)
        waits = bool(self.settings.webhook_url)
        event = {
            "id": new_id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": self.now(),
            "data": data,
            "livemode": False,
            "pending_webhooks": int(waits),
            "request": {"id": self.cause.request_id, "idempotency_key": self.cause.idempotency_key},
            "type": event_type,
        }
        self.add(event)
        if waits:
            self.add(delivery(event))
        self._events.append(event)

    def save_settings(self) -> None:
        """Store the clock and the settings."""
        settings = self.settings
        body = {
            "after_retries": settings.after_retries,
            "fail_next": settings.fail_next,
            "secrets": settings.secrets,
            "webhook_url": settings.webhook_url,
            "pages_url": settings.pages_url,
        }
        self.store.write([StripeRecord("settings", 0, body, self.clock.state())])

    def date(self, seconds: int) -> datetime:
        """Whole seconds as a UTC time."""
        return datetime.fromtimestamp(seconds, tz=UTC)

    def _index(self, thing_id: str, thing: Thing, notes: Thing, sequence: int) -> None:
        self.objects[thing_id] = thing
        self.notes[thing_id] = notes
        self.kinds[thing["object"]][thing_id] = None
        self._order[thing_id] = sequence

    def _remember(self, thing_id: str) -> None:
        if self._depth == 0:
            raise RuntimeError("objects change inside a transaction only")
        if thing_id not in self._before:
            self._before[thing_id] = (self.objects.get(thing_id), self.notes.get(thing_id, {}))

    def _undo(self) -> None:
        for thing_id, (thing, notes) in self._before.items():
            current = self.objects.pop(thing_id, None)
            if current is not None and thing is None:
                self.kinds[current["object"]].pop(thing_id)
                self.notes.pop(thing_id)
            elif thing is not None:
                self._index(thing_id, thing, notes, self._order[thing_id])
        self._before.clear()
        self._events.clear()

    def _commit(self) -> None:
        changed = [thing_id for thing_id in self._before if thing_id in self.objects]
        gone = [thing_id for thing_id in self._before if thing_id not in self.objects]
        self._before.clear()
        self.store.write(
            StripeRecord(item, self._order[item], self.objects[item], self.notes[item]) for item in changed
        )
        self.store.delete(StripeRecord, gone)
        events, self._events = self._events, []
        for event in events:
            for listener in self.listeners:
                listener(event)


def new_id(prefix: str, length: int = 24) -> str:
    """A fresh id such as ``cus_`` with letters and digits."""
    return f"{prefix}_" + "".join(secrets.choice(LETTERS) for _ in range(length))


def webhook_endpoint(url: str, now: int) -> Thing:
    """The one endpoint of the account, in its published shape."""
    return {
        "id": ENDPOINT_ID,
        "object": "webhook_endpoint",
        "api_version": API_VERSION,
        "application": None,
        "created": now,
        "description": None,
        "enabled_events": ["*"],
        "livemode": False,
        "metadata": {},
        "status": "enabled",
        "url": url,
    }


def delivery(event: Thing) -> Thing:
    """The stand-in's own record of bringing an event to the endpoint."""
    return {
        "id": "delivery_" + event["id"],
        "object": "_delivery",
        "event": event["id"],
        "type": event["type"],
        "status": "pending",
        "next_at": time.time(),
        "attempts": [],
    }


def differences(before: Any, after: Any) -> Thing:
    """The values of ``before`` that ``after`` has no longer, nested objects reduced to their changed part."""
    found: Thing = {}
    for name in {**before, **after}:
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        both = isinstance(old, dict) and isinstance(new, dict)
        found[name] = differences(old, new) if both else old
    return found


def real_now() -> int:
    """The real time in whole seconds, for signatures and for waits that a moved clock must not change."""
    return int(time.time())
