"""What Stripe knows about currencies: which exist, the smallest charge of each, impossible amounts."""

from sandbox.errors import StripeError, invalid

ZERO_DECIMAL = frozenset(
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"]
)
#: Charged in whole units, but written times 100.
WHOLE_ONLY = frozenset({"isk", "ugx"})
#: Which accounts may use three decimals depends on the account: refused, as it is for most.
THREE_DECIMAL = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])
MAX_AMOUNT = 99_999_999  # eight digits, Stripe's limit for nearly every currency
_MINIMUM = {
    "usd": 50, "aed": 200, "aud": 50, "bgn": 100, "brl": 50, "cad": 50, "chf": 50, "czk": 1500, "dkk": 250,
    "eur": 50, "gbp": 30, "hkd": 400, "huf": 17500, "inr": 50, "jpy": 50, "krw": 100, "mxn": 1000, "myr": 200,
    "nok": 300, "nzd": 50, "pln": 200, "ron": 200, "sek": 300, "sgd": 50, "thb": 1000,
}  # fmt: skip
_OTHERS = frozenset(
    [
        "afn",
        "all",
        "amd",
        "ang",
        "aoa",
        "ars",
        "awg",
        "azn",
        "bam",
        "bbd",
        "bdt",
        "bmd",
        "bnd",
        "bob",
        "bsd",
        "bwp",
        "byn",
        "bzd",
        "cdf",
        "cny",
        "cop",
        "crc",
        "cve",
        "dop",
        "dzd",
        "egp",
        "etb",
        "fjd",
        "fkp",
        "gel",
        "gip",
        "gmd",
        "gtq",
        "gyd",
        "hnl",
        "htg",
        "idr",
        "ils",
        "jmd",
        "kes",
        "kgs",
        "khr",
        "kyd",
        "kzt",
        "lak",
        "lbp",
        "lkr",
        "lrd",
        "lsl",
        "mad",
        "mdl",
        "mkd",
        "mmk",
        "mnt",
        "mop",
        "mur",
        "mvr",
        "mwk",
        "mzn",
        "nad",
        "ngn",
        "nio",
        "npr",
        "pab",
        "pen",
        "pgk",
        "php",
        "pkr",
        "qar",
        "rsd",
        "rub",
        "sar",
        "sbd",
        "scr",
        "shp",
        "sle",
        "sos",
        "srd",
        "std",
        "szl",
        "tjs",
        "top",
        "try",
        "ttd",
        "twd",
        "tzs",
        "uah",
        "uyu",
        "uzs",
        "wst",
        "xcd",
        "yer",
        "zar",
        "zmw",
    ]
)
SUPPORTED = frozenset(_MINIMUM) | ZERO_DECIMAL | WHOLE_ONLY | _OTHERS


def check_currency(value: str) -> str:
    """Return the currency in lower case, or refuse it in Stripe's words."""
    currency = value.lower()
    if currency in THREE_DECIMAL:
        raise invalid(f"The currency provided ({currency}) is invalid for this account.", "currency")
    if currency not in SUPPORTED:
        raise invalid(
            f"Invalid currency: {value}. Stripe currently supports these currencies: "
            + ", ".join(sorted(SUPPORTED)),
            "currency",
        )
    return currency


def check_amount(amount: int, currency: str, param: str = "amount") -> int:
    """Refuse an amount below the currency's minimum, above the maximum, or not payable in that currency."""
    if amount < 0:
        raise invalid("Invalid non-negative integer", param, "parameter_invalid_integer")
    if amount > MAX_AMOUNT:
        raise invalid(
            f"Amount must be no more than {display(MAX_AMOUNT, currency)}", param, "amount_too_large"
        )
    if currency in WHOLE_ONLY and amount % 100:
        raise invalid(f"Invalid amount: {currency} amounts must be multiples of 100.", param)
    least = _MINIMUM.get(currency, 1)
    if amount < least:
        raise StripeError(
            400,
            f"Amount must be at least {display(least, currency)}",
            code="amount_too_small",
            param=param,
        )
    return amount


def display(amount: int, currency: str) -> str:
    """Return an amount for a person to read, exact and without a locale: ``12.50 usd``."""
    if currency in ZERO_DECIMAL:
        return f"{amount} {currency}"
    return f"{amount // 100}.{amount % 100:02d} {currency}"


def fee(amount: int, currency: str) -> int:
    """Return the processing fee of a card payment: 2.9 % and 30 of the smallest unit, rounded half up."""
    fixed = 0 if currency in ZERO_DECIMAL else 30
    return (amount * 29 + 500) // 1000 + fixed
