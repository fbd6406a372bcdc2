"""Rows for tests: each factory makes a valid one, and a test says only what it is about."""

# mypy: disable-error-code="attr-defined,no-untyped-call,no-untyped-def,misc,type-arg"
# (factory_boy types `create` alone: call `BusinessFactory.create(…)`, which gives a Business)

from __future__ import annotations

from typing import Any

import factory
from django.contrib.auth.models import Group as AuthGroup
from factory.django import DjangoModelFactory

from web.core.accounts import user_name
from web.core.models import Business, BusinessHost, Item, ItemType, Location, Profile, User

PASSWORD = "correct horse battery"


class BusinessFactory(DjangoModelFactory[Business]):
    """A business in the United States; `host="…"` gives it a host name."""

    class Meta:
        model = Business
        skip_postgeneration_save = True

    business_id = factory.Sequence(lambda n: 100 + n)
    name = factory.Sequence(lambda n: f"Studio {n}")
    country = "us"
    currency = "usd"
    time_zone = "America/New_York"

    @factory.post_generation
    def host(obj: Any, create: bool, extracted: str | None, **_: Any) -> None:  # noqa: N805  # factory_boy's form
        if create and extracted:
            BusinessHost.objects.create(business=obj, host=extracted)


class LocationFactory(DjangoModelFactory[Location]):
    """A place without taxes, in the business's currency and time zone."""

    class Meta:
        model = Location

    business = factory.SubFactory(BusinessFactory)
    name = factory.Sequence(lambda n: f"Place {n}")
    currency = factory.SelfAttribute("business.currency")
    time_zone = factory.SelfAttribute("business.time_zone")


class ProfileFactory(DjangoModelFactory[Profile]):
    """A customer who can sign in with PASSWORD."""

    class Meta:
        model = Profile
        skip_postgeneration_save = True

    business = factory.SubFactory(BusinessFactory)
    name = factory.Faker("name")
    email = factory.Sequence(lambda n: f"person{n}@example.com")
    role = "customer"

    @factory.lazy_attribute
    def user(self: Any) -> User:
        user = User(username=user_name(self.email, self.business), email=self.email)
        user.set_password(PASSWORD)
        user.save()
        return user

    @factory.post_generation
    def groups(obj: Any, create: bool, extracted: Any, **_: Any) -> None:  # noqa: N805
        if create and extracted:
            rows = list(AuthGroup.objects.filter(name__in=extracted))
            assert {row.name for row in rows} == set(extracted), "every group exists after migrate"
            obj.user.groups.set(rows)


class StaffFactory(ProfileFactory):
    """A member of staff; `groups=["store"]` opens pages."""

    role = "staff"


class ItemFactory(DjangoModelFactory[Item]):
    """A yoga mat for 36.00 dollars."""

    class Meta:
        model = Item

    business = factory.SubFactory(BusinessFactory)
    item_type = ItemType.MERCHANDISE
    name = "Yoga mat"
    price_minor = 3600
    currency = factory.SelfAttribute("business.currency")
