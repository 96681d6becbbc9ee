"""The links in letters lead to pages of ours, and what these pages send is what the API takes."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest

from tests.kernel.http.driver import Response
from tests.shop import Shop
from tradepost.services.user.api import email, password
from tradepost.services.user.domain.letter import TEMPLATES
from tradepost.services.user.domain.password import LENGTH_MAX, LENGTH_MIN

ADA = {"email": "ada@shop.test", "password": "a fine long password", "name": "Ada"}
NEW = "another fine password"


@dataclass
class Form(HTMLParser):
    """Of a page: where its script sends what is in its fields."""

    action: str = ""
    fields: dict[str, dict[str, str | None]] = field(default_factory=dict)
    labels: set[str | None] = field(default_factory=set)
    elements: list[dict[str, str | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.elements.append(found)
        if tag == "form":
            self.action = found["data-action"] or ""
        elif tag == "input":
            self.fields[found["name"] or ""] = found
        elif tag == "label":
            self.labels.add(found["for"])


def form_of(page: Response) -> Form:
    form = Form()
    form.feed(page.body.decode())
    return form


async def link_in_letter(shop: Shop, template: str) -> tuple[str, str]:
    """Path and secret of the newest one."""
    letters = await shop.staff.get("/user/letters?to=ada@shop.test")
    text = next(letter["text"] for letter in letters.json["data"] if letter["template"] == template)
    (found,) = re.findall(r"^https?://\S+$", text, re.M)
    link = urlsplit(found)
    return link.path, link.fragment.removeprefix("token=")


async def fill_in(shop: Shop, template: str, **typed: str) -> tuple[Response, Any]:
    """Follow the link and send the form, as the page's script does; the page and the answer."""
    path, token = await link_in_letter(shop, template)
    page = await shop.public.get(path)
    assert page.status == 200, path
    form = form_of(page)
    assert form.fields.keys() == typed.keys()
    return page, await shop.public.post(urljoin(path, form.action), {**typed, "token": token})


async def test_who_follows_the_links_confirms_an_address_and_gets_another_password(shop: Shop) -> None:
    assert (await shop.public.post("/user/register", ADA)).status == 201
    _, verified = await fill_in(shop, "verify_email")
    await shop.public.post("/user/password/forgot", {"email": ADA["email"]})
    _, reset = await fill_in(shop, "reset_password", password=NEW)
    tries = [await shop.public.post("/user/login", {"email": ADA["email"], "password": one}) for one in (NEW, "old")]

    assert (verified.status, verified.json["email_verified"], reset.status) == (200, True, 204)
    assert [answer.status for answer in tries] == [200, 401]


@pytest.mark.parametrize("kind", [template for template in TEMPLATES.values() if template.page])
async def test_such_a_page_tells_nobody_where_it_is_and_loads_nothing(shop: Shop, kind: Any) -> None:
    page = await shop.public.get(kind.page)
    text = page.body.decode()
    policy = dict(rule.strip().split(" ", 1) for rule in page.headers["content-security-policy"].split(";"))

    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert (page.headers["referrer-policy"], page.headers["cache-control"]) == ("no-referrer", "no-store")
    assert (policy["default-src"], policy["connect-src"], policy["form-action"]) == ("'none'", "'self'", "'none'")
    assert policy["script-src"].startswith("'sha256-")
    assert not any(word in text for word in ("http://", "https://", " src=", "<link", "@import", "url("))


async def test_the_fields_are_what_the_api_takes_and_every_one_has_a_label(shop: Shop) -> None:
    reset = form_of(await shop.public.get(TEMPLATES["reset_password"].page))
    verify = form_of(await shop.public.get(TEMPLATES["verify_email"].page))

    assert {*reset.fields, "token"} == set(password.Reset.__struct_fields__)
    assert {*verify.fields, "token"} == set(email.Verify.__struct_fields__)
    lengths = reset.fields["password"]["minlength"], reset.fields["password"]["maxlength"]
    assert lengths == (str(LENGTH_MIN), str(LENGTH_MAX))
    assert {one["id"] for one in reset.fields.values()} <= reset.labels
    assert all(any(one.get("role") == "status" for one in form.elements) for form in (reset, verify))


async def test_a_link_that_was_used_is_refused_in_words(shop: Shop) -> None:
    await shop.public.post("/user/register", ADA)
    await fill_in(shop, "verify_email")
    _, again = await fill_in(shop, "verify_email")

    assert again.error == (422, "invalid_link")
    assert again.json["detail"] == "The link was used already or is too old; ask for another one."
