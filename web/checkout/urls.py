"""The addresses of this room; they are joined under the namespace `payment` in web/payment_urls.py."""

from django.urls import URLPattern, URLResolver, path

from web.checkout import cards, cart, choosing, intents, receipts, shop, terminal, till

urlpatterns: list[URLPattern | URLResolver] = [
    path("stripe-intent/", intents.stripe_intent, name="stripe_intent"),
    path("stripe-intent/<uuid:payment_id>/", intents.status, name="stripe_intent_status"),
    path("stripe-intent/<uuid:payment_id>/cancel/", intents.cancel, name="stripe_intent_cancel"),
    path("stripe-intent/<uuid:payment_id>/check/", intents.check, name="stripe_intent_check"),
    path("stripe-terminal/", terminal.readers, name="stripe_terminal"),
    path("stripe-terminal/start/", terminal.start, name="stripe_terminal_start"),
    path("stripe-terminal/connection-tokens/", terminal.connection_tokens, name="stripe_terminal_tokens"),
    path("stripe-terminal/connection-tokens/<uuid:token_id>/", terminal.token, name="stripe_terminal_token"),
    path(
        "stripe-terminal/payments/<uuid:payment_id>/capture/",
        terminal.capture,
        name="stripe_terminal_capture",
    ),
    path("stripe-terminal/<uuid:action_id>/", terminal.status, name="stripe_terminal_status"),
    path("stripe-terminal/<uuid:action_id>/cancel/", terminal.cancel, name="stripe_terminal_cancel"),
    path("stripe-terminal/<uuid:action_id>/take-back/", terminal.take_back, name="stripe_terminal_take_back"),
    path("stripe-terminal/<uuid:action_id>/hand-over/", terminal.hand_over, name="stripe_terminal_hand_over"),
    path("checkout/", cart.checkout, name="checkout"),
    path("checkout/customer", cart.own_cart, name="cart"),
    path("checkout/mine", receipts.my_purchases, name="my_purchases"),
    path("checkout/lines/", cart.set_line, name="set_line"),
    path("checkout/tip/", cart.set_tip, name="set_tip"),
    path("checkout/buyer/", cart.set_buyer, name="set_buyer"),
    path("checkout/free/", cart.complete_free, name="complete_free"),
    path("checkout/change/", cart.change_order, name="change_order"),
    path("checkout/till/add/", till.add_item, name="till_add"),
    path("checkout/till/items/", till.items, name="till_items"),
    path("checkout/till/sell/", till.sell, name="till_sell"),
    path("checkout/till/state/", till.state, name="till_state"),
    path("choose_new_customer/", choosing.choose_new_customer, name="choose_new_customer"),
    path("list-payment-cards/", cards.list_cards, name="list_cards"),
    path("list-payment-cards/<uuid:card_id>/default/", cards.make_default, name="make_default_card"),
    path("list-payment-cards/<uuid:card_id>/remove/", cards.remove, name="remove_card"),
    path("add_card_details/", cards.add_card, name="add_card"),
    path("add_card_details/begin/", cards.begin_adding, name="begin_adding_card"),
    path("add_card_details/<uuid:setup_id>/", cards.card_setup, name="card_setup"),
    path("add_card_details/<uuid:setup_id>/check/", cards.check_card_setup, name="check_card_setup"),
    path("receipt/<str:token>/", receipts.receipt, name="receipt"),
    path("shop/add/", shop.add_to_cart, name="add_to_cart"),
    path("", shop.shop, name="shop"),
]
