"""The project package: settings, people, shared foundations, and the site around the apps."""

from tradeplatform.celery import app as celery_app

__all__ = ["celery_app"]
