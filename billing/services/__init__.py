"""What changes plans and payments. The two that every installation starts with are named here."""

from billing.services.plans import ensure_plans, grant_plan

__all__ = ["ensure_plans", "grant_plan"]
