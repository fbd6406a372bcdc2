"""Shop, cart, till and receipts: what people can do without JavaScript, and what they are told when they cannot."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from tests.conftest import HOST
from tests.factories import ItemFactory, LocationFactory, ProfileFactory, StaffFactory
from tests.shop import Shop, given_back
from web.core.models import Business, Profile
from web.payments.models import (
    Cart,
    CartLine,
    Method,
    Order,
    Payment,
    PaymentEvent,
    PaymentSettings,
    StripeAccount,
)
from web.payments.operations import carts, desk, intents
from web.payments.queries import sales

SignIn = Callable[[Profile], Client]


def page(response: HttpResponse | Any, status: int = 200) -> str:
    assert response.status_code == status, response.content[:500]
    assert response["Content-Type"].startswith("text/html")
    return re.sub(r"\s+", " ", response.content.decode())


def cart_url(cart: Cart) -> str:
    return f"/checkout/?cart={cart.token}"


def in_one_payment(shop: Shop, cart: Cart, **changes: Any) -> Order:
    details: dict[str, Any] = {
        "business": shop.business,
        "token": cart.token,
        "method": Method.CASH,
        "form_token": "form-of-the-desk-sale",
        "expected_total_minor": 3600,
        "now": timezone.now(),
        "staff": None,
    }
    return desk.sell(**{**details, **changes})


class TestShop:
    def test_it_lists_what_is_sold_online_here(self, client: Client, shop: Shop) -> None:
        ItemFactory.create(business=shop.business, name="Behind the counter", sold_online=False)
        ItemFactory.create(business=shop.business, name="No longer sold", is_active=False)
        elsewhere = LocationFactory.create(business=shop.business)
        ItemFactory.create(business=shop.business, name="Only elsewhere", location=elsewhere)
        html = page(client.get("/"))
        assert "Yoga mat" in html
        assert "$36.00" in html
        for absent in ("Behind the counter", "No longer sold", "Only elsewhere"):
            assert absent not in html

    def test_what_is_not_sold_online_is_put_in_by_staff_only(self, client: Client, shop: Shop) -> None:
        fee = ItemFactory.create(business=shop.business, name="No-show fee", sold_online=False)
        client.post("/shop/add/", {"item": fee.id})
        assert not CartLine.objects.exists()
        cart = shop.cart()
        line = {"cart": cart.token, "item": fee.id}
        client.post("/checkout/lines/", {**line, "quantity": 1})
        assert not cart.lines.filter(item=fee).exists()
        carts.set_quantity(
            business=shop.business, token=cart.token, item_id=fee.id, quantity=2, over_the_counter=True
        )
        client.post("/checkout/lines/", {**line, "quantity": 3})
        assert cart.lines.get(item=fee).quantity == 2
        client.post("/checkout/lines/", {**line, "quantity": 1})
        assert cart.lines.get(item=fee).quantity == 1

    def test_adding_twice_fills_one_cart(self, client: Client, shop: Shop) -> None:
        for _ in range(2):
            response = client.post("/shop/add/", {"item": shop.item.id, "location": shop.location.id})
            assert response.status_code == 302
        cart = Cart.objects.get()
        assert response["Location"] == cart_url(cart)
        assert cart.lines.get().quantity == 2

    def test_after_a_sale_a_new_cart_is_started(self, client: Client, shop: Shop) -> None:
        client.post("/shop/add/", {"item": shop.item.id})
        sold = Cart.objects.get()
        in_one_payment(shop, sold)
        client.post("/shop/add/", {"item": shop.item.id})
        assert Cart.objects.get().token != sold.token

    @pytest.mark.parametrize("item", ["0", "999999", "abc", "", "-1", "9" * 30, "1\x00"])
    def test_an_item_that_is_not_sold_here(self, client: Client, shop: Shop, item: str) -> None:
        assert "This item is not for sale here." in page(client.post("/shop/add/", {"item": item}), 404)
        assert not Cart.objects.exists()

    def test_another_businesss_item(self, client: Client, shop: Shop, other_business: Business) -> None:
        theirs = Shop.make(business=other_business)
        page(client.post("/shop/add/", {"item": theirs.item.id, "location": theirs.location.id}), 404)
        assert not Cart.objects.exists()

    def test_without_a_location_nothing_is_sold(self, client: Client, business: Business) -> None:
        assert "Nothing is sold online here yet" in page(client.get("/"))
        page(client.post("/shop/add/", {"item": 1}), 503)


class TestCart:
    def test_it_shows_lines_tax_tip_and_total(self, client: Client, shop: Shop, cart: Cart) -> None:
        shop.location.sales_tax_active, shop.location.sales_tax_rate = True, 10  # type: ignore[assignment]
        shop.location.save()
        client.post("/checkout/tip/", {"cart": cart.token, "percent": "25"})
        html = page(client.get(cart_url(cart)))
        for shown in ("Yoga mat", "Sales tax 10 %", "$3.60", "$9.00", "$48.60"):
            assert shown in html
        assert client.cookies["payer"]["httponly"]
        assert client.cookies["payer"]["samesite"] == "Lax"

    def test_its_policy_allows_stripe_and_no_inline_code(self, client: Client, cart: Cart) -> None:
        policy = client.get(cart_url(cart))["Content-Security-Policy"]
        assert "script-src 'self' https://js.stripe.com https://*.js.stripe.com" in policy
        assert "frame-src https://js.stripe.com https://*.js.stripe.com https://hooks.stripe.com" in policy
        assert "connect-src 'self' https://api.stripe.com" in policy
        assert "unsafe-inline" not in policy
        assert "stripe" not in client.get("/")["Content-Security-Policy"]

    def test_no_page_is_kept_by_the_browser_and_no_secret_is_in_it(self, client: Client, cart: Cart) -> None:
        response = client.get(cart_url(cart))
        assert response["Cache-Control"] == "no-store"
        assert "_secret_" not in page(response)

    @pytest.mark.parametrize("token", ["nosuchcart", "a" * 41, "../../etc", "x\x00y", "' OR 1=1"])
    def test_an_unknown_cart(self, client: Client, shop: Shop, token: str) -> None:
        assert "We cannot find this cart." in page(client.get("/checkout/", {"cart": token}), 404)

    def test_another_businesss_cart(self, client: Client, shop: Shop, other_business: Business) -> None:
        theirs = Shop.make(business=other_business)
        cart = theirs.cart()
        page(client.get(cart_url(cart)), 404)
        body = {"cart": cart.token, "item": theirs.item.id, "quantity": "5"}
        page(client.post("/checkout/lines/", body), 404)
        assert cart.lines.get().quantity == 1

    def test_a_cart_that_became_an_order_leads_to_its_receipt(
        self, client: Client, shop: Shop, cart: Cart
    ) -> None:
        in_one_payment(shop, cart)
        assert client.get(cart_url(cart))["Location"] == f"/receipt/{cart.token}/"

    def test_zero_takes_a_line_out(self, client: Client, shop: Shop, cart: Cart) -> None:
        client.post("/checkout/lines/", {"cart": cart.token, "item": shop.item.id, "quantity": "0"})
        assert "There is nothing in this cart." in page(client.get(cart_url(cart)))

    @pytest.mark.parametrize("quantity", ["-1", "1000", "99999999999", "1.5", "", "two", "१"])
    def test_quantities_that_make_no_sense(
        self, client: Client, shop: Shop, cart: Cart, quantity: str
    ) -> None:
        body = {"cart": cart.token, "item": shop.item.id, "quantity": quantity}
        html = page(client.post("/checkout/lines/", body), 422)
        assert "A quantity is a whole number from 0 to 999." in html
        assert 'role="alert"' in html
        assert cart.lines.get().quantity == 1
        answer = client.post("/checkout/lines/", body, headers={"Accept": "application/json"})
        assert answer.status_code == 422
        assert answer.json()["error"]["code"] == "bad_quantity"

    @pytest.mark.parametrize("amount", ["-1", "12.345", "abc", "NaN", "1e5000", "Infinity"])
    def test_tips_that_make_no_sense_are_kept_for_mending(
        self, client: Client, cart: Cart, amount: str
    ) -> None:
        html = page(client.post("/checkout/tip/", {"cart": cart.token, "amount": amount}), 422)
        assert "This amount cannot be used." in html
        assert f'value="{amount}"' in html
        cart.refresh_from_db()
        assert cart.tip_minor == 0

    def test_a_tip_beyond_what_can_be_charged(self, client: Client, cart: Cart) -> None:
        html = page(client.post("/checkout/tip/", {"cart": cart.token, "amount": "99999999"}), 422)
        assert "more than one payment can be" in html

    @pytest.mark.parametrize(("name", "email"), [("", "a@example.com"), ("Ada", ""), ("Ada", "no address")])
    def test_a_buyer_without_name_or_address(self, client: Client, cart: Cart, name: str, email: str) -> None:
        body = {"cart": cart.token, "name": name, "email": email}
        html = page(client.post("/checkout/buyer/", body), 422)
        assert "We need a name and an e-mail address" in html
        assert f'value="{name}"' in html or not name

    def test_a_frozen_cart_cannot_change(self, client: Client, shop: Shop, cart: Cart) -> None:
        shop.request(cart)
        body = {"cart": cart.token, "item": shop.item.id, "quantity": "2"}
        html = page(client.post("/checkout/lines/", body), 409)
        assert "This cart is being paid and cannot change." in html
        assert "Change the order" in html

    def test_changing_the_order_asks_for_a_cancellation(self, client: Client, shop: Shop, cart: Cart) -> None:
        payment = shop.request(cart)
        assert client.post("/checkout/change/", {"cart": cart.token}).status_code == 302
        payment.refresh_from_db()
        assert payment.state == "cancelling"
        assert "Cancelling…" in page(client.get(cart_url(cart)))

    def test_without_keys_it_says_so(self, client: Client, cart: Cart) -> None:
        StripeAccount.objects.update(state=StripeAccount.State.RETIRED)
        assert "Online payments are not set up for this business." in page(client.get(cart_url(cart)))

    def test_a_policy_that_must_be_accepted_is_shown_and_kept(
        self, client: Client, shop: Shop, cart: Cart
    ) -> None:
        PaymentSettings.objects.update(refund_policy="No refunds <b>ever</b>.", refund_popup=True)
        html = page(client.get(cart_url(cart)))
        assert "No refunds &lt;b&gt;ever&lt;/b&gt;." in html
        client.post(
            "/checkout/buyer/",
            {"cart": cart.token, "name": "Ada", "email": "ada@example.com", "policy": "on"},
        )
        assert PaymentEvent.objects.get().kind == "policy.accepted"

    def test_what_costs_nothing_is_completed_without_a_card(self, client: Client, shop: Shop) -> None:
        shop.item.price_minor = 0
        shop.item.save()
        cart = shop.cart()
        assert "Complete the order (no charge)" in page(client.get(cart_url(cart)))
        body = {"cart": cart.token, "name": "Ada", "email": "ada@example.com", "form_token": "f" * 20}
        response = client.post("/checkout/free/", body)
        assert response["Location"] == f"/receipt/{cart.token}/"
        assert client.post("/checkout/free/", body)["Location"] == f"/receipt/{cart.token}/"
        assert Payment.objects.get().method == "no_charge"

    def test_what_costs_something_is_not_given_away(self, client: Client, cart: Cart) -> None:
        body = {"cart": cart.token, "name": "Ada", "email": "ada@example.com"}
        page(client.post("/checkout/free/", body), 409)
        assert not Order.objects.exists()

    def test_a_guest_where_only_customers_may_pay_is_asked_to_sign_in(
        self, client: Client, cart: Cart
    ) -> None:
        PaymentSettings.objects.update(guests_may_pay=False)
        assert "Sign in to pay" in page(client.get(cart_url(cart)))

    def test_the_customers_own_cart(self, shop: Shop, business: Business, sign_in: SignIn) -> None:
        customer = ProfileFactory.create(business=business)
        browser = sign_in(customer)
        assert "Your cart is empty" in page(browser.get("/checkout/customer"))
        browser.post("/shop/add/", {"item": shop.item.id})
        cart = Cart.objects.get()
        assert cart.customer == customer
        assert sign_in(customer).get("/checkout/customer")["Location"] == cart_url(cart)
        assert browser.get("/checkout/")["Location"] == "/checkout/customer"

    def test_nobody_without_a_cart_stays_at_the_checkout(self, client: Client, shop: Shop) -> None:
        assert client.get("/checkout/")["Location"] == "/"
        page(client.get("/checkout/customer"))


class TestTill:
    @pytest.fixture
    def till(self, business: Business, shop: Shop, sign_in: SignIn) -> Client:
        return sign_in(StaffFactory.create(business=business, groups=["store"], name="Dana Desk"))

    def add(self, till: Client, shop: Shop, **fields: Any) -> Any:
        return till.post("/checkout/till/add/", {"location": shop.location.id, **fields})

    def test_a_scan_starts_a_sale_and_the_next_adds_to_it(self, till: Client, shop: Shop) -> None:
        shop.item.code = "8801"
        shop.item.save()
        self.add(till, shop, code="8801")
        cart = Cart.objects.get()
        self.add(till, shop, code="8801", cart=cart.token)
        assert cart.lines.get().quantity == 2
        assert cart.created_by is not None

    def test_a_part_of_the_name_finds_one_or_asks_which(self, till: Client, shop: Shop) -> None:
        self.add(till, shop, code="yoga m")
        assert Cart.objects.count() == 1
        ItemFactory.create(business=shop.business, name="Yoga block")
        html = page(self.add(till, shop, code="yoga"), 409)
        assert "Several items are called like this." in html
        assert "Yoga block" in html
        assert 'value="yoga"' in html

    def test_an_unknown_code(self, till: Client, shop: Shop) -> None:
        html = page(self.add(till, shop, code="nothing like it"), 404)
        assert "No item has this code or name here." in html
        assert 'value="nothing like it"' in html

    def test_cash_makes_the_order_once(self, till: Client, shop: Shop, cart: Cart) -> None:
        body = {
            "cart": cart.token,
            "method": "cash",
            "expected_total": "3600",
            "form_token": "form-of-the-till-sale",
        }
        for _ in range(2):
            assert till.post("/checkout/till/sell/", body)["Location"] == f"/receipt/{cart.token}/"
        payment = Payment.objects.get()
        assert (payment.method, payment.state, payment.amount_minor) == ("cash", "succeeded", 3600)

    def test_complimentary_needs_a_reason(self, till: Client, shop: Shop, cart: Cart) -> None:
        body = {"cart": cart.token, "method": "complimentary", "expected_total": "3600"}
        assert "needs a reason" in page(till.post("/checkout/till/sell/", {**body, "note": " "}), 422)
        till.post("/checkout/till/sell/", {**body, "note": "for the press"})
        assert Payment.objects.get().note == "for the press"

    @pytest.mark.parametrize(
        ("changes", "status"),
        [
            ({"expected_total": "3500"}, 409),
            ({"expected_total": ""}, 422),
            ({"expected_total": "-3600"}, 409),
            ({"method": "online"}, 422),
            ({"method": "no_charge"}, 422),
            ({"method": "no_charge", "expected_total": "0"}, 409),
            ({"cart": "nosuchcart"}, 404),
        ],
    )
    def test_sales_that_make_no_sense(
        self, till: Client, cart: Cart, changes: dict[str, str], status: int
    ) -> None:
        body = {"cart": cart.token, "method": "cash", "expected_total": "3600", **changes}
        page(till.post("/checkout/till/sell/", body), status)
        assert not Order.objects.exists()

    def test_cash_while_the_customer_pays_by_phone(self, till: Client, shop: Shop, cart: Cart) -> None:
        shop.request(cart)
        body = {"cart": cart.token, "method": "cash", "expected_total": "3600"}
        html = page(till.post("/checkout/till/sell/", body), 409)
        assert "Another payment of this sale is under way." in html

    def test_a_customer_is_found_and_preselected(
        self, till: Client, business: Business, other_business: Business, shop: Shop
    ) -> None:
        mina = ProfileFactory.create(business=business, name="Mina Kim")
        theirs = ProfileFactory.create(business=other_business, name="Mina Other")
        html = page(till.get("/choose_new_customer/", {"find": "mina"}))
        assert "Mina Kim" in html
        assert "Mina Other" not in html
        assert "Mina Kim" in page(till.get("/checkout/", {"customer": mina.id}))
        page(till.get("/checkout/", {"customer": theirs.id}), 404)
        self.add(till, shop, item=shop.item.id, customer=mina.id)
        assert Cart.objects.get().customer == mina

    def test_it_is_closed_to_customers(
        self, client: Client, business: Business, cart: Cart, sign_in: SignIn
    ) -> None:
        customer = sign_in(ProfileFactory.create(business=business))
        body = {"cart": cart.token, "method": "cash", "expected_total": "3600"}
        assert customer.post("/checkout/till/sell/", body).status_code == 403
        assert client.post("/checkout/till/sell/", body).status_code == 302
        assert (
            sign_in(StaffFactory.create(business=business)).post("/checkout/till/sell/", body).status_code
            == 403
        )
        assert not Order.objects.exists()

    def test_its_state_follows_the_customer(self, till: Client, shop: Shop, cart: Cart) -> None:
        shop.request(cart)
        url = f"/checkout/till/state/?cart={cart.token}"
        assert "Requested" in page(till.get(url))
        payment = Payment.objects.get()
        intents.request_cancel(payment_id=payment.id, now=timezone.now(), actor="customer")
        assert "Cancelling" in page(till.get(url))


class TestReceipt:
    def test_it_opens_for_whoever_has_its_address(self, client: Client, shop: Shop, cart: Cart) -> None:
        order = in_one_payment(shop, cart)
        response = client.get(f"/receipt/{cart.token}/")
        html = page(response)
        for shown in (order.number, "Yoga mat", "$36.00", "Cash", "Ada Guest"):
            assert shown in html
        assert response["X-Robots-Tag"] == "noindex, nofollow"
        assert order.number in page(client.get("/")), "the browser remembers it"
        assert order.number not in page(Client(SERVER_NAME=HOST).get("/"))

    def test_another_businesss_receipt(self, client: Client, shop: Shop, other_business: Business) -> None:
        theirs = Shop.make(business=other_business)
        cart = theirs.cart()
        in_one_payment(theirs, cart)
        assert client.get(f"/receipt/{cart.token}/").status_code == 404
        assert client.get("/receipt/nosuch/").status_code == 404

    def test_customers_list_their_own(self, shop: Shop, business: Business, sign_in: SignIn) -> None:
        customer = ProfileFactory.create(business=business)
        browser = sign_in(customer)
        browser.post("/shop/add/", {"item": shop.item.id})
        order = in_one_payment(shop, Cart.objects.get())
        assert order.number in page(browser.get("/checkout/mine"))
        stranger = sign_in(ProfileFactory.create(business=business))
        assert "No purchases yet" in page(stranger.get("/checkout/mine"))
        assert Client(SERVER_NAME=HOST).get("/checkout/mine").status_code == 302

    def test_what_was_given_back_is_shown_to_the_customer(
        self, shop: Shop, business: Business, sign_in: SignIn
    ) -> None:
        browser = sign_in(ProfileFactory.create(business=business))
        browser.post("/shop/add/", {"item": shop.item.id})
        order = in_one_payment(shop, Cart.objects.get())
        assert "given back" not in page(browser.get("/checkout/mine"))
        payment = order.payments.get()
        given_back(payment, 500, state="failed")
        Payment.objects.update(refunded_minor=0, returned_minor=0)
        given_back(payment, 600)
        assert "$6.00 given back" in page(browser.get("/checkout/mine"))
        receipt = page(browser.get(f"/receipt/{order.token}/"))
        assert "Given back · Cash" in receipt
        assert "\N{MINUS SIGN}$6.00" in receipt
        assert "$5.00" not in receipt, "what never left is not told"

    def test_more_orders_than_a_page(
        self, shop: Shop, business: Business, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sales, "MOST_ORDERS", 2)
        customer = ProfileFactory.create(business=business)
        browser = sign_in(customer)
        orders = [in_one_payment(shop, shop.cart(), form_token=f"form-of-desk-sale-{n}") for n in range(5)]
        moment = timezone.now()  # all of one moment: ids decide
        Order.objects.update(customer=customer, created_at=moment)
        seen: list[str] = []
        address = "/checkout/mine"
        while address:
            html = page(browser.get(address))
            seen += re.findall(r'class="row-link mono"[^>]*>([^<]+)<', html)
            older = re.search(r'rel="next" href="([^"]+)"', html)
            address = f"/checkout/mine{older[1]}" if older else ""
        assert seen == [order.number for order in orders[::-1]]
        assert 'rel="first"' in html


class TestChoosingACustomer:
    @pytest.fixture
    def till(self, business: Business, shop: Shop, sign_in: SignIn) -> Client:
        return sign_in(StaffFactory.create(business=business, groups=["checkin"]))

    def test_choosing_gives_the_sale_at_hand_to_somebody_and_shows_their_open_cart(
        self, till: Client, business: Business, shop: Shop, cart: Cart
    ) -> None:
        mina = ProfileFactory.create(business=business, name="Mina Kim", phone="010 5550 1234")
        begun = shop.cart(quantity=2)
        Cart.objects.filter(id=begun.id).update(customer=mina, guest_name="", guest_email="")
        html = page(till.get("/choose_new_customer/", {"cart": cart.token, "find": "1234"}))
        assert "Mina Kim" in html
        assert "open cart, $72.00" in html
        body = {"cart": cart.token, "customer": mina.id}
        response = till.post("/choose_new_customer/", body)
        assert response["Location"] == cart_url(cart)
        html = page(till.get(cart_url(cart)))
        assert "Mina Kim has an open cart: 2 things, $72.00." in html
        assert cart_url(begun) in html

    def test_without_a_sale_the_next_one_begins_with_them(
        self, till: Client, business: Business, shop: Shop
    ) -> None:
        mina = ProfileFactory.create(business=business, name="Mina Kim")
        body = {"location": shop.location.id, "customer": mina.id}
        where = till.post("/choose_new_customer/", body)["Location"]
        assert where == f"/checkout/?location={shop.location.id}&customer={mina.id}"
        assert "Mina Kim" in page(till.get(where))

    def test_a_new_customer_is_created_and_chosen(self, till: Client, business: Business, cart: Cart) -> None:
        body = {
            "cart": cart.token,
            "create": "1",
            "name": "Noor",
            "email": "noor@example.com",
            "phone": "555",
        }
        assert till.post("/choose_new_customer/", body)["Location"] == cart_url(cart)
        cart.refresh_from_db()
        assert cart.customer == Profile.objects.get(email="noor@example.com", phone="555", business=business)

    def test_an_address_that_is_known_offers_its_customer(
        self, till: Client, business: Business, cart: Cart
    ) -> None:
        mina = ProfileFactory.create(business=business, name="Mina Kim", email="mina@example.com")
        body = {"cart": cart.token, "create": "1", "name": "Mina Two", "email": "mina@example.com"}
        html = page(till.post("/choose_new_customer/", body), 409)
        assert "Somebody here already has this e-mail address." in html
        assert f'name="customer" value="{mina.id}"' in html
        assert 'value="Mina Two"' in html, "what was typed is kept"

    def test_while_it_is_being_paid_the_sale_keeps_its_customer(
        self, till: Client, business: Business, shop: Shop, cart: Cart
    ) -> None:
        shop.request(cart)
        mina = ProfileFactory.create(business=business)
        html = page(till.post("/choose_new_customer/", {"cart": cart.token, "customer": mina.id}), 409)
        assert "A payment of this sale is under way" in html

    def test_another_businesss_customer_and_cart_do_not_exist(
        self, till: Client, other_business: Business, cart: Cart
    ) -> None:
        theirs = Shop.make(business=other_business)
        stranger = ProfileFactory.create(business=other_business, name="Mina Other")
        page(till.post("/choose_new_customer/", {"cart": cart.token, "customer": stranger.id}), 404)
        page(till.get("/choose_new_customer/", {"cart": theirs.cart().token}), 404)
        assert "Mina Other" not in page(till.get("/choose_new_customer/", {"find": "mina"}))

    def test_it_is_closed_to_customers(self, client: Client, business: Business, sign_in: SignIn) -> None:
        assert (
            sign_in(ProfileFactory.create(business=business)).get("/choose_new_customer/").status_code == 403
        )
        assert "/accounts/login/" in client.get("/choose_new_customer/")["Location"]


class TestSalesSideBySide:
    @pytest.fixture
    def dana(self, business: Business) -> Profile:
        return StaffFactory.create(business=business, groups=["store"], name="Dana Desk")

    @pytest.fixture
    def till(self, dana: Profile, shop: Shop, sign_in: SignIn) -> Client:
        return sign_in(dana)

    def begun(self, shop: Shop, dana: Profile) -> Cart:
        cart = shop.cart()
        Cart.objects.filter(id=cart.id).update(created_by=dana)
        return cart

    def test_the_bar_shows_the_own_sales_with_their_states(
        self, till: Client, shop: Shop, dana: Profile
    ) -> None:
        waiting, parked, elsewhere = self.begun(shop, dana), self.begun(shop, dana), shop.cart()
        shop.request(waiting)
        html = page(till.get("/checkout/"))
        assert cart_url(waiting) in html
        assert cart_url(parked) in html
        assert cart_url(elsewhere) not in html, "somebody else's"
        assert "Requested" in html
        in_one_payment(shop, parked)
        html = page(till.get("/checkout/"))
        assert f"/receipt/{parked.token}/" in html
        assert "Previous sale" in html

    def test_nothing_new_costs_no_body_and_news_does(self, till: Client, shop: Shop, dana: Profile) -> None:
        cart = self.begun(shop, dana)
        payment = shop.request(cart)
        address = f"/checkout/till/state/?cart={cart.token}"
        first = till.get(address)
        assert first.status_code == 200
        again = till.get(address, headers={"If-None-Match": first["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        intents.request_cancel(payment_id=payment.id, now=timezone.now(), actor="staff 1")
        news = till.get(address, headers={"If-None-Match": first["ETag"]})
        assert news.status_code == 200
        assert "Cancelling…" in page(news)

    def test_a_paid_sale_leads_the_till_to_its_receipt(self, till: Client, shop: Shop, cart: Cart) -> None:
        in_one_payment(shop, cart)
        response = till.get(f"/checkout/till/state/?cart={cart.token}")
        assert response["HX-Redirect"] == f"/receipt/{cart.token}/"

    def test_nothing_is_followed_where_nothing_can_happen(self, till: Client, shop: Shop) -> None:
        assert "data-follow" not in page(till.get("/checkout/"))

    def test_items_are_found_while_typing(self, till: Client, shop: Shop) -> None:
        ItemFactory.create(business=shop.business, name="Water", code="W1")
        html = page(till.get(f"/checkout/till/items/?location={shop.location.id}&find=wat"))
        assert "Water" in html
        assert "Yoga mat" not in html

    def test_a_refusal_at_the_till_is_shown_on_the_till(self, till: Client, shop: Shop, cart: Cart) -> None:
        body = {"cart": cart.token, "item": shop.item.id, "quantity": "1000"}
        html = page(till.post("/checkout/lines/", body), 422)
        assert "A quantity is a whole number" in html
        assert "Scan or type an item" in html
