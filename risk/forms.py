"""Forms of the risk page: shape only, the services decide."""

from typing import Any

from django import forms

from brokers.models import BrokerAccount
from tradeplatform.models import User

ALL = "all"


class HaltForm(forms.Form):
    scope = forms.ChoiceField(label="Stop trading for")
    reason = forms.CharField(label="Reason", max_length=200, help_text="Stays on record.")
    cancel_open = forms.BooleanField(
        label="Cancel open orders too",
        required=False,
        help_text="Orders that open or add to a position. Stop-losses, take-profits and other exits stay.",
    )

    def __init__(self, *args: Any, accounts: list[BrokerAccount], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["scope"]
        field.choices = [
            (ALL, "All my accounts"),
            *((f"account:{account.pk}", account.label) for account in accounts),
        ]

    def target(self, user: User) -> tuple[str, str]:
        """Return scope and key of the halt that was asked for."""
        chosen = self.cleaned_data["scope"]
        return ("user", str(user.pk)) if chosen == ALL else ("account", chosen.removeprefix("account:"))


class ResumeForm(forms.Form):
    reason = forms.CharField(label="Why trading may go on", max_length=200)
