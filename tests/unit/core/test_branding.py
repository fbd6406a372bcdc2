"""The colours of a business: theirs where they can be read, ours where they cannot."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from web.core import branding
from web.core.models import Business

colors = st.from_regex(r"#[0-9A-F]{6}", fullmatch=True)


def variables(css: str, theme: str) -> dict[str, str]:
    """Read the variables of one theme out of a style sheet."""
    block = next(line for line in css.splitlines() if line.startswith(f"@media {theme}"))
    inner = block.split(":root{", 1)[1].rstrip("}")
    return dict(pair.split(":", 1) for pair in inner.split(";") if pair)


def test_contrast_is_what_wcag_says() -> None:
    assert branding.contrast("#000000", "#FFFFFF") == pytest.approx(21.0)
    assert branding.contrast("#FFFFFF", "#FFFFFF") == 1.0
    assert branding.contrast("#767676", "#FFFFFF") == pytest.approx(4.54, abs=0.01)


def test_the_default_button_keeps_white_text_and_is_deepened_by_a_hair() -> None:
    assert branding.button_pair("#EC2660") == ("#E0245B", "#FFFFFF")


def test_a_light_button_gets_dark_text_and_stays() -> None:
    assert branding.button_pair("#FFD400") == ("#FFD400", "#12263F")


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # a busy machine is no finding
@given(colors, colors, colors, colors)
def test_every_choice_of_colours_can_be_read(button: str, text: str, header: str, background: str) -> None:
    css = branding.stylesheet(
        Business(button_color=button, text_color=text, header_color=header, background_color=background)
    )
    light, dark = variables(css, "print"), variables(css, "screen")
    for ink, paper in (
        ("--on-brand", "--brand"),
        ("--text", "--page"),
        ("--muted", "--page"),
        ("--brand-text", "--page"),
        ("--danger-text", "--page"),
        ("--on-header", "--header"),
    ):
        assert branding.contrast(light[ink], light[paper]) >= 4.5, (ink, paper)
    assert branding.contrast(dark["--on-brand"], dark["--brand"]) >= 4.5
    assert branding.contrast(dark["--brand-text"], branding.DARK_SURFACE) >= 4.5


@pytest.mark.parametrize("value", ["red}body{display:none", "", "#12345", "#1234567", "url(x)"])
def test_a_value_that_is_no_colour_writes_nothing_of_its_own(value: str) -> None:
    css = branding.stylesheet(Business(button_color=value, header_color=value))
    assert css == branding.stylesheet(Business())


@pytest.mark.parametrize("font", ['x";}body{display:none', "a" * 61, "x\\", "x;"])
def test_a_font_cannot_leave_its_quotes(font: str) -> None:
    assert branding.stylesheet(Business(font=font)) == branding.stylesheet(Business())


def test_a_font_comes_before_the_others() -> None:
    assert branding.stylesheet(Business(font="Pretendard")).startswith(':root{--brand-font:"Pretendard",}\n')


def test_the_address_changes_with_the_colours() -> None:
    assert branding.version(Business()) == branding.version(Business())
    assert branding.version(Business()) != branding.version(Business(button_color="#000000"))
