"""Comparing the books of 1,000 accounts with 20 positions each with the broker, one after the other."""

import time
from itertools import pairwise
from typing import Any

from benchmarks.measure import Row, at_most, report
from benchmarks.parts.setup import begin, size


def main() -> None:
    processes = begin()
    from benchmarks.world import make_accounts, make_traders
    from brokers.credentials import declare_process
    from brokers.simulators.symbols import LISTINGS

    steps = [size("SYNCED", 1000) // share for share in (4, 2, 1)]
    symbols = [listing.symbol for listing in LISTINGS][: size("SYNC_POSITIONS", 20)]
    positions = {symbol: {"qty": "10", "price": "20"} for symbol in symbols}
    try:
        processes.start_broker()
        user = make_traders(1)[0].user
        declare_process("benchmark", keep_seconds=30)
        accounts: list[Any] = []
        seconds = []
        for before, wanted in pairwise([0, *steps]):
            accounts += make_accounts(user, wanted - before, positions=positions)
            if not seconds:
                _sync(accounts[:1])  # the first one imports the SDK and compiles statements
            seconds.append(_sync(accounts))
    finally:
        processes.stop()
    each = [passed * 1000 / count for passed, count in zip(seconds, steps, strict=True)]
    limit = 60 * steps[-1] / 1000
    report(
        [
            at_most("sync", f"{steps[-1]:,} accounts of {len(symbols)} positions", seconds[-1], "s", limit),
            *(
                Row("sync", f"per account, {count:,} accounts", passed, "ms")
                for count, passed in zip(steps, each, strict=True)
            ),
            at_most("sync", "per account, all / a quarter", each[-1] / each[0], "times", 1.25),
        ]
    )


def _sync(accounts: list[Any]) -> float:
    from portfolios.models import Break
    from portfolios.services.sync import SyncOutcome, sync_book

    began = time.monotonic()
    outcomes = {sync_book(account_id=account.pk).outcome for account in accounts}
    passed = time.monotonic() - began
    breaks = list(
        Break.objects.filter(portfolio__account__in=accounts).values("kind", "symbol", "ours", "theirs")[:3]
    )
    if outcomes - {SyncOutcome.COMPARED} or breaks:
        raise RuntimeError(f"The books do not agree: {sorted(outcomes)} {breaks}")
    return passed


if __name__ == "__main__":
    main()
