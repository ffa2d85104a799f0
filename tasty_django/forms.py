"""The forms: filters of the transactions, and the credentials of a connection.

Here belongs what may be typed and how it is refused. A refresh token or client secret that was typed is never written
back into a page, whatever is wrong with the form.
"""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from tasty_django.models import Transaction
from tasty_django.vocabulary import ACTIONS, TRANSACTION_TYPES

_LONGEST_CREDENTIAL = 4096
_LONGEST_LABEL = 80


class _Day(forms.DateField):
    """A day as browsers send it, whatever the language of the page."""

    def __init__(self, label: Any) -> None:
        super().__init__(
            label=label,
            required=False,
            input_formats=["%Y-%m-%d"],
            widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
            error_messages={"invalid": _("This is no day. Write it as 2026-01-31.")},
        )


class TransactionFilter(forms.Form):
    """What to show of the transactions; every field may be left empty."""

    account = forms.ChoiceField(label=_("Account"), required=False)
    start = _Day(_("From"))
    end = _Day(_("To"))
    symbol = forms.CharField(label=_("Symbol"), required=False, max_length=64)
    type = forms.ChoiceField(label=_("Type"), required=False, choices=[("", _("All types")), *TRANSACTION_TYPES])
    action = forms.ChoiceField(label=_("Action"), required=False, choices=[("", _("All actions")), *ACTIONS])
    text = forms.CharField(label=_("Description"), required=False, max_length=100)

    def __init__(self, data: Any, accounts: Iterable[tuple[str, str]]) -> None:
        super().__init__(data, use_required_attribute=False)
        self.fields["account"].choices = [("", _("All accounts")), *accounts]  # type: ignore[attr-defined]
        self.fields["symbol"].widget.attrs |= {
            "autocomplete": "off",
            "autocapitalize": "characters",
            "spellcheck": "false",
        }

    def clean(self) -> dict[str, Any]:
        """Refuse a time that ends before it begins."""
        cleaned = super().clean() or {}
        start, end = cleaned.get("start"), cleaned.get("end")
        if start and end and end < start:
            self.add_error("end", ValidationError(_("The last day lies before the first.")))
        return cleaned

    def narrow(self, rows: QuerySet[Transaction]) -> QuerySet[Transaction]:
        """Return the rows that fit a valid form; which accounts they are of is for the caller."""
        asked = self.cleaned_data
        if asked["start"]:
            rows = rows.filter(transaction_date__gte=asked["start"])
        if asked["end"]:
            rows = rows.filter(transaction_date__lte=asked["end"])
        if asked["symbol"]:
            names = {asked["symbol"], asked["symbol"].upper()}
            rows = rows.filter(Q(underlying_symbol__in=names) | Q(symbol__in=names))
        if asked["type"]:
            rows = rows.filter(transaction_type=asked["type"])
        if asked["action"]:
            rows = rows.filter(action=asked["action"])
        if asked["text"]:
            rows = rows.filter(description__icontains=asked["text"])
        return rows


def _secret(label: Any, *, required: bool, help_text: Any) -> forms.CharField:
    # no autocompletion: a browser must neither offer to keep a credential nor fill in a password
    widget = forms.PasswordInput(render_value=False, attrs={"autocomplete": "off", "spellcheck": "false"})
    return forms.CharField(
        label=label, required=required, max_length=_LONGEST_CREDENTIAL, widget=widget, help_text=help_text
    )


class Credentials(forms.Form):
    """A refresh token, and the secret of the OAuth application that it was made for."""

    refresh_token = _secret(
        _("Refresh token"),
        required=True,
        help_text=_("Made at my.tastytrade.com under Manage, My Profile, API, OAuth applications: Create grant."),
    )
    client_secret = _secret(
        _("Client secret"),
        required=False,
        help_text=_("Only if the grant belongs to an OAuth application of your own."),
    )

    def clean(self) -> dict[str, Any]:
        """Refuse what can be no credential, in words that do not repeat it."""
        cleaned = super().clean() or {}
        for name in ("refresh_token", "client_secret"):
            value = cleaned.get(name) or ""
            if any(character.isspace() or not character.isprintable() for character in value):
                self.add_error(name, ValidationError(_("This has spaces or line breaks in it: paste it again.")))
        return cleaned


class Connect(Credentials):
    """A new connection."""

    label = forms.CharField(
        label=_("Name"), max_length=_LONGEST_LABEL, help_text=_("For your eyes, such as “Family” or “Trading”.")
    )
    sandbox = forms.BooleanField(
        label=_("This is a login of the sandbox (cert.tastyworks.com)"),
        required=False,
    )
    field_order = ("label", "refresh_token", "client_secret", "sandbox")
