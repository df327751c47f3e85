"""B: may this person use this account, and may the platform use it for them?"""

from brokers.enums import ConnectionStatus, Environment
from risk.exposure import reduces_position
from risk.facts import DisclosureFacts
from risk.rules.base import MissingData, Rule
from risk.types import CheckResult, Finding, RiskContext
from risk.wording import moment


class Authorised(Rule):
    code = "B01"
    name = "AUTHZ"
    title = "Your account"
    guards = "Orders in somebody else's account."
    message = "There is no such account."
    missing = MissingData.REFUSE

    def check(self, context: RiskContext) -> CheckResult:
        if context.user.is_owner and context.user.is_active:
            return self.passed("The account is yours.")
        return self.refuse("There is no such account.", field="account")


class CredentialValid(Rule):
    code = "B04"
    name = "CREDENTIAL"
    title = "Link to the broker"
    guards = "Orders through a link that has expired or may not trade."
    message = "Link {broker} again: {why}."
    missing = MissingData.REFUSE

    def check(self, context: RiskContext) -> CheckResult:
        broker = context.capabilities.display_name
        credential = context.credential
        if not context.account.is_active or credential.status == ConnectionStatus.UNLINKED:
            return self.refuse(f"{context.account.label} is no longer linked. Link {broker} again to trade.")
        if credential.status != ConnectionStatus.ACTIVE:
            why = credential.reason or f"{broker} no longer accepts the link"
            return self.refuse(f"Link {broker} again: {why}.", value=credential.status)
        if credential.expires_at is not None and credential.expires_at <= context.now:
            expired = moment(credential.expires_at)
            return self.refuse(f"Link {broker} again: the link expired {expired}.", value=expired)
        if not credential.can_trade:
            return self.refuse(
                f"The link to {broker} may read but not trade. Link it again and allow trading."
            )
        return self.passed("The link is valid.")


class BrokerRestriction(Rule):
    code = "B05"
    name = "BROKER_BLOCK"
    title = "Restrictions at the broker"
    guards = "Opening positions in an account that the broker has blocked or restricted."
    message = "{broker} restricts this account: {reason}."
    missing = MissingData.REFUSE_OPENING
    exempts_exits = True

    def check(self, context: RiskContext) -> CheckResult:
        broker = context.capabilities.display_name
        if context.account.restriction:
            return self.refuse(
                f"{broker} restricts this account: {context.account.restriction}. "
                "You can still close positions; ask the broker to lift the restriction."
            )
        if context.account.synced_at is None:
            return self.lacks(context, f"{broker} has not told us the state of this account yet.")
        return self.passed(f"{broker} reports no restriction.")


class DisclosuresAccepted(Rule):
    """A newer version asks again, but never stands between a holder and the exit."""

    code = "B06"
    name = "DISCLOSURE"
    title = "Disclosures"
    guards = "Trading without having accepted the current risk texts."
    message = "Please accept {text} version {n}."
    missing = MissingData.REFUSE

    def check(self, context: RiskContext) -> CheckResult:
        findings = [
            self._finding(text)
            for text in context.user.disclosures
            if self._is_needed(text, context) and not self._is_accepted(text, context)
        ]
        return self.report(findings) if findings else self.passed("All required texts are accepted.")

    @staticmethod
    def _is_needed(text: DisclosureFacts, context: RiskContext) -> bool:
        return {
            "trading": True,
            "live": context.account.environment == Environment.LIVE,
            "extended": context.order.request.extended_hours,
        }.get(text.required_for, False)

    @staticmethod
    def _is_accepted(text: DisclosureFacts, context: RiskContext) -> bool:
        if text.accepted_version is None:
            return False
        return text.accepted_version >= text.version or reduces_position(context)

    def _finding(self, text: DisclosureFacts) -> Finding:
        accepted = "none" if text.accepted_version is None else str(text.accepted_version)
        return self.finding(
            f"Please read and accept “{text.title}” version {text.version}; you have accepted "
            f"{'none yet' if text.accepted_version is None else f'version {accepted}'}.",
            value=accepted,
            limit=str(text.version),
        )
