"""Pages and API in production: threads with persistent database connections."""

import os
import threading

bind = os.environ.get("BIND", "0.0.0.0:8000")
wsgi_app = "tradeplatform.wsgi:application"
worker_class = "gthread"
workers = int(os.environ.get("WEB_WORKERS", "2"))
threads = int(os.environ.get("WEB_THREADS", "4"))
timeout = 60
graceful_timeout = 20
keepalive = 5
max_requests = 10_000
max_requests_jitter = 1_000
forwarded_allow_ips = os.environ.get("TRUSTED_PROXIES", "127.0.0.1")
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108
accesslog = None
control_socket_disable = True


# Where processors are short, what was accepted is sent before more is taken in: pages and API step back.
YIELD = 5


def post_worker_init(worker):
    """Settle a worker: it says that it is alive, and leaves processors to those who send orders."""
    from tradeplatform.common.memory import spare_long_lived_objects
    from tradeplatform.embedded import run_heartbeat

    spare_long_lived_objects()
    os.nice(YIELD)
    threading.Thread(target=run_heartbeat, args=(threading.Event(), ("web",)), daemon=True).start()
