"""Forms of the broker pages: shape only, the services decide."""

from decimal import Decimal
from typing import Any

from django import forms

from brokers.enums import Environment
from brokers.presentation import BrokerProfile

BOTH = "both"
LABEL_LENGTH = 60
PAPER_OR_LIVE = "Paper trades practice money, live trades real money."


def _environment_choices(profile: BrokerProfile, *, with_both: bool) -> list[tuple[str, str]]:
    choices = [(str(item.value), str(item.label)) for item in profile.environments]
    return [*choices, (BOTH, "Both")] if with_both and len(choices) > 1 else choices


class SignInForm(forms.Form):
    """Which accounts a sign-in at the broker should cover."""

    environment = forms.ChoiceField(label="Which accounts", help_text=PAPER_OR_LIVE)

    def __init__(self, *args: Any, profile: BrokerProfile, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["environment"]
        field.choices = _environment_choices(profile, with_both=True)
        field.initial = field.choices[0][0]

    def chosen_environment(self) -> Environment | None:
        """Return the environment, None for both."""
        value = self.cleaned_data["environment"]
        return None if value == BOTH else Environment(value)


class KeysForm(forms.Form):
    """A person's own key pair. The secret is never written back into the page."""

    key_id = forms.CharField(
        label="Key ID",
        max_length=200,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"}),
    )
    secret = forms.CharField(
        label="Secret key",
        max_length=400,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "off"}),
        help_text="Stored encrypted, used only to talk to the broker, and never shown again.",
    )


class KeyPairForm(KeysForm):
    """Keys of an account that is new here."""

    environment = forms.ChoiceField(label="The keys are for", help_text=PAPER_OR_LIVE)
    label = forms.CharField(
        label="Name on this site",
        max_length=LABEL_LENGTH,
        required=False,
        help_text="Empty: the broker's name and environment.",
    )
    field_order = ("environment", "key_id", "secret", "label")

    def __init__(self, *args: Any, profile: BrokerProfile, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["environment"]
        field.choices = _environment_choices(profile, with_both=False)
        field.initial = field.choices[0][0]


class PracticeForm(forms.Form):
    """A practice account: how much play money, and what it is called."""

    cash = forms.DecimalField(
        label="Play money",
        initial=Decimal(100_000),
        max_digits=12,
        decimal_places=2,
        widget=forms.TextInput(attrs={"inputmode": "decimal"}),
        help_text="Between $100 and $10,000,000. It cannot be changed later; you can open another account.",
    )
    label = forms.CharField(label="Name", max_length=LABEL_LENGTH, initial="Practice account")


class RenameForm(forms.Form):
    label = forms.CharField(label="Name", max_length=LABEL_LENGTH)
