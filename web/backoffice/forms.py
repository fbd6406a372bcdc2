"""The forms of the settings page. Each stands alone, with its own button and its own errors."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.utils.translation import gettext_lazy as _

from web.core.embedding import MOST_ORIGINS, origin_of
from web.core.models import Business, Item, Location
from web.payments.models import ApiToken, OutgoingEvent, PaymentSettings, StripeAccount
from web.payments.money import Money, MoneyError
from web.payments.templatetags.money import typed

if TYPE_CHECKING:  # Django's own ModelForm takes no parameters
    LocationForm = forms.ModelForm[Location]
    PaymentSettingsForm = forms.ModelForm[PaymentSettings]
    StripeAccountForm = forms.ModelForm[StripeAccount]
else:
    LocationForm = PaymentSettingsForm = StripeAccountForm = forms.ModelForm

DESCRIPTOR = re.compile(r"[A-Za-z0-9 .-]{2,12}")
MOST_PRESETS = 5
LARGEST_PRESET = 100
MOST_LIMIT = 10**12  # minor units: more than any refund
MOST_CALLS = 1000  # a second: ten times what Stripe grants every account


class PublicTextInput(forms.TextInput):
    """A text field that forgets what was typed unless it may be shown."""

    def __init__(self, attrs: dict[str, Any] | None = None, *, may_show: bool = True) -> None:
        super().__init__(attrs)
        self.may_show = may_show

    def format_value(self, value: Any) -> str | None:
        """Return what the page shows."""
        return super().format_value(value) if self.may_show else None


class KeysForm(forms.Form):
    """A pair of Stripe keys. The secret one is never shown again."""

    publishable_key = forms.CharField(
        label=_("Publishable key"),
        max_length=255,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "placeholder": "pk_…"}),
    )
    secret_key = forms.CharField(
        label=_("Secret key"),
        max_length=255,
        widget=forms.PasswordInput(
            attrs={"autocomplete": "off", "spellcheck": "false", "placeholder": "sk_…"}, render_value=False
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        typed = str(self.data.get("publishable_key", ""))
        # A secret key pasted into the wrong field must not come back in the page.
        self.fields["publishable_key"].widget = PublicTextInput(
            attrs=self.fields["publishable_key"].widget.attrs, may_show=typed.strip().startswith("pk_")
        )


class LimitsForm(StripeAccountForm):
    """What an account may ask of Stripe in a second, where Stripe has granted more than it grants everybody."""

    class Meta:
        model = StripeAccount
        fields = ("calls_per_second", "calls_per_second_and_endpoint")
        labels = {
            "calls_per_second": _("Calls of Stripe in a second"),
            "calls_per_second_and_endpoint": _("of these, to one address"),
        }
        help_texts = {
            "calls_per_second": _("Empty: what Stripe grants every account. Only Stripe can grant more."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs |= {"min": 1, "max": MOST_CALLS}

    def clean(self) -> dict[str, Any]:
        """Refuse limits that no call fits, and one of an address that is above the account's."""
        cleaned = super().clean() or self.cleaned_data
        for name in self.Meta.fields:
            if cleaned.get(name) is not None and not 1 <= cleaned[name] <= MOST_CALLS:
                self.add_error(name, _("A whole number from 1 to 1,000."))
        every, one = (cleaned.get(name) for name in self.Meta.fields)
        if every and one and one > every:
            self.add_error(self.Meta.fields[1], _("This is more than all calls together."))
        return cleaned


class WebhookSecretForm(forms.Form):
    """A signing secret of the webhook address. Never shown again."""

    secret = forms.CharField(
        label=_("Signing secret"),
        max_length=255,
        widget=forms.PasswordInput(
            attrs={"autocomplete": "off", "spellcheck": "false", "placeholder": "whsec_…"}, render_value=False
        ),
    )


class TaxesForm(LocationForm):
    """The two taxes of a location."""

    class Meta:
        model = Location
        fields = (
            "sales_tax_active",
            "sales_tax_name",
            "sales_tax_rate",
            "sales_tax_applies_to_services",
            "additional_tax_active",
            "additional_tax_name",
            "additional_tax_rate",
            "additional_tax_applies_to_services",
        )
        labels = {
            "sales_tax_active": _("Charge the first tax"),
            "sales_tax_name": _("Name on receipts"),
            "sales_tax_rate": _("Rate in percent"),
            "sales_tax_applies_to_services": _("Applies to services too"),
            "additional_tax_active": _("Charge a second tax"),
            "additional_tax_name": _("Name on receipts"),
            "additional_tax_rate": _("Rate in percent"),
            "additional_tax_applies_to_services": _("Applies to services too"),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("sales_tax_rate", "additional_tax_rate"):
            rate = self.initial.get(name)
            if rate is not None:
                self.initial[name] = f"{rate:f}".rstrip("0").rstrip(".") or "0"


class TipsForm(forms.Form):
    """Tip presets, typed as a list of percents."""

    tip_presets = forms.CharField(
        label=_("Presets in percent"),
        max_length=60,
        required=False,
        help_text=_("Up to five, separated by commas, such as 15, 20, 25. Leave it empty to ask for no tip."),
    )

    def clean_tip_presets(self) -> list[int]:
        """Return whole percents in the order given, each once."""
        presets: list[int] = []
        for part in self.cleaned_data["tip_presets"].replace(";", ",").split(","):
            text = part.strip().rstrip("%").strip()
            if not text:
                continue
            if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= LARGEST_PRESET:
                raise forms.ValidationError(_("Each preset is a whole number from 1 to 100."))
            if int(text) not in presets:
                presets.append(int(text))
        if len(presets) > MOST_PRESETS:
            raise forms.ValidationError(_("At most five presets fit the page."))
        return presets


class PolicyForm(PaymentSettingsForm):
    """The refund policy, and whether it has to be accepted."""

    class Meta:
        model = PaymentSettings
        fields = ("refund_policy", "refund_popup")
        labels = {
            "refund_policy": _("Refund policy"),
            "refund_popup": _("Customers must accept it before they pay"),
        }
        widgets = {"refund_policy": forms.Textarea(attrs={"rows": 6})}


class GatewayForm(PaymentSettingsForm):
    """Whether online payments are taken, from whom, and what else customers may do."""

    class Meta:
        model = PaymentSettings
        fields = ("gateway", "guests_may_pay", "keeps_cards", "pays_on_arrival")
        labels = {
            "gateway": _("Online payments"),
            "guests_may_pay": _("Guests may pay without an account"),
            "keeps_cards": _("Customers may save cards"),
            "pays_on_arrival": _("Customers may pay when they arrive"),
        }
        widgets = {"gateway": forms.RadioSelect}


class ChargingForm(PaymentSettingsForm):
    """When cards are charged, what stands on their statements, and when a payment is given up."""

    class Meta:
        model = PaymentSettings
        fields = ("capture_mode", "statement_descriptor_suffix", "abandoned_after_hours")
        labels = {
            "capture_mode": _("Cards on a reader are charged"),
            "statement_descriptor_suffix": _("On the statement of the card"),
            "abandoned_after_hours": _("Give up a payment that nobody makes after (hours)"),
        }
        help_texts = {
            "capture_mode": _("What is only authorised has to be charged within two days."),
            "statement_descriptor_suffix": _(
                "Behind the name that Stripe knows your business by. Latin letters, digits and spaces, with at "
                "least one letter."
            ),
            "abandoned_after_hours": _("From 1 to 168. The cart is free again once Stripe has cancelled it."),
        }
        widgets = {"capture_mode": forms.RadioSelect}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["abandoned_after_hours"].widget.attrs |= {"min": 1, "max": 168}

    def clean_statement_descriptor_suffix(self) -> str:
        """Refuse what Stripe refuses."""
        text: str = " ".join(self.cleaned_data["statement_descriptor_suffix"].split())
        if text and not (DESCRIPTOR.fullmatch(text) and any(letter.isalpha() for letter in text)):
            raise forms.ValidationError(_("Only Latin letters, digits, spaces, full stops and hyphens."))
        return text

    def clean_abandoned_after_hours(self) -> int:
        """Refuse less than an hour and more than a week."""
        hours: int = self.cleaned_data["abandoned_after_hours"]
        if not 1 <= hours <= 168:
            raise forms.ValidationError(_("A whole number from 1 to 168."))
        return hours


class FeesForm(forms.Form):
    """Which items the fees of the business's policy are sold as, when a saved card is charged."""

    no_show_item_id = forms.TypedChoiceField(
        label=_("No-show fee"), required=False, coerce=int, empty_value=None
    )
    late_cancel_item_id = forms.TypedChoiceField(
        label=_("Late-cancel fee"),
        required=False,
        coerce=int,
        empty_value=None,
        help_text=_(
            "Staff charge a fee from the customer's list of saved cards; price and taxes are the item's."
        ),
    )

    def __init__(self, *args: Any, settings: PaymentSettings, items: Sequence[Item], **kwargs: Any) -> None:
        fields = ("no_show_item_id", "late_cancel_item_id")
        kwargs.setdefault("initial", {name: getattr(settings, name) for name in fields})
        super().__init__(*args, **kwargs)
        choices = [("", _("No fee")), *((str(item.id), item.name) for item in items)]
        for name in fields:
            cast(forms.TypedChoiceField, self.fields[name]).choices = choices


class ReceiptTextsForm(PaymentSettingsForm):
    """What stands on receipts beside the business's name and address."""

    class Meta:
        model = PaymentSettings
        fields = ("receipt_header", "receipt_footer", "receipt_legal")
        labels = {
            "receipt_header": _("Above the items"),
            "receipt_footer": _("Below the items"),
            "receipt_legal": _("Legal notice"),
        }
        widgets = {
            "receipt_footer": forms.Textarea(attrs={"rows": 3}),
            "receipt_legal": forms.Textarea(attrs={"rows": 3}),
        }


class SafetyForm(forms.Form):
    """Who shows a second factor, and what is given back only by who proves again that it is them."""

    second_factor = forms.ChoiceField(
        label=_("Who needs a second factor to sign in"),
        choices=Business.SecondFactor.choices,
        widget=forms.RadioSelect,
        help_text=_("An app or a passkey. Who has none yet is asked to set one up."),
    )
    refund_limit = forms.CharField(
        label=_("Refunds without confirming, in a day"),
        max_length=20,
        required=False,
        widget=forms.TextInput(attrs={"inputmode": "decimal"}),
        help_text=_(
            "Who gives back more than this in 24 hours confirms with a password or a second factor. Empty: any amount."
        ),
    )
    embed_origins = forms.CharField(
        label=_("Web sites that may show shop and checkout in a frame"),
        max_length=2000,
        required=False,
        widget=forms.Textarea(
            attrs={"rows": 2, "spellcheck": "false", "placeholder": "https://www.example.com"}
        ),
        help_text=_("One address per line. Empty: none. Pages of staff are never shown in a frame."),
    )

    def __init__(self, *args: Any, business: Business, settings: PaymentSettings, **kwargs: Any) -> None:
        limit = settings.refund_limit_minor
        kwargs.setdefault(
            "initial",
            {
                "second_factor": business.second_factor,
                "refund_limit": "" if limit is None else typed(Money(limit, business.currency)),
                "embed_origins": "\n".join(business.embed_origins),
            },
        )
        super().__init__(*args, **kwargs)
        self.currency = business.currency

    def clean_refund_limit(self) -> int | None:
        """Return minor units, or None for no limit."""
        text = self.cleaned_data["refund_limit"].strip()
        if not text:
            return None
        try:
            amount = Money.parse(text, self.currency).amount
        except MoneyError:
            amount = -1
        if not 0 <= amount < MOST_LIMIT:
            raise forms.ValidationError(_("Enter an amount such as 12.50."))
        return amount

    def clean_embed_origins(self) -> list[str]:
        """Return the origins, each once."""
        lines = [line for line in self.cleaned_data["embed_origins"].splitlines() if line.strip()]
        origins = list(dict.fromkeys(origin_of(line) for line in lines))
        if len(origins) > MOST_ORIGINS:
            raise forms.ValidationError(_("These are too many: ten at most."))
        return origins


class ErasureForm(forms.Form):
    """Whose data is to be erased; the address is typed twice, because it cannot be undone."""

    email = forms.EmailField(label=_("E-mail address of the person"))
    confirmed = forms.EmailField(
        label=_("The same address again"), help_text=_("Erasing cannot be undone. Orders and amounts stay.")
    )

    def clean(self) -> dict[str, Any]:
        """Refuse two different addresses."""
        cleaned = super().clean() or self.cleaned_data
        if "email" in cleaned and "confirmed" in cleaned and cleaned["email"] != cleaned["confirmed"]:
            self.add_error("confirmed", _("This is another address."))
        return cleaned


class TokenForm(forms.Form):
    """A token of the API: what it is for, what it may do, and for how long."""

    name = forms.CharField(label=_("What uses it"), max_length=60)
    scopes = forms.MultipleChoiceField(
        label=_("What it may do"),
        widget=forms.CheckboxSelectMultiple,
        help_text=_("No more than you may do yourself."),
    )
    days = forms.TypedChoiceField(
        label=_("Valid for"),
        coerce=int,
        choices=[(90, _("90 days")), (365, _("A year")), (0, _("Until it is revoked"))],
    )

    def __init__(self, *args: Any, allowed: Collection[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["scopes"].choices = [  # type: ignore[attr-defined]
            (value, label) for value, label in ApiToken.Scope.choices if value in allowed
        ]


class EndpointForm(forms.Form):
    """An address that is told what happens."""

    url = forms.CharField(
        label=_("Address"),
        max_length=500,
        widget=forms.URLInput(
            attrs={
                "placeholder": "https://shop.example/paydesk",
                "autocomplete": "off",
                "spellcheck": "false",
            }
        ),
    )
    events = forms.MultipleChoiceField(
        label=_("What it is told"),
        widget=forms.CheckboxSelectMultiple,
        choices=[choice for choice in OutgoingEvent.Kind.choices if choice[0] != OutgoingEvent.Kind.PING],
    )
