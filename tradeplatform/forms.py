"""Forms of the settings pages: shape only, the services decide."""

import zoneinfo
from typing import Any

from django import forms

from brokers.enums import OrderType, TimeInForce
from brokers.models import BrokerAccount
from tradeplatform.common.api_keys import SCOPE_LABELS

CLOSE_WORDS = "close my account"


def _time_zones() -> list[tuple[str, str]]:
    names = zoneinfo.available_timezones()
    return [(name, name.replace("_", " ")) for name in sorted(names) if "/" in name or name == "UTC"]


class ProfileForm(forms.Form):
    display_name = forms.CharField(
        label="Name", max_length=80, required=False, help_text="Shown only to you."
    )
    time_zone = forms.ChoiceField(label="Time zone", choices=_time_zones, help_text="Times are shown in it.")


class OrderDefaultsForm(forms.Form):
    account = forms.ModelChoiceField(
        label="Account",
        queryset=BrokerAccount.objects.none(),
        required=False,
        empty_label="The one I look at",
    )
    order_type = forms.ChoiceField(label="Order type", choices=OrderType.choices)
    time_in_force = forms.ChoiceField(label="Time in force", choices=TimeInForce.choices)
    extended_hours = forms.BooleanField(label="Allow extended hours where the order type can", required=False)

    def __init__(self, *args: Any, accounts: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["account"].queryset = accounts  # type: ignore[attr-defined]


class ApiKeyForm(forms.Form):
    name = forms.CharField(label="Name", max_length=80, help_text="Where you will use it.")
    scopes = forms.MultipleChoiceField(
        label="The key may",
        choices=[(scope.value, label) for scope, label in SCOPE_LABELS.items()],
        widget=forms.CheckboxSelectMultiple,
        initial=["read"],
    )


class CloseAccountForm(forms.Form):
    words = forms.CharField(label=f"Type “{CLOSE_WORDS}” to confirm", max_length=40)

    def clean_words(self) -> str:
        if self.cleaned_data["words"].strip().lower() != CLOSE_WORDS:
            raise forms.ValidationError(f"Type “{CLOSE_WORDS}”. Nothing was closed.")
        return CLOSE_WORDS
