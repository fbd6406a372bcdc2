"""The groups that open pages."""

import pytest
from django.contrib.auth.models import Group as AuthGroup

from web.core.groups import GROUP_NAMES, PLATFORM_GROUP_NAMES, create_groups


@pytest.mark.django_db
def test_every_group_exists_after_migrate() -> None:
    assert set(AuthGroup.objects.values_list("name", flat=True)) == {
        "checkin",
        "store",
        "customers",
        "staff",
        "schedule",
        "locations",
        "purchases",
        "refunds",
        "customer",
        "credits",
        "discounts",
        "settings",
        "ops",  # of the whole installation, not of a business
        "ops_read",
    }


@pytest.mark.django_db
def test_a_missing_group_comes_back_and_nothing_is_doubled() -> None:
    AuthGroup.objects.filter(name="settings").delete()
    create_groups(using="default")
    create_groups(using="default")
    assert sorted(AuthGroup.objects.values_list("name", flat=True)) == sorted(
        GROUP_NAMES + PLATFORM_GROUP_NAMES
    )
