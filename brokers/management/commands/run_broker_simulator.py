"""Run the local broker simulator until it is told to stop."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand


class Command(BaseCommand):
    """Thin shell around the simulator's server. It uses no database of the platform."""

    help = "Run the local broker simulator (no real broker, no real money)."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--host", default="127.0.0.1", help="Address to listen on.")
        parser.add_argument("--port", type=int, default=9100, help="Port to listen on.")
        parser.add_argument("--seed", type=int, default=7, help="Seed of the simulated market.")
        parser.add_argument("--state", default=None, help="State file; without it everything is in memory.")
        parser.add_argument("--frozen", action="store_true", help="Start with the clock standing still.")
        parser.add_argument("--no-demo", action="store_true", help="Start without the demo customer.")
        parser.add_argument("--rate-limit", type=int, default=200, help="Requests per minute and account.")
        parser.add_argument(
            "--session", default="open", help="open, calendar, closed, pre, post or overnight."
        )
        parser.add_argument(
            "--stripe-webhook-url", default="", help="Where the simulated Stripe delivers its events."
        )
        parser.add_argument(
            "--stripe-secret-key", default="sk_test_simulated", help="API key of the simulated Stripe."
        )
        parser.add_argument(
            "--stripe-signing-secret",
            default="whsec_simulated_demo",
            help="Secret that signs the simulated Stripe's events.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve."""
        from brokers.simulators.server import run_server
        from brokers.simulators.simulator import SimulatorOptions
        from brokers.simulators.stripe.state import StripeOptions

        chosen = SimulatorOptions(
            seed=options["seed"],
            state=options["state"],
            frozen=options["frozen"],
            demo=not options["no_demo"],
            rate_limit=options["rate_limit"],
            session=options["session"],
            stripe=StripeOptions(
                secret_key=options["stripe_secret_key"],
                signing_secret=options["stripe_signing_secret"],
                webhook_url=options["stripe_webhook_url"],
            ),
        )
        run_server(chosen, host=options["host"], port=options["port"])
