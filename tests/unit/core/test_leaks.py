"""The search of the logs finds what must not be there, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import leaks

SENTENCE = "Thank you for your visit, Ada. Your classes are booked."


@pytest.mark.parametrize(
    "line",
    [
        'stripe said {"client_secret": "pi_3abc_secret_def"}',
        "key=sk_test_abcdefgh",
        "whsec_abcdefgh12345",
        "paid with 4242 4242 4242 4242",
        "redis://user:hunter22@host",
        "Cookie: sessionid=1",
        f"sent {SENTENCE}",
    ],
)
def test_found(line: str, tmp_path: Path) -> None:
    mails = tmp_path / "mail"
    mails.mkdir()
    (mails / "one.log").write_text(f"Subject: Receipt\nContent-Type: text/plain\n\nHello,\n{SENTENCE}\n")
    (tmp_path / "worker-mail-1.log").write_text(f"{line}\n")
    with pytest.raises(AssertionError, match=r"worker-mail-1\.log:1"):
        leaks.judge(tmp_path, mails)


def test_nothing_else(tmp_path: Path) -> None:
    harmless = "job.done payment_id=4242 stripe_request=req_abc [redacted] redis://:**@redis:6379/0 pi_3abc"
    (tmp_path / "web.log").write_text(f"{harmless}\n")
    leaks.judge(tmp_path)
    with pytest.raises(AssertionError, match="no logs"):
        leaks.judge(tmp_path / "nowhere")
