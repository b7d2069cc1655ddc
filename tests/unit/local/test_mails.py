from __future__ import annotations

import smtplib
from email.message import EmailMessage
from pathlib import Path

import httpx

from airflow_mlops.local import mails
from airflow_mlops.local.airflow import free_port

PIXEL = b"\x89PNG\r\n"


def make_mail(subject: str, html: str | None = None) -> EmailMessage:
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = subject, "airflow@localhost", "you@localhost"
    mail.set_content("plain <words>")
    if html is not None:
        mail.add_alternative(html, subtype="html")
        mail.get_payload()[1].add_related(PIXEL, "image", "png", cid="<picture@x>")  # type: ignore[union-attr, index]
    return mail


def send(port: int, *sent: EmailMessage) -> None:
    with smtplib.SMTP("127.0.0.1", port) as server:
        for mail in sent:
            server.send_message(mail)


def test_what_is_sent_can_be_read_the_newest_first_also_after_a_restart(tmp_path: Path) -> None:
    port = free_port()
    with mails.catching(tmp_path / "mails", port, 0) as url:
        assert "No mail yet." in httpx.get(url).text
        send(port, make_mail("<b>one</b>"), make_mail("two", '<p>a <img src="cid:picture@x"></p>'))
    with mails.catching(tmp_path / "mails", port, 0) as url:
        send(port, make_mail("three"))
        page = httpx.get(url).text
        assert page.index("three") < page.index("two") < page.index("&lt;b&gt;one")
        assert "plain &lt;words&gt;" in httpx.get(f"{url}/00001").text
        assert 'src="data:image/png;base64,iVBORw0K"' in httpx.get(f"{url}/00002").text
        assert "sandbox" in httpx.get(f"{url}/00002").headers["Content-Security-Policy"]


def test_nothing_else_is_served_and_to_nobody_under_another_name(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    with mails.catching(tmp_path / "mails", free_port(), 0) as url:
        for path in ("/secret", "/../secret", "/00001"):
            assert httpx.get(url + path).status_code == 404
        assert httpx.get(url, headers={"Host": "example.com:80"}).status_code == 404
