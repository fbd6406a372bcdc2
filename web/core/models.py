"""What payments extend: businesses, their places, their people, and what they sell.

The domain is Ruoom's. Everything belongs to a business; a guest's business is found by the host name.
"""

from __future__ import annotations

import zoneinfo
from typing import ClassVar

from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

hex_color = RegexValidator(r"^#[0-9A-Fa-f]{6}$", _("A colour is written like #EC2660."))


def validate_time_zone(name: str) -> None:
    """Refuse a name that is not in the IANA time zone database."""
    if name not in zoneinfo.available_timezones():
        raise ValidationError(_("%(name)s is not a time zone."), params={"name": name})


def tax_rate_field() -> models.DecimalField[str, str]:
    """Describe a tax rate in percent with four decimals: 8.8750 is New York City's 8.875 %."""
    return models.DecimalField(
        max_digits=7, decimal_places=4, default=0, validators=[MinValueValidator(0), MaxValueValidator(100)]
    )


class User(AbstractUser):
    """Who signs in. The user name is the e-mail address with the business id, as in Ruoom."""

    username = models.CharField(max_length=330, unique=True)


class Business(models.Model):
    """A tenant. `business_id` is the number that Ruoom knows it by; it is not the primary key."""

    class Country(models.TextChoices):
        US = "us", _("United States")
        KR = "kr", _("South Korea")

    class SecondFactor(models.TextChoices):
        NOBODY = "nobody", _("Nobody has to; whoever has set one up is asked for it")
        MONEY = "money", _("Staff who give money back, change balances or settings")
        STAFF = "staff", _("All staff")

    CURRENCY_OF_COUNTRY: ClassVar[dict[str, str]] = {"us": "usd", "kr": "krw"}

    business_id = models.PositiveIntegerField(unique=True)
    name = models.CharField(max_length=200)
    country = models.CharField(max_length=2, choices=Country, default=Country.US)
    currency = models.CharField(max_length=3)  # ISO 4217 in lower case, as Stripe writes it
    time_zone = models.CharField(max_length=64, default="America/New_York", validators=[validate_time_zone])
    late_cancel_hours = models.PositiveSmallIntegerField(default=12)
    no_show_policy = models.TextField(blank=True)

    # Who has to show a second factor when they sign in (core/second_factor.py).
    second_factor = models.CharField(
        max_length=8, choices=SecondFactor, default=SecondFactor.NOBODY, db_default=SecondFactor.NOBODY
    )

    # Origins of web sites that may show shop and checkout in a frame (core/embedding.py).
    embed_origins = models.JSONField(
        default=list, db_default=models.Value([], models.JSONField()), blank=True
    )

    # contact and legal data that a receipt shows
    legal_name = models.CharField(max_length=200, blank=True)
    tax_number = models.CharField(max_length=64, blank=True)
    address = models.TextField(blank=True)
    phone = models.CharField(max_length=40, blank=True)
    email = models.EmailField(blank=True)
    website = models.URLField(blank=True)

    # branding that pages and mails use; the defaults are Ruoom's
    button_color = models.CharField(max_length=7, default="#EC2660", validators=[hex_color])
    text_color = models.CharField(max_length=7, default="#12263F", validators=[hex_color])
    header_color = models.CharField(max_length=7, default="#EDF1F7", validators=[hex_color])
    background_color = models.CharField(max_length=7, default="#FFFFFF", validators=[hex_color])
    font = models.CharField(max_length=60, blank=True)
    logo = models.URLField(blank=True)

    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(currency__regex=r"^[a-z]{3}$"), name="a_business_has_a_lower_case_currency"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: object, **kwargs: object) -> None:
        if not self.currency:
            self.currency = self.CURRENCY_OF_COUNTRY[self.country]
        super().save(*args, **kwargs)  # type: ignore[arg-type]


class BusinessHost(models.Model):
    """A host name that serves one business: how a guest's business is known."""

    business = models.ForeignKey(Business, on_delete=models.CASCADE, related_name="hosts")
    host = models.CharField(max_length=253)  # without a port, in lower case

    class Meta:
        constraints = [
            models.UniqueConstraint(Lower("host"), name="a_host_serves_one_business"),
        ]

    def __str__(self) -> str:
        return self.host


class Location(models.Model):
    """A place of a business, with the two taxes that it charges."""

    business = models.ForeignKey(Business, on_delete=models.PROTECT, related_name="locations")
    name = models.CharField(max_length=200)
    country = models.CharField(max_length=2, choices=Business.Country, default=Business.Country.US)
    currency = models.CharField(max_length=3)
    time_zone = models.CharField(max_length=64, validators=[validate_time_zone])
    address = models.TextField(blank=True)

    sales_tax_name = models.CharField(max_length=60, default="Sales tax")
    sales_tax_rate = tax_rate_field()
    sales_tax_active = models.BooleanField(default=False)
    sales_tax_applies_to_services = models.BooleanField(default=False)
    additional_tax_name = models.CharField(max_length=60, default="Additional tax")
    additional_tax_rate = tax_rate_field()
    additional_tax_active = models.BooleanField(default=False)
    additional_tax_applies_to_services = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["business", "name"], name="a_location_has_its_own_name"),
            models.CheckConstraint(
                condition=models.Q(sales_tax_rate__gte=0, sales_tax_rate__lte=100)
                & models.Q(additional_tax_rate__gte=0, additional_tax_rate__lte=100),
                name="a_tax_is_between_0_and_100_percent",
            ),
            models.CheckConstraint(
                condition=models.Q(currency__regex=r"^[a-z]{3}$"), name="a_location_has_a_lower_case_currency"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Profile(models.Model):
    """A person as one business knows them. The same address in two businesses is two profiles."""

    class Role(models.TextChoices):
        CUSTOMER = "customer", _("Customer")
        STAFF = "staff", _("Staff")

    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="profile")
    business = models.ForeignKey(Business, on_delete=models.PROTECT, related_name="profiles")
    role = models.CharField(max_length=10, choices=Role, default=Role.CUSTOMER)
    name = models.CharField(max_length=200)
    email = models.EmailField()
    phone = models.CharField(max_length=40, blank=True)
    address = models.TextField(blank=True)
    language = models.CharField(max_length=5, choices=[("en", "English"), ("ko", "한국어")], default="en")
    default_location = models.ForeignKey(
        Location, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    locations = models.ManyToManyField(Location, blank=True, related_name="staff")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(Lower("email"), "business", name="an_email_exists_once_per_business"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_staff(self) -> bool:
        return self.role == self.Role.STAFF


class ItemType(models.TextChoices):
    """Ruoom's item types."""

    SERVICE_PASS = "service_pass", _("Service pass")
    RENTAL = "rental", _("Rental")
    MERCHANDISE = "merchandise", _("Merchandise")
    MISCELLANEOUS = "miscellaneous", _("Miscellaneous")
    GIFT_CARD = "gift_card", _("Gift card")
    SERVICE_REGISTRATION = "service_registration", _("Service registration")
    DIGITAL_GOOD = "digital_good", _("Digital good")
    APPOINTMENT = "appointment", _("Appointment")


# A tax that does not "apply to services" leaves these types untaxed.
SERVICE_TYPES = frozenset({ItemType.SERVICE_PASS, ItemType.SERVICE_REGISTRATION, ItemType.APPOINTMENT})
# A gift card is money that is not yet spent: what it buys later is taxed, the card itself never.
UNTAXED_TYPES = frozenset({ItemType.GIFT_CARD})

# What a service credit can pay for: a place in a class, a lesson. Never goods, nor the pass that credits come from.
CREDIT_TYPES = frozenset({ItemType.SERVICE_REGISTRATION, ItemType.APPOINTMENT})


class Item(models.Model):
    """Something that a business sells, at a price in minor units of its currency."""

    business = models.ForeignKey(Business, on_delete=models.PROTECT, related_name="items")
    location = models.ForeignKey(
        Location, on_delete=models.PROTECT, null=True, blank=True, related_name="items"
    )
    item_type = models.CharField(max_length=24, choices=ItemType)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    code = models.CharField(max_length=64, blank=True)  # what a scanner types
    price_minor = models.PositiveBigIntegerField()
    currency = models.CharField(max_length=3)
    sold_online = models.BooleanField(default=True)
    is_active = models.BooleanField(default=True)
    # What one piece gives its buyer: a gift card stored money, a service pass service credits; for so many days,
    # or for ever.
    gives_minor = models.PositiveBigIntegerField(default=0)
    gives_credits = models.PositiveIntegerField(default=0)
    gives_days = models.PositiveIntegerField(null=True, blank=True)
    # How many service credits pay for one, where its type can be paid so; 0: it cannot.
    credit_price = models.PositiveSmallIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(gives_minor=0) | models.Q(item_type="gift_card"),
                name="only_a_gift_card_gives_money",
            ),
            models.CheckConstraint(
                condition=models.Q(gives_credits=0) | models.Q(item_type="service_pass"),
                name="only_a_service_pass_gives_credits",
            ),
            models.CheckConstraint(
                condition=models.Q(gives_days__isnull=True)
                | models.Q(gives_days__gte=1, gives_days__lte=36_500),  # more is no date any more
                name="what_an_item_gives_lasts_a_day_to_a_hundred_years",
            ),
            models.UniqueConstraint(
                fields=["business", "code"], condition=~models.Q(code=""), name="a_code_names_one_item"
            ),
            models.CheckConstraint(
                condition=models.Q(currency__regex=r"^[a-z]{3}$"), name="an_item_has_a_lower_case_currency"
            ),
        ]

    def __str__(self) -> str:
        return self.name
