"""Everything on the schedule exists, and goes to a queue that workers read."""

import pytest

from tradeplatform.celery import QUEUES, SCHEDULE, app


@pytest.mark.parametrize("name", sorted(SCHEDULE))
def test_a_scheduled_task_exists_and_is_read_by_workers(name):
    app.loader.import_default_modules()
    task = SCHEDULE[name]["task"]

    assert task in app.tasks
    queue = app.amqp.router.route({}, task)["queue"]
    assert getattr(queue, "name", queue) in QUEUES
