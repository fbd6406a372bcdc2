"""The ledger's tables, one module each."""

from web.payments.models.attempt import Attempt, Operation
from web.payments.models.cart import LARGEST_QUANTITY, Cart, CartLine
from web.payments.models.inbox import InboxEvent
from web.payments.models.job import Job
from web.payments.models.order import Order, OrderLine, Receipt
from web.payments.models.payment import HeldReason, Method, Payment, PaymentEvent
from web.payments.models.profile_data import ProfilePaymentData
from web.payments.models.refund import Refund
from web.payments.models.settings import PaymentSettings, StripeAccount, WebhookSecret

__all__ = [
    "LARGEST_QUANTITY",
    "Attempt",
    "Cart",
    "CartLine",
    "HeldReason",
    "InboxEvent",
    "Job",
    "Method",
    "Operation",
    "Order",
    "OrderLine",
    "Payment",
    "PaymentEvent",
    "PaymentSettings",
    "ProfilePaymentData",
    "Receipt",
    "Refund",
    "StripeAccount",
    "WebhookSecret",
]
