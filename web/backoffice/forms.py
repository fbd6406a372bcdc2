"""The forms of the settings page. Each stands alone, with its own button and its own errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext_lazy as _

from web.core.models import Location
from web.payments.models import PaymentSettings

if TYPE_CHECKING:  # Django's own ModelForm takes no parameters
    LocationForm = forms.ModelForm[Location]
    PaymentSettingsForm = forms.ModelForm[PaymentSettings]
else:
    LocationForm = PaymentSettingsForm = forms.ModelForm

MOST_PRESETS = 5
LARGEST_PRESET = 100


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
    """Whether online payments are taken, and from whom."""

    class Meta:
        model = PaymentSettings
        fields = ("gateway", "guests_may_pay")
        labels = {
            "gateway": _("Online payments"),
            "guests_may_pay": _("Guests may pay without an account"),
        }
        widgets = {"gateway": forms.RadioSelect}
