"""The admin of people, texts, keys and records. Every app registers its own models itself.

Signing in to the admin goes through the site's own sign-in with its second factors. Nothing secret is shown:
no hashes, no sessions, no authenticator data.
"""

from typing import Any

from allauth.account.decorators import secure_admin_login
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.contrib.auth.models import Group
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from tradeplatform.common.read_only_admin import ReadOnlyAdmin
from tradeplatform.models import (
    ApiKey,
    AuditEntry,
    Disclosure,
    DisclosureAcceptance,
    ProcessHeartbeat,
    User,
)
from tradeplatform.services.roles import apply_role

admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]


def hide_foreign_models() -> None:
    """Take out what installed packages register and nobody should see; called when all have registered."""
    for model in (Authenticator, UserSession, EmailAddress, Group):
        if admin.site.is_registered(model):
            admin.site.unregister(model)


@admin.register(User)
class UserAdmin(ModelAdmin):
    """People: their role can be changed, their password and data cannot."""

    list_display = ("email", "display_name", "role", "is_active", "date_joined", "last_login", "closed_at")
    list_filter = ("role", "is_active")
    search_fields = ("email", "display_name")
    fields = (
        "email",
        "display_name",
        "role",
        "is_active",
        "time_zone",
        "date_joined",
        "last_login",
        "closed_at",
    )
    readonly_fields = ("email", "date_joined", "last_login", "closed_at")
    ordering = ("email",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        apply_role(obj, obj.role, actor=request.user.email)  # type: ignore[union-attr, arg-type]


@admin.register(Disclosure)
class DisclosureAdmin(ModelAdmin):
    """A published version stays as it is: people accepted exactly that text."""

    list_display = ("title", "kind", "version", "required_for", "published_at")
    list_filter = ("kind", "required_for")
    search_fields = ("title", "kind")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        accepted = obj is not None and obj.acceptances.exists()
        return not accepted and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(DisclosureAcceptance)
class DisclosureAcceptanceAdmin(ReadOnlyAdmin):
    list_display = ("user", "disclosure", "accepted_at")
    search_fields = ("user__email",)
    list_select_related = ("user", "disclosure")


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    list_display = ("name", "user", "prefix", "scopes", "created_at", "last_used_at", "revoked_at")
    search_fields = ("user__email", "name", "prefix")
    exclude = ("key_hash",)
    list_select_related = ("user",)


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ("at", "actor", "action", "object_type", "object_id")
    list_filter = ("action", "object_type")
    search_fields = ("actor", "object_id")
    date_hierarchy = "at"


@admin.register(ProcessHeartbeat)
class ProcessHeartbeatAdmin(ReadOnlyAdmin):
    list_display = ("name", "kind", "build_id", "started_at", "beat_at")
