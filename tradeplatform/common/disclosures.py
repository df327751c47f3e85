"""Texts that people must have accepted: which are in force, which are missing, and acceptance."""

from collections.abc import Iterable

from django.db import transaction

from tradeplatform.common.audit import record_audit
from tradeplatform.common.clock import utc_now
from tradeplatform.common.exceptions import NotFoundError
from tradeplatform.models import Disclosure, DisclosureAcceptance, User


def current_disclosures() -> list[Disclosure]:
    """Return the newest published version of each kind, in the order of their kinds."""
    newest: dict[str, Disclosure] = {}
    for disclosure in Disclosure.objects.filter(published_at__lte=utc_now()).order_by("kind", "-version"):
        newest.setdefault(disclosure.kind, disclosure)
    return list(newest.values())


def missing_disclosures(user: User, *, purposes: Iterable[str]) -> list[Disclosure]:
    """Return the texts in force for these purposes (trading, live, extended) not yet accepted by the user."""
    wanted = set(purposes)
    accepted = set(DisclosureAcceptance.objects.filter(user=user).values_list("disclosure_id", flat=True))
    return [text for text in current_disclosures() if text.required_for in wanted and text.pk not in accepted]


def accept_disclosures(*, user: User, disclosure_ids: Iterable[int], ip_address: str | None) -> int:
    """Record that the user accepts these versions and return how many were new.

    Only versions now in force can be accepted: a newer text must be read first (NotFoundError).
    """
    wanted = set(disclosure_ids)
    in_force = {text.pk: text for text in current_disclosures()}
    if not wanted <= in_force.keys():
        raise NotFoundError("A newer version of this text has been published. Read it and accept it.")
    with transaction.atomic():
        known = set(
            DisclosureAcceptance.objects.filter(user=user, disclosure_id__in=wanted).values_list(
                "disclosure_id", flat=True
            )
        )
        new = sorted(wanted - known)
        DisclosureAcceptance.objects.bulk_create(
            [DisclosureAcceptance(user=user, disclosure_id=pk, ip_address=ip_address) for pk in new],
            ignore_conflicts=True,
        )
        for pk in new:
            record_audit(
                actor=user.email,
                action="disclosure_accepted",
                object_type="disclosure",
                object_id=pk,
                data={"kind": in_force[pk].kind, "version": in_force[pk].version},
            )
    return len(new)
