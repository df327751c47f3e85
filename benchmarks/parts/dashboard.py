"""The dashboard of a person with 10,000 orders and 200 positions: time of the page and its queries."""

import time

from benchmarks.measure import Row, at_most, percentile, report
from benchmarks.parts.setup import begin, size


def main() -> None:
    processes = begin()
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext
    from django.urls import reverse

    from benchmarks.world import make_traders, store_orders, store_positions

    try:
        processes.start_broker()
        trader = make_traders(1)[0]
        page = Client(SERVER_NAME="localhost")
        page.force_login(trader.user, backend="django.contrib.auth.backends.ModelBackend")
        address = reverse("dashboard")

        def open_page() -> tuple[int, float]:
            began = time.perf_counter()
            with CaptureQueriesContext(connection) as queries:
                answer = page.get(address, {"account": str(trader.account.pk)})
            passed = (time.perf_counter() - began) * 1000
            if answer.status_code != 200:
                raise RuntimeError(f"The dashboard answered {answer.status_code}.")
            return len(queries), passed

        store_orders(10)
        store_positions(trader.account, 5)
        open_page()
        few = open_page()[0]
        store_orders(size("STORED", 10_000))
        store_positions(trader.account, size("POSITIONS", 200))
        open_page()
        found = [open_page() for _ in range(size("PAGES", 60))]
    finally:
        processes.stop()
    times = [passed for _, passed in found]
    most = max(queries for queries, _ in found)
    report(
        [
            at_most("dashboard", "page p95", percentile(times, 0.95), "ms", 150),
            Row("dashboard", "page p50", percentile(times, 0.5), "ms"),
            Row("dashboard", "queries", most, "queries"),
            at_most("dashboard", "queries more than with 10 orders", most - few, "queries", 0),
        ]
    )


if __name__ == "__main__":
    main()
