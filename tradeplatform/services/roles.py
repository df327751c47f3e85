"""What each role may do in the admin, as groups with permissions."""

from django.contrib.auth.models import Group, Permission
from django.db import transaction
from django.db.models import Q

from tradeplatform.common.audit import record_audit
from tradeplatform.models import Role, User

_OUR_APPS = ("tradeplatform", "billing", "brokers", "portfolios", "risk", "orders")
_VIEW = Q(codename__startswith="view_")
_RISK_CHANGES = Q(content_type__app_label="risk") & ~Q(codename__startswith="delete_")
_NEVER_SEEN = Q(content_type__model__in=["userevent", "eventcursor", "linkattempt"])


def ensure_roles() -> None:
    """Create the groups of the staff roles and give them exactly their permissions."""
    ours = Permission.objects.filter(content_type__app_label__in=_OUR_APPS).exclude(_NEVER_SEEN)
    wanted = {
        Role.SUPPORT: ours.filter(_VIEW),
        Role.RISK_ADMIN: ours.filter(_VIEW | _RISK_CHANGES),
    }
    for role, permissions in wanted.items():
        group, _ = Group.objects.get_or_create(name=role.label)
        if set(group.permissions.values_list("pk", flat=True)) != set(
            permissions.values_list("pk", flat=True)
        ):
            group.permissions.set(permissions)


def apply_role(user: User, role: Role | str, *, actor: str) -> User:
    """Give a person a role: staff roles reach the admin, only admins may do everything there."""
    role = Role(role)
    labels = [role.label] if role in (Role.SUPPORT, Role.RISK_ADMIN) else []
    with transaction.atomic():
        user.role = role
        user.is_staff = role != Role.USER
        user.is_superuser = role == Role.ADMIN
        user.save(update_fields=["role", "is_staff", "is_superuser"])
        user.groups.set(Group.objects.filter(name__in=labels))
        record_audit(
            actor=actor,
            action="role_set",
            object_type="user",
            object_id=user.pk,
            data={"role": role.value, "active": user.is_active},
        )
    return user
