"""What one order costs here: statements, commits and processor time, stage by stage, in one process."""

import cProfile
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import Row, percentile, report
from benchmarks.parts.setup import begin, size, stage_medians

SYMBOL = "KO"
WARM_UP = 10


def main() -> None:
    processes = begin()
    from benchmarks.world import make_traders
    from brokers.credentials import declare_process

    try:
        processes.start_broker()
        traders = make_traders(2)
        declare_process("benchmark", keep_seconds=30)
        stages = _Stages(traders)
        for number in range(WARM_UP):
            stages.run(number, keep=False)
        stages.profile(range(WARM_UP, WARM_UP + size("PROFILE", 0)))
        begin_at = WARM_UP + size("PROFILE", 0)
        for number in range(begin_at, begin_at + size("COST", 60)):
            stages.run(number, keep=True)
        rows = stages.rows() + stage_medians("cost", size("COST", 60))
    finally:
        processes.stop()
    report(rows)


def _processor_ms(pid: int) -> float:
    """Return the processor time that a process has used, as Linux counts it in nanoseconds."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e6


class _Stages:
    """Runs orders through place, send and book, and keeps what each stage cost."""

    def __init__(self, traders: list[Any]) -> None:
        self.traders = traders
        # Statements, commits, our processor time, the database's, and the clock's (milliseconds).
        self.cost: dict[str, list[tuple[int, int, float, float, float]]] = {
            "place": [],
            "send": [],
            "book": [],
        }

    def run(self, number: int, *, keep: bool) -> None:
        """Carry one order the whole way."""
        from brokers.enums import ExecType
        from brokers.types import ExecutionReport
        from orders.drafts import parse_order
        from orders.models import OutboxMessage
        from orders.services.ingest import apply_report
        from orders.services.place import place_order
        from orders.services.submit import claim_and_send
        from tradeplatform.common.clock import utc_now

        trader = self.traders[number % len(self.traders)]
        draft = {
            "symbol": SYMBOL,
            "side": "buy",
            "order_type": "limit",
            "limit_price": "1.00",
            "quantity": str(1 + number),
        }
        request = parse_order(draft)

        def place() -> Any:
            return place_order(
                user=trader.user,
                account_id=trader.account.pk,
                request=request,
                idempotency_key=uuid.uuid4().hex,
                origin="api",
                confirm=frozenset({"limit_far_from_market", "duplicate_order"}),
            )

        placed = self._measure("place", place, keep=keep)
        order = placed.order
        outbox_id = OutboxMessage.objects.get(order=order).pk
        self._measure("send", lambda: claim_and_send(outbox_id, worker="benchmark"), keep=keep)
        order.refresh_from_db()
        fill = ExecutionReport(
            exec_type=ExecType.TRADE,
            broker_order_id=order.broker_order_id,
            client_order_id=order.client_order_id,
            transact_time=utc_now(),
            exec_id=uuid.uuid4().hex,
            last_qty=order.quantity,
            last_px=order.limit_price,
            cum_qty=order.quantity,
        )
        self._measure("book", lambda: apply_report(trader.account.pk, fill), keep=keep)

    def profile(self, numbers: range) -> None:
        """Write where the processor's time goes to cost.prof among the logs, if asked for."""
        if not numbers:
            return
        profiler = cProfile.Profile(time.process_time)
        profiler.enable()
        for number in numbers:
            self.run(number, keep=False)
        profiler.disable()
        profiler.dump_stats(Path(os.environ["BENCH_LOGS"]) / "cost.prof")

    def _measure(self, stage: str, work: Callable[[], Any], *, keep: bool) -> Any:
        from django.db import connection

        if not keep:
            return work()
        connection.force_debug_cursor = bool(os.environ.get("BENCH_STATEMENTS", "1") != "0")
        connection.queries_log.clear()
        server = connection.connection.info.backend_pid
        wall, began, there = time.perf_counter(), time.process_time(), _processor_ms(server)
        answer = work()
        spent, passed = time.process_time() - began, time.perf_counter() - wall
        there = _processor_ms(server) - there
        texts = [statement["sql"] for statement in connection.queries_log]
        commits = texts.count("COMMIT")
        statements = len(texts) - commits - texts.count("BEGIN")
        self.cost[stage].append((statements, commits, spent * 1000, there, passed * 1000))
        if os.environ.get("BENCH_SHOW") == stage and len(self.cost[stage]) == 2:
            self._show(list(connection.queries_log))
        connection.force_debug_cursor = False
        return answer

    @staticmethod
    def _show(statements: list[dict[str, str]]) -> None:
        import sys

        for number, statement in enumerate(statements, 1):
            sys.stderr.write(f"{number:3} {statement['time']} {statement['sql'][:3000]}\n")

    def rows(self) -> list[Row]:
        """Return medians by stage."""
        rows = []
        for stage, costs in self.cost.items():
            counts, commits, processor, there, wall = zip(*costs, strict=True)
            rows += [
                Row("cost", f"{stage}: statements", percentile(counts, 0.5), "queries"),
                Row("cost", f"{stage}: commits", percentile(commits, 0.5), "commits"),
                Row("cost", f"{stage}: processor time p50", percentile(processor, 0.5), "ms"),
                Row("cost", f"{stage}: the database's processor time p50", percentile(there, 0.5), "ms"),
                Row("cost", f"{stage}: elapsed p50", percentile(wall, 0.5), "ms"),
            ]
        return rows


if __name__ == "__main__":
    main()
