"""Background threads come back when they end, and stop when told."""

import threading

from tradeplatform.embedded import Background


def test_a_part_that_fails_or_ends_is_started_again():
    runs: list[str] = []
    third = threading.Event()

    def fail(stop: threading.Event) -> None:
        runs.append("fail")
        if len(runs) >= 3:
            third.set()
            stop.wait(15)
            return
        if len(runs) == 1:
            raise RuntimeError("once")

    background = Background({"part": fail})
    background.start()

    assert third.wait(15)
    assert background.stop() == []
    assert len(runs) == 3


def test_a_part_that_does_not_end_is_named():
    release = threading.Event()

    def stubborn(stop: threading.Event) -> None:
        release.wait(15)

    background = Background({"stubborn": stubborn})
    background.start()

    assert background.stop(timeout_seconds=0.1) == ["stubborn"]
    release.set()


def test_celery_ending_its_loop_by_systemexit_does_not_end_the_thread():
    again = threading.Event()
    runs: list[int] = []

    def leave(stop: threading.Event) -> None:
        runs.append(1)
        if len(runs) == 1:
            raise SystemExit(0)
        again.set()
        stop.wait(15)

    background = Background({"worker": leave})
    background.start()

    assert again.wait(15)
    assert background.stop() == []
