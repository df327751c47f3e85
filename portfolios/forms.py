"""Forms of the portfolio and import pages: shape only, the services decide."""

from decimal import Decimal
from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile

from portfolios.enums import BreakChoice
from portfolios.imports.decode import MAX_BYTES
from portfolios.services.imports import MAX_FILES, MAX_NAME_LENGTH

MEGABYTE = 1024 * 1024
MAX_MEGABYTES = MAX_BYTES // MEGABYTE


class ResolveForm(forms.Form):
    """A choice about a difference and the words that stay with it as its record."""

    choice = forms.ChoiceField(label="What to do", widget=forms.RadioSelect)
    text = forms.CharField(
        label="Why",
        max_length=240,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Stays with the difference as its record.",
    )

    def __init__(self, *args: Any, can_adopt: bool, of_one_cause: int = 0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        refused = {BreakChoice.ADOPT} - ({BreakChoice.ADOPT} if can_adopt else set())
        refused |= set() if of_one_cause > 1 else {BreakChoice.CLOSE_CAUSE}
        offered = [choice for choice in BreakChoice if choice not in refused]
        field: Any = self.fields["choice"]
        field.choices = [(choice.value, choice.label) for choice in offered]
        field.initial = BreakChoice.EXPLAIN


class _FilesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class CsvFilesField(forms.FileField):
    """One or more files; sizes are checked before any content is read."""

    def clean(self, data: Any, initial: Any = None) -> list[UploadedFile]:
        given = data if isinstance(data, list | tuple) else [data]
        files = [super(CsvFilesField, self).clean(one, initial) for one in given if one is not None]
        if not files:
            raise forms.ValidationError(self.error_messages["required"], code="required")
        if len(files) > MAX_FILES:
            raise forms.ValidationError(f"Choose at most {MAX_FILES} files at a time.", code="too_many")
        too_large = [str(one.name) for one in files if (one.size or 0) > MAX_BYTES]
        if too_large:
            raise forms.ValidationError(
                f"{', '.join(too_large)} is larger than {MAX_MEGABYTES} MB. Nothing was read; split it by "
                "date and import the parts.",
                code="too_large",
            )
        return files


class ImportForm(forms.Form):
    csv_files = CsvFilesField(
        label="CSV files",
        allow_empty_file=True,
        widget=_FilesInput(attrs={"accept": ".csv,text/csv", "multiple": True}),
        error_messages={"required": "Choose one or more CSV files."},
        help_text=f"Up to {MAX_FILES} files of at most {MAX_MEGABYTES} MB each. Choose the trade log and the "
        "daily file together, so that they are checked against each other.",
    )
    portfolio_name = forms.CharField(
        label="Portfolio",
        max_length=MAX_NAME_LENGTH,
        initial="Imported portfolio",
        help_text="With the name of an imported portfolio that you have, new rows are added to it.",
    )
    opening_cash = forms.DecimalField(
        label="Opening cash",
        initial=Decimal("100.00"),
        max_digits=18,
        decimal_places=2,
        min_value=Decimal(0),
        widget=forms.TextInput(attrs={"inputmode": "decimal"}),
        help_text="Cash before the first trade of the files.",
    )
    as_of = forms.DateField(
        label="Day of a holdings file without dates",
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="Only for files that list positions without a day.",
    )
