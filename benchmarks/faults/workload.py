"""What people do: order, press twice, change their minds, tighten limits, stop trading, link again."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from django.db import DatabaseError

from benchmarks.faults.book import PRICES, Book
from benchmarks.faults.oracle import SendWatch
from benchmarks.faults.world import START, Killed, World
from billing.services import ensure_plans
from brokers.credentials import dump_credentials
from brokers.enums import ConnectionStatus, OrderType, Side, TimeInForce
from brokers.exceptions import BrokerError
from brokers.models import BrokerAccount, BrokerConnection
from brokers.types import OrderRequest, ReplaceRequest
from orders.exceptions import ConfirmationRequired, IdempotencyInProgress
from orders.models import Order
from orders.services.cancel import cancel_order
from orders.services.place import place_order
from orders.services.replace import replace_order
from orders.services.settle import settle_unconfirmed
from portfolios.services.opening import open_book
from risk.services.halts import halt_trading, resume_trading
from risk.services.limits import set_limit
from tradeplatform.common.exceptions import PlatformError
from tradeplatform.common.prepared import PreparedQuery
from tradeplatform.models import Disclosure, DisclosureAcceptance, User

CASH = Decimal(100_000)
ORDERS_PER_ACCOUNT = 30
SECONDS_BETWEEN_ORDERS = 30.0
BURST = 200
SECONDS_BETWEEN_BURSTS = 150.0
CANCEL_SHARE, REPLACE_SHARE, LIMIT_SHARE, DOUBLE_CLICK_SHARE = 0.10, 0.05, 0.05, 0.05
TWIN_SHARE = 0.005
ORDER_VALUES = ("2500", "5000", "250000")
# Who is told that an order of theirs is unconfirmed tries again after a while.
PATIENCE = 30.0
_TO_LINK_AGAIN = PreparedQuery(
    lambda: (
        BrokerConnection.objects.filter(status=ConnectionStatus.NEEDS_RELINK)
        .order_by("pk")
        .values_list("pk", flat=True)
    )
)


@dataclass
class Owner:
    user: User
    account: BrokerAccount
    number: str
    waits_until: float = 0.0


@dataclass(kw_only=True)
class Workload:
    """Places orders until `wanted` of them have been on their way to the broker."""

    world: World
    book: Book
    watch: SendWatch
    broker: str
    wanted: int
    owners: list[Owner] = field(default_factory=list)
    accepted: int = 0
    done: Counter[str] = field(default_factory=Counter)
    keys: dict[str, str] = field(default_factory=dict)
    admin: User | None = None
    _number: int = 0

    @property
    def is_complete(self) -> bool:
        return len(self.watch.sent) >= self.wanted

    # --- before the start --------------------------------------------------------------------------

    def prepare(self) -> None:
        ensure_plans()
        self.admin = User.objects.create_user("risk@example.com", "correct-horse-battery", role="risk_admin")
        for name, value in (("max_daily_trades", "100000"), ("orders_per_minute", "100000")):
            set_limit(
                scope="platform",
                scope_key="",
                name=name,
                value=value,
                author=self.admin,
                reason="fault campaign",
                now=START - timedelta(days=2),
            )
        for index in range(max(20, self.wanted // ORDERS_PER_ACCOUNT)):
            self.owners.append(self._link(index))

    def _link(self, index: int) -> Owner:
        user = User(email=f"owner{index}@example.com", is_active=True)
        user.set_unusable_password()
        user.save()
        for disclosure in Disclosure.objects.all():
            DisclosureAcceptance.objects.create(user=user, disclosure=disclosure)
        connection = BrokerConnection.objects.create(
            id=self.world.new_id(),
            user=user,
            broker=self.broker,
            kind="api_key",
            credentials=dump_credentials({"key_id": "k", "secret_key": "s"}),
            linked_at=START,
        )
        number = f"A{index:05d}"
        account = BrokerAccount.objects.create(
            id=self.world.new_id(),
            user=user,
            connection=connection,
            broker=self.broker,
            environment="paper",
            broker_account_id=number,
            label=number,
            created_at=START,
        )
        self.book.open_account(number, cash=CASH)
        from brokers.registry import manager

        info = manager.get_reader(account, purpose="campaign").get_account_info()
        open_book(account_id=account.pk, info=info, positions=[], at=START)
        return Owner(user=user, account=BrokerAccount.objects.get(pk=account.pk), number=number)

    # --- orders --------------------------------------------------------------------------------------

    def start(self) -> None:
        self._plan_next()
        self.world.after(SECONDS_BETWEEN_BURSTS / 3, self._burst)
        self.world.after(40.0, self._stop_and_go)

    def _plan_next(self) -> None:
        rng = self.world.rng("people")
        pause = rng.expovariate(len(self.owners) / SECONDS_BETWEEN_ORDERS)
        self.world.after(pause, self._arrive)

    def _arrive(self) -> None:
        if self.is_complete:
            return
        self._plan_next()
        owner = self.world.rng("people").choice(self.owners)
        self._order(owner)

    def _burst(self) -> None:
        if self.is_complete:
            return
        self.world.after(SECONDS_BETWEEN_BURSTS, self._burst)
        rng = self.world.rng("people")
        for _ in range(min(BURST, len(self.owners) * 2)):
            owner = rng.choice(self.owners)
            self.world.after(rng.uniform(0, 1.0), lambda one=owner: self._order(one))  # type: ignore[misc]

    def _order(self, owner: Owner) -> None:
        if self.world.time < owner.waits_until:
            return
        rng = self.world.rng("people")
        self._number += 1
        key = f"K{self._number:07d}"
        request = self._request(owner)
        if rng.random() < DOUBLE_CLICK_SHARE:
            self.done["double clicks"] += 1
            self.world.after(rng.uniform(0, 0.2), lambda: self._place(owner, request, key))
        order = self._place(owner, request, key)
        if order is None:
            return
        if rng.random() < TWIN_SHARE:
            self._place_by_hand(owner, request, f"hand{key}")
        chance = rng.random()
        if chance < CANCEL_SHARE:
            self.world.after(rng.uniform(0, 15), lambda: self._cancel(owner, order.pk))
        elif chance < CANCEL_SHARE + REPLACE_SHARE:
            self.world.after(rng.uniform(0.5, 15), lambda: self._replace(owner, order.pk))
        elif chance < CANCEL_SHARE + REPLACE_SHARE + LIMIT_SHARE:
            self.world.after(rng.uniform(0, 3), lambda: self._change_limit(owner))

    def _request(self, owner: Owner) -> OrderRequest:
        rng = self.world.rng("people")
        held = {
            name: number for name, number in self.book.accounts[owner.number].positions.items() if number > 0
        }
        if held and rng.random() < 0.45:
            symbol = rng.choice(sorted(held))
            quantity = Decimal(rng.randint(1, max(1, int(held[symbol]))))
            side = Side.SELL
        else:
            symbol, side = rng.choice(sorted(PRICES)), Side.BUY
            quantity = Decimal(max(1, int(Decimal(rng.randint(300, 9000)) / PRICES[symbol])))
        market = rng.random() < 0.2
        step = Decimal(rng.randint(-20, 0 if side is Side.BUY else 20)) / 100
        return OrderRequest(
            symbol=symbol,
            side=side,
            order_type=OrderType.MARKET if market else OrderType.LIMIT,
            time_in_force=TimeInForce.DAY,
            quantity=quantity,
            limit_price=None if market else PRICES[symbol] + step,
        )

    def _place(
        self, owner: Owner, request: OrderRequest, key: str, confirm: frozenset[str] = frozenset()
    ) -> Order | None:
        """Ask as a careful client does: after a failure, again with the same key."""
        for pause in (0.5, 1.0, 2.0, 4.0, 8.0):
            try:
                placed = place_order(
                    user=owner.user,
                    account_id=owner.account.pk,
                    request=request,
                    idempotency_key=key,
                    origin="api",
                    confirm=confirm,
                    note=key,
                )
            except (IdempotencyInProgress, DatabaseError, Killed):
                self.done["client retries"] += 1
                self.world.sleep(pause)
                continue
            except ConfirmationRequired as question:
                codes = frozenset(one["code"] for one in question.details["findings"])
                return self._place(owner, request, f"{key}c", confirm | codes) if not confirm else None
            except PlatformError as refusal:
                self._note_refusal(owner, refusal)
                return None
            if not placed.replayed or key not in self.keys:
                self.accepted += 1
                self.keys[key] = placed.order.client_order_id
                self.world.note(f"placed {key} {placed.order.client_order_id}")
            return placed.order
        return None

    def _note_refusal(self, owner: Owner, refusal: PlatformError) -> None:
        findings = (refusal.details or {}).get("findings") or [{"code": refusal.code}]
        code = findings[0]["code"]
        self.done[f"refused {code}"] += 1
        if code == "A05":
            owner.waits_until = self.world.time + PATIENCE

    def _place_by_hand(self, owner: Owner, request: OrderRequest, intent: str) -> None:
        """The same order, placed at the broker's own app: a look-alike that is not ours."""
        self.done["orders by hand"] += 1
        rng = self.world.rng("people")
        self.world.after(
            rng.uniform(0.0, 30.0),
            lambda: self.book.enter(owner.number, request, intent, external=True) and None,
        )

    # --- second thoughts -----------------------------------------------------------------------------

    def _cancel(self, owner: Owner, order_id: UUID) -> None:
        self._try("cancels", lambda: cancel_order(user=owner.user, order_id=order_id))

    def _replace(self, owner: Owner, order_id: UUID) -> None:
        order = Order.objects.get(pk=order_id)
        if order.quantity is None or order.order_type != OrderType.LIMIT:
            return
        rng = self.world.rng("people")
        changes = ReplaceRequest(
            quantity=order.quantity + rng.randint(-3, 5) if order.quantity > 5 else None,
            limit_price=(order.limit_price or Decimal(1)) - Decimal("0.01"),
        )
        confirm = frozenset({"E01", "E11"})
        self._try(
            "replaces",
            lambda: replace_order(user=owner.user, order_id=order_id, changes=changes, confirm=confirm),
        )

    def _try(self, name: str, work: object) -> None:
        for pause in (0.5, 1.0, 2.0):
            try:
                work()  # type: ignore[operator]
            except (DatabaseError, Killed):
                self.world.sleep(pause)
                continue
            except PlatformError as refusal:
                self.done[f"{name} refused {refusal.code}"] += 1
                return
            self.done[name] += 1
            return

    def _change_limit(self, owner: Owner) -> None:
        value = self.world.rng("people").choice(ORDER_VALUES)
        log = self.watch.limit_log.setdefault(owner.number, [(0.0, Decimal(250_000))])

        def change() -> None:
            set_limit(
                scope="account",
                scope_key=str(owner.account.pk),
                name="max_order_value",
                value=value,
                author=self.admin,  # type: ignore[arg-type]
                reason="fault campaign",
                immediate=True,
            )
            log.append((self.world.time, Decimal(value)))

        self._try("limit changes", change)

    def _stop_and_go(self) -> None:
        """Stop an account, a person or the whole broker for a while."""
        if self.is_complete:
            return
        rng = self.world.rng("people")
        self.world.after(rng.uniform(15, 45), self._stop_and_go)
        owner = rng.choice(self.owners)
        scope, key = rng.choice(
            [
                ("account", str(owner.account.pk)),
                ("user", str(owner.user.pk)),
                ("account", str(owner.account.pk)),
                ("broker", self.broker),
            ]
        )
        seconds = rng.uniform(2, 6) if scope == "broker" else rng.uniform(5, 30)
        cancel_open = scope != "broker" and rng.random() < 0.5

        def halt() -> None:
            row = halt_trading(
                scope=scope,
                scope_key=key,
                reason="fault campaign",
                actor="system:campaign",
                cancel_open=cancel_open,
            )
            self.world.note(f"halt {scope}")
            self.world.after(seconds, lambda: self._resume(row.pk))

        self._try("halts", halt)

    def _resume(self, halt_id: UUID) -> None:
        if self.admin is not None:
            self._try(
                "resumes",
                lambda: resume_trading(halt_id=halt_id, reason="fault campaign", actor=self.admin),  # type: ignore[arg-type]
            )

    # --- what only a person can do ---------------------------------------------------------------------

    def look_after_links(self) -> None:
        """Link again what the broker has thrown out, a few seconds later."""
        self.world.after(1.0, self.look_after_links)
        rng = self.world.rng("helpers")
        for connection_id in _TO_LINK_AGAIN.all():
            if rng.random() < 0.3:
                self.done["relinks"] += 1
                BrokerConnection.objects.filter(pk=connection_id).update(status=ConnectionStatus.ACTIVE)

    def look_after_doubts(self) -> None:
        """Settle what is left to a person, by what the broker's own site shows."""
        self.world.after(20.0, self.look_after_doubts)
        asked = Order.objects.filter(status="unconfirmed", needs_person_at__isnull=False)
        for order in asked.select_related("user", "account").order_by("created_at", "pk"):
            if order.needs_person_at and self.world.now() - order.needs_person_at < timedelta(seconds=30):
                continue
            held = self.book.by_intent.get(order.client_order_id, [])
            choice = f"adopt:{held[0].id}" if held else "not_there"
            try:
                settle_unconfirmed(user=order.user, order_id=order.pk, choice=choice, actor=order.user.email)
                self.done["settled by a person"] += 1
            except (PlatformError, BrokerError, DatabaseError, Killed):
                self.done["settling tried again"] += 1
