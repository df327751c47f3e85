"""Keys, scopes, problem answers and rate limits that every API view builds on."""

from datetime import timedelta

import pytest
from django.urls import path
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.views import APIView

from tradeplatform.common.api_keys import make_key
from tradeplatform.common.api_permissions import HasScope
from tradeplatform.common.clock import utc_now
from tradeplatform.common.exceptions import InvalidRequest, PlatformError
from tradeplatform.models import ApiKey, User

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


class Body(serializers.Serializer):
    symbol = serializers.CharField()
    legs = serializers.ListField(child=serializers.IntegerField(), required=False)


class Probe(APIView):
    permission_classes = [HasScope("read")]

    def get(self, request):
        return Response({"user": request.user.email})

    def post(self, request):
        Body(data=request.data).is_valid(raise_exception=True)
        raise PlatformError("Denied.", code="order_denied", details={"findings": [{"code": "C01"}]})

    def put(self, request):
        raise InvalidRequest("Check the price.", fields={"price": ["Too low."]})


urlpatterns = [path("probe/", Probe.as_view())]


@pytest.fixture
def user() -> User:
    return User.objects.create_user("owner@example.com", "x")


def client_with(user: User, *scopes: str) -> tuple[APIClient, ApiKey]:
    made = make_key()
    key = ApiKey.objects.create(
        user=user, name="k", prefix=made.prefix, key_hash=made.key_hash, scopes=list(scopes)
    )
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {made.secret}")
    return client, key


def test_a_key_opens_with_its_scope_and_its_use_is_noted(user):
    client, key = client_with(user, "read")

    assert client.get("/probe/").json() == {"user": user.email}
    key.refresh_from_db()
    assert key.last_used_at is not None


def test_a_key_without_the_scope_is_refused(user):
    client, _ = client_with(user, "trade:paper")

    response = client.get("/probe/")

    assert response.status_code == 403
    assert response.json()["code"] == "scope_missing"


@pytest.mark.parametrize("how", ["revoked", "inactive", "unknown", "malformed"])
def test_dead_keys_get_401_with_a_challenge(user, how):
    client, key = client_with(user, "read")
    if how == "revoked":
        ApiKey.objects.update(revoked_at=utc_now() - timedelta(seconds=1))
    elif how == "inactive":
        User.objects.update(is_active=False)
    else:
        wrong = make_key().secret if how == "unknown" else "tp_short"
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {wrong}")

    response = client.get("/probe/")

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert response.headers["Content-Type"] == "application/problem+json"


def test_without_credentials_nothing_is_told():
    assert APIClient().get("/probe/").status_code == 401


def test_a_signed_in_page_needs_the_csrf_token_to_write(user):
    client = APIClient(enforce_csrf_checks=True)
    client.login(username=user.email, password="x")

    assert client.get("/probe/").status_code == 200
    assert client.post("/probe/", {"symbol": "A"}).status_code == 403


def test_bad_input_names_its_fields(user):
    client, _ = client_with(user, "read")

    response = client.post("/probe/", {"legs": [1, "x"]})

    assert response.status_code == 422
    body = response.json()
    assert body["code"] == "invalid_request"
    assert set(body["fields"]) == {"symbol", "legs.1"}
    assert body["type"] == "urn:tradeplatform:problem:invalid_request"


def test_a_refusal_keeps_its_code_and_details(user):
    client, _ = client_with(user, "read")

    response = client.post("/probe/", {"symbol": "AAPL"})

    assert response.status_code == 422
    assert response.json() == {
        "type": "urn:tradeplatform:problem:order_denied",
        "title": "Unprocessable Entity",
        "status": 422,
        "code": "order_denied",
        "detail": "Denied.",
        "findings": [{"code": "C01"}],
    }
    assert client.put("/probe/").json()["fields"] == {"price": ["Too low."]}


def test_broken_json_and_wrong_methods_are_problems(user):
    client, _ = client_with(user, "read")

    broken = client.post("/probe/", "{", content_type="application/json")
    assert (broken.status_code, broken.json()["code"]) == (400, "parse_error")
    assert client.delete("/probe/").json()["code"] == "method_not_allowed"


def test_the_rate_limit_is_told_and_enforced(user, settings):
    settings.API_CALLS_PER_MINUTE = 2
    client, _ = client_with(user, "read")

    first, second, third = (client.get("/probe/") for _ in range(3))

    assert first.headers["RateLimit-Limit"] == "2"
    assert (first.headers["RateLimit-Remaining"], second.headers["RateLimit-Remaining"]) == ("1", "0")
    assert third.status_code == 429
    assert 0 < int(third.headers["Retry-After"]) <= 60
    assert third.json()["code"] == "throttled"
