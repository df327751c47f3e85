"""One campaign over one broker class: the actors, the run, the wait for rest, the measurements."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from time import perf_counter, process_time
from typing import Any
from uuid import UUID

from django.core.management import call_command
from django.db import DatabaseError

import orders.doorbell
import orders.services.claim
import orders.services.resolve
import orders.services.submit
from benchmarks.faults.book import Book
from benchmarks.faults.faults import SETTLE_KINDS, WRITE_KINDS, WRITE_RATE, Faults
from benchmarks.faults.invariants import StepChecks
from benchmarks.faults.machines import Machines
from benchmarks.faults.measure import measure_doubts
from benchmarks.faults.mutations import apply_mutation
from benchmarks.faults.naive import run_control
from benchmarks.faults.oracle import SendWatch, Violations
from benchmarks.faults.rest import RestChecks
from benchmarks.faults.stage import Stage, set_stage
from benchmarks.faults.wire import write_order
from benchmarks.faults.workload import Workload
from benchmarks.faults.world import TaskExecutor, World
from brokers.credentials import declare_process
from brokers.models import AccountStream, BrokerAccount, BrokerEvent
from brokers.services.inbox import record_event
from brokers.types import StreamEvent
from orders.dispatcher import POLL_SECONDS, OrderDispatcher
from orders.models import Order, OutboxMessage
from orders.services.ingest import apply_pending_events
from orders.services.reconcile import backfill_account
from orders.services.submit import claim_and_send
from tradeplatform.common.clock import use_clock
from tradeplatform.common.ids import use_ids
from tradeplatform.common.prepared import PreparedQuery, slot

# So many that the death of one does not bring a second fault on half of all that is on its way.
DISPATCHERS = tuple(f"dispatcher {number}" for number in range(1, 9))
COMPETES = frozenset({"_poll_ready", "_poll_unknown", "expire_leases", "cancel_for_halts"})
COMPETE_SECONDS = 4.0
ACCOUNTS_PER_STREAM = 20
REST_SECONDS = 1_500.0
QUIET_SECONDS = 90.0
LARGE = 3_000
# Several times what a campaign takes; only a platform that stands still needs longer.
LONGEST_RUN = 2_500.0

_NEWEST_CLAIM = PreparedQuery(
    lambda: (
        OutboxMessage.objects.filter(account_id=slot(OutboxMessage, "account"), status="claimed")
        .order_by("-fence")
        .values_list("pk", "order_id", "kind")[:1]
    )
)


@dataclass(frozen=True, kw_only=True)
class CampaignPlan:
    dedupe: str
    orders: int
    seed: int
    mutation: str = ""
    write_kinds: tuple[str, ...] = WRITE_KINDS
    write_rate: float = WRITE_RATE


@dataclass(kw_only=True)
class CampaignResult:
    """What one campaign measured. Durations in seconds of simulated time."""

    plan: CampaignPlan
    orders: int = 0
    taken: int = 0
    sends: int = 0
    broker_orders: int = 0
    simulated_seconds: float = 0.0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    history: str = ""
    events: int = 0
    steps: int = 0
    checks: int = 0
    violations: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    attempts: int = 0
    attempts_faulted: int = 0
    orders_faulted: int = 0
    orders_faulted_twice: int = 0
    orders_faulted_more: int = 0
    activity: dict[str, int] = field(default_factory=dict)
    unconfirmed: int = 0
    settled: list[float] = field(default_factory=list)
    absent: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    asked: list[float] = field(default_factory=list)
    known: list[float] = field(default_factory=list)
    sent_again: int = 0
    adopted_by_match: int = 0
    not_sent: int = 0
    control_duplicates: int = 0
    control_orders: int = 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Bell:
    """Stands where a dispatcher's queue stands: rings both dispatchers, unless the bell fails."""

    def __init__(self, campaign: "Campaign") -> None:
        self.campaign = campaign

    def put(self, account_id: UUID) -> None:
        world, faults = self.campaign.world, self.campaign.faults
        kind = faults.draw("bell")
        if kind:
            faults.strike(kind)
        rng = world.rng("bells")
        if kind != "bell_lost":
            pause = rng.uniform(5, 600) if kind == "bell_late" else rng.uniform(0.0005, 0.004)
            world.after(pause, partial(self.campaign.serve, account_id, rng.choice(DISPATCHERS)))
        if kind == "bell_twice":
            world.after(0.001, partial(self.campaign.serve, account_id, DISPATCHERS[0]))
            world.after(0.001, partial(self.campaign.serve, account_id, DISPATCHERS[1]))


class Campaign:
    def __init__(self, plan: CampaignPlan) -> None:
        self.plan = plan
        self.world = World(plan.seed)
        self.violations = Violations()
        self.book = Book(self.world, has_client_ids=plan.dedupe == "D")
        self.faults = Faults(self.world, write_kinds=plan.write_kinds, write_rate=plan.write_rate)
        self.machines = Machines(self.world)
        self.watch = SendWatch(self.world, self.book, self.violations)
        self.checks = StepChecks(self.world, self.violations)
        self.workload = Workload(
            world=self.world,
            book=self.book,
            watch=self.watch,
            broker=f"sim_{plan.dedupe.lower()}",
            wanted=plan.orders,
        )
        self.dispatchers: dict[str, OrderDispatcher] = {}
        self.accounts: dict[str, UUID] = {}
        self.gaps: dict[str, float] = {}
        self._events = 0

    def run(self) -> CampaignResult:
        started = perf_counter()
        call_command("migrate", verbosity=0)
        declare_process("dispatcher", keep_seconds=30)
        set_stage(Stage(world=self.world, faults=self.faults, book=self.book, watch=self.watch))
        with use_clock(self.world), use_ids(self.world.new_id), apply_mutation(self.plan.mutation):
            self._prepare()
            try:
                self._play()
            finally:
                orders.doorbell.close_local_bell()
            result = self._measure()
        control = run_control(self.plan)
        result.control_orders, result.control_duplicates = control.orders, control.duplicates
        result.wall_seconds, result.cpu_seconds = perf_counter() - started, process_time()
        return result

    # --- the actors ----------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self.book.on_accept = self.watch.check_accept
        self.book.publish = self._publish
        self.workload.prepare()
        self.accounts = {owner.number: owner.account.pk for owner in self.workload.owners}
        orders.doorbell._local = Bell(self)  # type: ignore[assignment]
        orders.services.submit.take_token = self._take_token
        orders.services.claim.mark_of_this_process = self._begin_write
        orders.services.resolve.is_gone = self.machines.is_gone
        self.faults.on_death = self._note_death
        self.faults.install_commit_faults()
        for number, name in enumerate(DISPATCHERS):
            self.faults.restart[name] = partial(self._start_dispatcher, name)
            self.world.after(0.5 * number, partial(self._start_dispatcher, name))
        for index in range(0, len(self.workload.owners), ACCOUNTS_PER_STREAM):
            self.faults.restart[self._stream_name(index)] = partial(self._restart_stream, index)
        self.world.after_step = self.checks.after_step

    def _start_dispatcher(self, name: str) -> None:
        executor = TaskExecutor(self.world, name)
        dispatcher = OrderDispatcher(name=name, pool=executor, side_pool=executor)
        if name != DISPATCHERS[0]:
            # The others compete for everything that is sent and settled; reconciling twice proves nothing.
            dispatcher.timers = [
                one for one in dispatcher.timers if getattr(one.work, "__name__", "") in COMPETES
            ]
        self.dispatchers[name] = dispatcher
        self.world.after(0.0, partial(self._tick, name), process=name)

    def _tick(self, name: str) -> None:
        pause = POLL_SECONDS if name == DISPATCHERS[0] else COMPETE_SECONDS
        self.world.after(pause, partial(self._tick, name), process=name)
        self.dispatchers[name].tick()

    def serve(self, account_id: UUID, name: str) -> None:
        if name in self.dispatchers:
            self.dispatchers[name].serve(account_id)

    def _begin_write(self) -> str:
        """Stands for the mark that each claim carries."""
        task = self.world.current()
        if task is not None:
            task.write = task.commits_write = self.faults.writes.begin()
        return self.machines.mark_of_this_process()

    def _note_death(self, process: str) -> None:
        task = self.world.current()
        owner = f"@{self.machines.mark_of_this_process()}"
        held = OutboxMessage.objects.filter(status="claimed", lease_owner__endswith=owner)
        rows = list(held.order_by().values_list("pk", flat=True))
        self.faults.writes.note_death(rows, cause=None if task is None else task.write)
        self.machines.note_death(process)

    def _take_token(self, account: BrokerAccount, *, priority: str, now: float | None = None) -> float:
        """Stands for the rate limit, the last step before the bytes: the write's fault is drawn here."""
        task = self.world.current()
        claimed = _NEWEST_CLAIM.first(account=account.pk)
        if task is None or claimed is None:
            return 0.0
        key = str(claimed[1])
        task.write_key = key
        # The answer to a cancel is stored without a transaction: it has no commit that could fail.
        unfit = SETTLE_KINDS if claimed[2] == "cancel" else ()
        task.write_fault = kind = self.faults.draw_write(key, unfit=unfit)
        self.faults.writes.name(task.write, row=claimed[0], order=key)
        task.write.faults += bool(kind) and kind not in SETTLE_KINDS
        rng = self.world.rng("network")
        if kind == "paused_before_send":
            self.faults.strike(kind, key)
            task.write_fault = ""
            self.world.sleep(rng.uniform(6, 120))
        elif kind == "delivered_again":
            for pause in (0.0, 0.0, rng.uniform(0, 2), rng.uniform(30, 600)):
                self.world.after(pause, partial(self._deliver, claimed[0]), process="queue")
        return 0.0

    def _deliver(self, outbox_id: int) -> None:
        try:
            claim_and_send(outbox_id, worker="queue")
        except DatabaseError:
            self.world.note("queue worker lost its transaction")

    # --- the stream --------------------------------------------------------------------------------------

    def _stream_name(self, index: int) -> str:
        return f"stream {index // ACCOUNTS_PER_STREAM}"

    def _publish(self, account: str, payload: dict[str, Any]) -> None:
        self._events += 1
        data = payload | {"order": write_order(payload["order"])}
        data = {name: str(value) if name in ("qty", "px") else value for name, value in data.items()}
        key = f"E{self._events}"
        if self.gaps.get(account, -1.0) > self.world.time:
            return
        kind = self.faults.draw("stream")
        rng = self.world.rng("stream")
        if kind:
            self.faults.strike(kind, account)
        if kind == "stream_lost":
            return
        if kind == "stream_gap":
            seconds = rng.uniform(2, 15)
            self.gaps[account] = self.world.time + seconds
            self._hear(seconds, account, partial(self._backfill, account, self.world.now()))
            return
        if kind == "stream_garbage":
            data = {"exec_type": data["exec_type"], "order": None}
        if kind == "stream_unknown_word":
            data["exec_type"] = "something_new"
        pause = rng.uniform(0.02, 0.3)
        pause += {"stream_reordered": rng.uniform(0.5, 4), "stream_late": rng.uniform(10, 60)}.get(kind, 0.0)
        self._hear(pause, account, lambda: self._receive(account, key, data))
        if kind == "stream_duplicate":
            self._hear(pause + rng.uniform(0, 3), account, lambda: self._receive(account, key, data))

    def _hear(self, pause: float, account: str, work: Callable[[], object]) -> None:
        name = self._stream_name(int(account[1:]))

        def run() -> None:
            try:
                work()
            except DatabaseError:
                self._hear(1.0, account, work)

        self.world.after(pause, run, process=name)

    def _receive(self, account: str, key: str, data: dict[str, Any]) -> None:
        account_id = self.accounts[account]
        event = StreamEvent(
            dedupe_key=key, kind=str(data["exec_type"]), payload=data, received_at=self.world.now()
        )
        record_event(account_id=account_id, event=event, source="stream")
        apply_pending_events(account_id)

    def _restart_stream(self, index: int) -> None:
        for owner in self.workload.owners[index : index + ACCOUNTS_PER_STREAM]:
            self._hear(0.0, owner.number, partial(self._backfill, owner.number, self.world.now()))

    def _backfill(self, account: str, last_alive: datetime) -> None:
        """Read what was missed; the stream service notes until when it was told everything."""
        account_id = self.accounts[account]
        AccountStream.objects.update_or_create(account_id=account_id, defaults={"covered_until": last_alive})
        backfill_account(account_id)

    # --- the run ------------------------------------------------------------

    def _play(self) -> None:
        self.workload.start()
        self.world.after(1.0, self.workload.look_after_links)
        self.world.after(20.0, self.workload.look_after_doubts)
        caught = lambda: bool(self.plan.mutation) and bool(self.violations.counts)  # noqa: E731
        longest = LONGEST_RUN * max(1.0, self.plan.orders / LARGE)
        complete = self.world.run(lambda: self.workload.is_complete or caught(), until=longest)
        if caught():
            return
        if not complete:
            self.violations.add("stuck", "the orders could not all be placed", self.world.time)
        self.world.run(lambda: False, until=self.world.time + 60)
        self.faults.enabled = False
        end = self.world.time + REST_SECONDS
        while self.world.time < end and not self._is_quiet():
            self.world.run(lambda: False, until=self.world.time + 20)
        self.world.run(lambda: False, until=self.world.time + QUIET_SECONDS)
        self.checks.check_at_rest()
        RestChecks(self.world, self.book, self.workload, self.violations).run()

    def _is_quiet(self) -> bool:
        open_rows = OutboxMessage.objects.filter(status__in=["ready", "claimed", "unknown"]).exists()
        # A bust of a fill that was never told waits for it, for a day.
        pending = BrokerEvent.objects.filter(applied_at=None, problem="").exists()
        doubtful = Order.objects.filter(
            status__in=["queued", "submitting", "unconfirmed", "pending_cancel", "pending_replace"]
        ).exists()
        live = any(order.is_live for order in self.book.orders.values())
        return not (open_rows or pending or doubtful or live)

    # --- the measurements ------------------------------------------------------------

    def _measure(self) -> CampaignResult:
        result = CampaignResult(
            plan=self.plan,
            orders=len(self.watch.sent),
            taken=self.workload.accepted,
            sends=self.watch.sends,
            broker_orders=len(self.book.orders),
            simulated_seconds=self.world.time,
            history=self.world.history.digest(),
            events=self.world.history.length,
            steps=self.checks.steps,
            checks=self.checks.checked,
            violations=dict(self.violations.counts),
            examples=[f"seed {self.plan.seed}, {one}" for one in self.violations.examples],
            faults=dict(self.faults.struck),
            calls=dict(self.faults.calls),
            activity=dict(sorted(self.workload.done.items())),
        )
        return replace(result, **measure_doubts(), **self._measure_writes())

    def _measure_writes(self) -> dict[str, int]:
        writes = self.faults.writes
        orders = writes.faulted_orders()
        return {
            "attempts": len(writes.all),
            "attempts_faulted": sum(1 for one in writes.all if one.faults),
            "orders_faulted": orders.total(),
            "orders_faulted_twice": orders[2],
            "orders_faulted_more": orders.total() - orders[1] - orders[2],
        }
