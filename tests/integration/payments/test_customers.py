"""Who buys, at the till: finding people by what is known of them, and giving a sale to another one."""

from __future__ import annotations

import threading

import pytest
from django.db import connection
from django.utils import timezone

from tests.factories import BusinessFactory, ProfileFactory, StaffFactory
from tests.shop import Shop
from web.core.models import Business, Profile
from web.payments import history
from web.payments.models import Cart, Method, Order, Payment, PaymentEvent, PaymentSettings
from web.payments.operations import carts, customers, desk, intents
from web.payments.operations.intents import AlreadyPaid, PolicyNotAccepted
from web.payments.queries import customers as known
from web.payments.states import PaymentState

pytestmark = pytest.mark.django_db


class TestFinding:
    @pytest.fixture
    def mina(self, business: Business) -> Profile:
        return ProfileFactory.create(
            business=business, name="Mina O'Kim", email="Mina.K@Example.com", phone="+82 10-5550-1234"
        )

    @pytest.mark.parametrize(
        "typed",
        [
            "mina",
            "MIN",
            "kim mi",
            "o'k",
            "mina.k@exam",
            "5550",
            "1234",
            "10-5550",
            "82105550",
            "+82 10",
            "exa",
        ],
    )
    def test_words_begin_as_typed_and_digits_lie_anywhere(
        self, business: Business, mina: Profile, typed: str
    ) -> None:
        ProfileFactory.create(business=business, name="Sam Lee", email="sam@other.test")
        assert known.find(business, typed) == [mina]

    @pytest.mark.parametrize("typed", ["ina", "mina lee", "9999", "", "  ", "'", "\\", "a&b|c:*", "%", "<->"])
    def test_what_fits_nobody(self, business: Business, mina: Profile, typed: str) -> None:
        assert known.find(business, typed) == []

    def test_a_korean_name_is_found_by_the_given_name(self, business: Business) -> None:
        minah = ProfileFactory.create(business=business, name="김민아")
        assert known.find(business, "민아") == [minah]
        assert known.find(business, "김") == [minah]

    def test_neither_staff_nor_another_businesss_customers(self, business: Business, mina: Profile) -> None:
        StaffFactory.create(business=business, name="Mina Desk")
        ProfileFactory.create(business=BusinessFactory.create(), name="Mina Other")
        assert known.find(business, "mina") == [mina]

    def test_the_index_serves_it(self, business: Business, mina: Profile) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")  # nobody would use an index for one row
        plan = Profile.objects.filter(known.matches(business, "mina")).explain()
        assert "Bitmap Index Scan on person_found_by_word" in plan, plan


class TestChoosing:
    def choose(self, shop: Shop, cart: Cart, customer: Profile | None, **guest: str) -> Cart:
        return customers.choose(
            business=shop.business,
            token=cart.token,
            customer=customer,
            now=timezone.now(),
            actor=history.staff(1),
            **guest,
        )

    def test_lines_tip_and_price_stay_and_the_history_says_who(self) -> None:
        shop = Shop.make()
        cart = shop.cart(quantity=2)
        carts.set_tip(business=shop.business, token=cart.token, percent=15)
        mina = ProfileFactory.create(business=shop.business, language="ko")
        chosen = self.choose(shop, cart, mina)
        assert (chosen.customer, chosen.guest_name, chosen.guest_email) == (mina, "", "")
        assert (chosen.tip_percent, chosen.language, chosen.lines.get().quantity) == (15, "ko", 2)
        event = PaymentEvent.objects.get(cart_reference=cart.reference)
        assert (event.kind, event.data) == ("customer.chosen", {"from": None, "to": mina.id})
        self.choose(shop, cart, mina)
        assert PaymentEvent.objects.count() == 1, "choosing the same again is no change"

    def test_a_guest_with_and_without_an_address(self) -> None:
        shop = Shop.make()
        cart = shop.cart()
        self.choose(shop, cart, ProfileFactory.create(business=shop.business))
        named = self.choose(shop, cart, None, guest_name="Leo", guest_email="leo@example.com")
        assert (named.customer, named.guest_name, named.guest_email) == (None, "Leo", "leo@example.com")
        nameless = self.choose(shop, cart, None)
        assert (nameless.customer, nameless.guest_email) == (None, "")
        with pytest.raises(carts.BuyerIncomplete):
            self.choose(shop, cart, None, guest_name="Leo")

    def test_staff_and_strangers_cannot_be_chosen(self) -> None:
        shop = Shop.make()
        cart = shop.cart()
        for wrong in (StaffFactory.create(business=shop.business), ProfileFactory.create()):
            with pytest.raises(customers.CustomerNotFound):
                self.choose(shop, cart, wrong)
        with pytest.raises(carts.CartNotFound):
            self.choose(Shop.make(), cart, None)

    def test_a_payment_under_way_binds_the_customer_and_its_end_sets_free(self) -> None:
        shop = Shop.make()
        cart = shop.cart()
        payment = shop.request(cart)
        mina = ProfileFactory.create(business=shop.business)
        with pytest.raises(customers.PaymentBindsCustomer):
            self.choose(shop, cart, mina)
        Payment.objects.filter(id=payment.id).update(state=PaymentState.FAILED, next_check_at=None)
        Cart.objects.filter(id=cart.id).update(
            state="open", committed_minor=0, frozen_total_minor=None, frozen_quote=None
        )
        assert self.choose(shop, cart, mina).customer == mina
        payment.refresh_from_db()
        assert payment.customer is None, "what was asked for then stays as it was"

    def test_money_that_came_in_binds_the_customer(self) -> None:
        shop = Shop.make()
        cart = shop.cart()
        payment = shop.request(cart)
        Payment.objects.filter(id=payment.id).update(
            state=PaymentState.HELD, held_reason="amount", next_check_at=None
        )
        with pytest.raises(customers.MoneyBindsCustomer) as refused:
            self.choose(shop, cart, ProfileFactory.create(business=shop.business))
        assert refused.value.money_moved
        cart.refresh_from_db()
        assert cart.guest_name == "Ada Guest"

    def test_a_paid_sale_leads_to_its_order(self) -> None:
        shop = Shop.make()
        cart = shop.cart()
        order = desk.sell(
            business=shop.business,
            token=cart.token,
            method=Method.CASH,
            form_token="form-of-the-cash-sale",
            expected_total_minor=3600,
            now=timezone.now(),
            staff=None,
        )
        with pytest.raises(AlreadyPaid) as refused:
            self.choose(shop, cart, ProfileFactory.create(business=shop.business))
        assert refused.value.details["order"] == order
        assert Order.objects.get().customer is None

    def test_who_is_chosen_has_not_accepted_the_policy_that_another_accepted(self) -> None:
        shop = Shop.make()
        PaymentSettings.objects.filter(business=shop.business).update(
            refund_policy="None.", refund_popup=True
        )
        cart = shop.cart()
        carts.accept_policy(business=shop.business, token=cart.token, now=timezone.now())
        self.choose(shop, cart, ProfileFactory.create(business=shop.business))
        with pytest.raises(PolicyNotAccepted):
            shop.request(cart)
        carts.accept_policy(business=shop.business, token=cart.token, now=timezone.now())
        assert shop.request(cart).state == "requested"


class TestCreating:
    def test_a_customer_with_what_is_known(self, business: Business) -> None:
        mina = customers.create(
            business=business, name="  Mina   Kim ", email=" Mina@Example.com", phone="010 1"
        )
        assert (mina.name, mina.email, mina.phone, mina.role) == (
            "Mina Kim",
            "mina@example.com",
            "010 1",
            "customer",
        )
        assert not mina.user.has_usable_password()

    @pytest.mark.parametrize(
        "wrong",
        [{"name": " "}, {"email": ""}, {"email": "no address"}, {"name": "x" * 201}, {"phone": "1" * 41}],
    )
    def test_without_what_a_customer_needs(self, business: Business, wrong: dict[str, str]) -> None:
        given = {"name": "Mina", "email": "mina@example.com", **wrong}
        with pytest.raises(customers.CustomerIncomplete):
            customers.create(business=business, **given)
        assert not Profile.objects.exists()

    def test_an_address_is_somebodys_once_per_business(self, business: Business) -> None:
        mina = customers.create(business=business, name="Mina", email="mina@example.com")
        with pytest.raises(customers.CustomerKnown) as refused:
            customers.create(business=business, name="Mina Too", email="MINA@example.com")
        assert refused.value.details == {"customer": mina}
        customers.create(business=BusinessFactory.create(), name="Mina", email="mina@example.com")
        StaffFactory.create(business=business, email="dana@example.com")
        with pytest.raises(customers.CustomerKnown) as refused:
            customers.create(business=business, name="Dana", email="dana@example.com")
        assert refused.value.details == {}, "staff are not offered as customers"


@pytest.mark.django_db(transaction=True)
def test_a_payment_and_another_customer_at_once_never_mix() -> None:
    """Whichever is first, the payment's customer is the cart's."""
    shop = Shop.make()
    mina = ProfileFactory.create(business=shop.business)
    for _ in range(4):
        cart = shop.cart()
        ready = threading.Barrier(2)

        def choose(cart: Cart = cart, ready: threading.Barrier = ready) -> None:
            ready.wait()
            try:
                customers.choose(
                    business=shop.business,
                    token=cart.token,
                    customer=mina,
                    now=timezone.now(),
                    actor="staff 1",
                )
            except customers.PaymentBindsCustomer:
                pass
            finally:
                connection.close()

        other = threading.Thread(target=choose)
        other.start()
        ready.wait()
        payment = intents.request(
            business=shop.business,
            token=cart.token,
            form_token=f"form-of-the-race-{cart.id}",
            expected_total_minor=3600,
            payer_key="k" * 40,
            now=timezone.now(),
        ).payment
        other.join()
        cart.refresh_from_db()
        assert payment.customer_id == cart.customer_id
