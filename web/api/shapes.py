"""What programs send and get: the shapes of the API. The OpenAPI document is drawn from them.

Amounts are whole minor units of the object's currency; times are UTC.
"""

from __future__ import annotations

import datetime
import uuid
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from web.payments.described import OrderFacts, RefundFacts
from web.payments.models import LARGEST_QUANTITY

LARGEST_ID = 2**63 - 1

Id = Annotated[int, Field(ge=1, le=LARGEST_ID)]
Amount = Annotated[int, Field(ge=0, le=10**12)]
# No control characters: no column of ours holds a NUL, and no page shows the others.
Text = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$")]
CartToken = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")]


class Sent(BaseModel):
    """What is sent: exactly these fields, of exactly these types."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Nothing(Sent):
    """No fields: an empty body does, too."""


# --- carts -------------------------------------------------------------------------------------------------


class BuyerWanted(Sent):
    """Who buys, as a guest."""

    name: Annotated[Text, Field(min_length=1, max_length=200)]
    email: Annotated[Text, Field(min_length=3, max_length=254)]


class LineWanted(Sent):
    """So many of an item."""

    item: Id
    quantity: Annotated[int, Field(ge=1, le=LARGEST_QUANTITY)]


class CartWanted(Sent):
    """A new cart at a location, with its lines and its buyer where they are known already."""

    location: Id
    lines: Annotated[list[LineWanted], Field(max_length=100)] = []
    buyer: BuyerWanted | None = None
    language: Literal["en", "ko"] = "en"


class QuantityWanted(Sent):
    """How many of an item there shall be; 0 takes it out."""

    quantity: Annotated[int, Field(ge=0, le=LARGEST_QUANTITY)]


class TipWanted(Sent):
    """A tip, in whole percent of the lines or as an amount."""

    percent: Annotated[int, Field(ge=0, le=100)] | None = None
    amount: Amount | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> TipWanted:
        if (self.percent is None) == (self.amount is None):
            raise ValueError("give either percent or amount")
        return self


class CartLine(BaseModel):
    """A line of a cart, with its share of discount and taxes."""

    item: int
    description: str
    quantity: int
    unit_price: int
    amount: int
    discount: int
    sales_tax: int
    additional_tax: int


class Cart(BaseModel):
    """What is being bought. Once it is paid it is gone, and its `reference` is the order's."""

    cart: str
    reference: uuid.UUID
    state: str
    location: int
    currency: str
    buyer_name: str
    buyer_email: str
    lines: list[CartLine]
    subtotal: int
    discount: int
    sales_tax: int
    additional_tax: int
    tip: int
    total: int
    paid: int
    due: int
    live_payment: uuid.UUID | None
    checkout_url: str


# --- payments ----------------------------------------------------------------------------------------------


class PaymentWanted(Sent):
    """An online payment of all that is left to pay of a cart. It freezes the cart."""

    cart: CartToken
    expected_total: Amount
    expected_due: Amount | None = None


class Payment(BaseModel):
    """A payment. The client secret is there for tokens that sell, while the customer can pay."""

    payment: uuid.UUID
    reference: uuid.UUID
    method: str
    state: str
    is_final: bool
    money_moved: bool | None
    amount: int
    currency: str
    decline_code: str
    order: str | None
    client_secret: str | None
    publishable_key: str | None
    created_at: datetime.datetime
    state_changed_at: datetime.datetime


# --- card readers ------------------------------------------------------------------------------------------


class TerminalPaymentWanted(Sent):
    """A payment of all that is left to pay of a cart, on a card reader."""

    cart: CartToken
    reader: Annotated[uuid.UUID, Field(strict=False)]
    expected_total: Amount
    asks_for_tip: bool = False


class Reader(BaseModel):
    """A card reader."""

    reader: uuid.UUID
    label: str
    location: int
    state: str
    is_online: bool
    is_free: bool


class TerminalPayment(BaseModel):
    """A payment's place at a card reader."""

    terminal_payment: uuid.UUID
    reader: uuid.UUID
    state: str
    is_final: bool
    position: int
    failure_code: str
    payment: Payment


# --- orders and refunds --------------------------------------------------------------------------------------


class Order(OrderFacts):
    """An order with its buyer and the address of its receipt."""

    buyer_name: str
    buyer_email: str
    receipt_url: str


class RefundLineWanted(Sent):
    """So many of a line of the order."""

    line: Id
    quantity: Annotated[int, Field(ge=1, le=LARGEST_QUANTITY)]


class RefundWanted(Sent):
    """Money of an order that shall be given back: all that is left, an amount of it, or items.

    `expected` is what you think that comes to: where it does not, nothing is given back.
    """

    order: Annotated[str, Field(pattern=r"^[A-Z0-9-]{1,9}$")]
    reason: Annotated[Text, Field(min_length=1, max_length=500)]
    amount: Annotated[int, Field(ge=1, le=10**12)] | None = None
    lines: Annotated[list[RefundLineWanted], Field(min_length=1, max_length=100)] | None = None
    expected: Amount | None = None
    reader: Annotated[uuid.UUID, Field(strict=False)] | None = None

    @model_validator(mode="after")
    def _not_both(self) -> RefundWanted:
        if self.amount is not None and self.lines is not None:
            raise ValueError("give either amount or lines, or neither for all that is left")
        return self


class RefundRequest(BaseModel):
    """What asking for a refund made: one refund for each payment that gives something back."""

    order: str
    amount: int
    currency: str
    refunds: list[RefundFacts]


# --- the catalogue -------------------------------------------------------------------------------------------


class Location(BaseModel):
    """A place of the business."""

    location: int
    name: str
    currency: str
    time_zone: str


class Item(BaseModel):
    """Something that the business sells."""

    item: int
    name: str
    item_type: str
    price: int
    currency: str
    location: int | None
    sold_online: bool


class Locations(BaseModel):
    """The business's places, the oldest first."""

    data: list[Location]


class Items(BaseModel):
    """A page of items."""

    data: list[Item]
    next_cursor: str | None


class Orders(BaseModel):
    """A page of orders, the newest first."""

    data: list[Order]
    next_cursor: str | None


class Refunds(BaseModel):
    """A page of refunds, the newest first."""

    data: list[RefundFacts]
    next_cursor: str | None


class Readers(BaseModel):
    """The business's card readers."""

    data: list[Reader]


class Problem(BaseModel):
    """An error, as RFC 9457 has it. `money_moved` is null where this request cannot know."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    money_moved: bool | None
    next: str
