"""The gate for an account with 200 positions: time of the pure engine, and queries of the context."""

import time
from decimal import Decimal

from benchmarks.measure import Row, at_most, percentile, report
from benchmarks.parts.setup import begin, size


def main() -> None:
    processes = begin()
    from django.db import connection, transaction
    from django.test.utils import CaptureQueriesContext

    from benchmarks.world import make_traders, store_positions
    from orders.drafts import parse_order
    from orders.locks import lock_account
    from orders.market_facts import read_market
    from orders.risk_context import build_context, prepare_account
    from risk.engine import evaluate
    from risk.facts import Purpose
    from risk.rules import ALL_RULES
    from tradeplatform.common.clock import utc_now

    try:
        processes.start_broker()
        trader = make_traders(1)[0]
        store_positions(trader.account, size("POSITIONS", 200))
        request = parse_order({"symbol": "KO", "side": "buy", "order_type": "market", "quantity": "3"})
        account = prepare_account(trader.account, now=utc_now())
        engine, context_ms = [], []
        for number in range(size("GATES", 400)):
            market = read_market(account, "KO", now=utc_now())
            with transaction.atomic(), CaptureQueriesContext(connection) as queries:
                locked = lock_account(account.pk)
                began = time.perf_counter()
                context = build_context(
                    account=locked,
                    user=trader.user,
                    request=request,
                    market=market,
                    purpose=Purpose.PLACE,
                    now=utc_now(),
                    origin="api",
                )
                context_ms.append((time.perf_counter() - began) * 1000)
            if not number:
                continue  # the first one compiles
            began = time.perf_counter()
            decision = evaluate(context)
            engine.append((time.perf_counter() - began) * 1000)
    finally:
        processes.stop()
    if context.account.gross_exposure < Decimal(size("POSITIONS", 200)):
        raise RuntimeError("The positions are not in the context.")
    report(
        [
            at_most("gate", "engine, all rules, p99", percentile(engine, 0.99), "ms", 3),
            Row("gate", "engine, all rules, p50", percentile(engine, 0.5), "ms"),
            at_most("gate", "queries of the context", len(queries) - 1, "queries", 12),
            Row("gate", "context p50", percentile(context_ms, 0.5), "ms"),
            Row("gate", "rules", len(ALL_RULES), "rules"),
            Row("gate", f"verdict {decision.verdict.value}", len(decision.findings), "findings"),
        ]
    )


if __name__ == "__main__":
    main()
