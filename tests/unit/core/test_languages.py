"""Korean as English: no word that a customer reads is left in another language, and none breaks when it is used."""

from __future__ import annotations

import ast
import gettext
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.utils import translation
from django.utils.translation import ngettext

from stack.messages import catalogue, compiled, is_translated, misplaced, read
from web.payments.models import Method
from web.payments.operations.carts import BadQuantity

WEB = Path(__file__).resolve().parents[3] / "web"
TEMPLATES = ("account", "cards", "checkout", "components", "errors", "forms", "payments", "receipts")
MODULES = (
    "checkout/shop.py",
    "checkout/cart.py",
    "checkout/words.py",
    "checkout/refusals.py",
    "checkout/receipts.py",
    "core/accounts.py",
    "core/account_forms.py",
    "core/errors.py",
    "payments/models/payment.py",
    "payments/operations/carts.py",
    "payments/operations/intents.py",
    "payments/operations/cards.py",
    "payments/operations/receipts.py",
    "payments/states.py",
)
OF_STAFF = re.compile(r"till|terminal|reader|choose|new_customer|_sale|_customer|_items|sales")
OF_OPERATORS = re.compile(r"ops/|operating|stack/")
TAG = re.compile(r"""\{%\s*translate\s+(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)')""")
BLOCK = re.compile(r"\{%\s*blocktranslate\b[^%]*%\}(.*?)\{%\s*(?:plural|endblocktranslate)\s*%\}", re.DOTALL)


def of_templates() -> Iterator[tuple[str, str]]:
    folders = [path for name in TEMPLATES for path in (WEB / "templates" / name).rglob("*.*")]
    for path in [*folders, *(WEB / "templates").glob("*.html")]:
        if OF_STAFF.search(path.name) or path.name == "styleguide.html":
            continue
        source = path.read_text(encoding="utf-8")
        for double, single in TAG.findall(source):
            yield path.name, double or single
        for words in BLOCK.findall(source):
            yield path.name, re.sub(r"\{\{\s*(\w+)\s*\}\}", r"%(\1)s", words)


def of_modules() -> Iterator[tuple[str, str]]:
    for name in MODULES:
        for node in ast.walk(ast.parse((WEB / name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
                given = node.args[0]
                if node.func.id in {"_", "_lazy", "gettext", "gettext_lazy"} and isinstance(
                    given, ast.Constant
                ):
                    yield name, str(given.value)


@pytest.fixture(scope="module")
def korean() -> gettext.GNUTranslations:
    return gettext.GNUTranslations(io.BytesIO(catalogue("ko").with_suffix(".mo").read_bytes()))


def test_customers_read_no_english_on_a_korean_page(korean: gettext.GNUTranslations) -> None:
    known = vars(korean)["_catalog"]
    wanted = {*of_templates(), *of_modules()}
    assert len(wanted) > 200
    missing = sorted(
        f"{where}: {text}" for where, text in wanted if text not in known and (text, 0) not in known
    )
    assert missing == [], "run `make messages` and translate these in web/locale/ko"


def test_staff_read_no_english_on_a_korean_page() -> None:
    """Every text of the catalogue has its Korean; those that only operators of the installation see may wait."""
    blocks = catalogue("ko").read_text(encoding="utf-8").split("\n\n")
    missing = []
    for block in blocks[1:]:
        (entry,) = read(block)
        places = re.findall(r"^#: (.+)$", block, re.MULTILINE)
        is_of_operators = all(OF_OPERATORS.search(place) for line in places for place in line.split())
        if not is_of_operators and not is_translated(entry):
            missing.append(f"{' '.join(places)}: {entry['msgid']}")
    assert missing == [], "run `make messages` and translate these in web/locale/ko"


def test_what_is_compiled_is_what_is_written() -> None:
    source = catalogue("ko")
    entries = read(source.read_text(encoding="utf-8"))
    assert compiled(entries) == source.with_suffix(".mo").read_bytes(), "run `make messages`"
    assert [
        entry["msgid"] for entry in entries if is_translated(entry) and entry["msgid"] and misplaced(entry)
    ] == []


def test_words_numbers_and_plurals() -> None:
    with translation.override("ko"):
        assert str(Method.CASH.label) == "현금"
        assert str(BadQuantity.message) == "수량은 0에서 999까지의 정수입니다."
        for count in (1, 5):
            told = ngettext("Cart: %(number)s item", "Cart: %(number)s items", count) % {"number": count}
            assert told == f"장바구니: {count}개"
    with translation.override("en"):
        assert str(Method.CASH.label) == "Cash"
