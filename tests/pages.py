"""Signing in for page tests, with or without fresh proof of who is there."""

import time

from django.test import Client

METHODS, OWNER = "account_authentication_methods", "account_authentication_methods_user"


def sign_in(user, *, proof: str = "password", age: float = 0) -> Client:
    """A browser of this user whose last proof ("password", "mfa" or "" for none) is `age` seconds old."""
    client = Client()
    client.force_login(user)
    session = client.session
    if proof:
        session[METHODS] = [{"method": proof, "at": time.time() - age, "reauthenticated": True}]
        session[OWNER] = str(user.pk)
        session.save()
    return client


def text_of(response) -> str:
    return response.content.decode()
