"""Everything on this machine under one supervisor: what `make run` starts."""

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from tradeplatform.services.demo import ADMIN_LOGIN, DEMO_LOGIN
from tradeplatform.services.prepare import prepare_installation
from tradeplatform.supervisor import Child, Supervisor, accepts


class Command(BaseCommand):
    help = "Prepare the database, then run the site and, in demo mode, the simulated brokers."

    def handle(self, *args: Any, **options: Any) -> None:
        self._refuse_taken_port(settings.PORT, "PORT")
        if settings.DEMO_MODE:
            self._refuse_taken_port(settings.SIMULATOR_PORT, "SIMULATOR_PORT")
        for line in prepare_installation():
            self.stdout.write(line)
        supervisor = Supervisor(
            self._children(),
            out=self.stdout,  # type: ignore[arg-type]
            ready_port=settings.PORT,
            when_ready=self._say_ready,
        )
        supervisor.run()
        self.stdout.write("Stopped.")

    def _children(self) -> list[Child]:
        manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
        # The site serves each request on a thread of its own, which must not keep a connection.
        children = [Child("site", [*manage, "run_site"], {"DATABASE_KEEP_SECONDS": "0"})]
        if settings.DEMO_MODE:
            where = ["--port", str(settings.SIMULATOR_PORT), "--state", str(settings.SIMULATOR_STATE)]
            where += ["--stripe-webhook-url", f"http://127.0.0.1:{settings.PORT}/billing/webhook/"]
            children.append(Child("brokers", [*manage, "run_broker_simulator", *where]))
        return children

    def _refuse_taken_port(self, port: int, name: str) -> None:
        if accepts(port):
            raise CommandError(f"Port {port} is in use. Stop what listens there, or set {name}.")

    def _say_ready(self) -> None:
        lines = ["", f"  {settings.SITE_NAME} is ready: {settings.SITE_URL}", ""]
        if settings.DEMO_MODE:
            lines += [
                "  Demo mode: practice money, simulated brokers, mail on a page of the site.",
                f"  Sign in    {DEMO_LOGIN.email}  {DEMO_LOGIN.password}",
                f"  Admin      {ADMIN_LOGIN.email}  {ADMIN_LOGIN.password}   {settings.SITE_URL}/admin/",
                f"  Mail       {settings.SITE_URL}/demo/mail/",
                "",
            ]
        self.stdout.write("\n".join([*lines, "  Ctrl-C stops everything.", ""]))
        self.stdout.flush()
