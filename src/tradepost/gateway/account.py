"""The pages that the links in letters lead to, for shops without a storefront of their own at these paths."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tradepost.gateway import inline


@dataclass(frozen=True)
class Form:
    """What a page asks. `action` is where the API takes it, beside the link's secret; `done` and `rule` are what the
    page says when it was taken, and when the API did not like its form."""

    title: str
    action: str
    button: str
    done: str
    rule: str
    takes_password: bool = False


@dataclass(frozen=True)
class Pages:
    """Both pages, and the headers that they leave with."""

    reset_password: str
    verify_email: str
    headers: Mapping[str, str]


# Relative, so that it works as well below a path of the public URL.
RESET_PASSWORD: Final = Form(
    title="Choose a new password",
    action="../user/password/reset",
    button="Set the password",
    done="Your password is set. You can log in with it now.",
    rule="It has at least 8 characters, and is not one that is easily guessed.",
    takes_password=True,
)
VERIFY_EMAIL: Final = Form(
    title="Confirm your e-mail address",
    action="../user/email/verify",
    button="Confirm",
    done="Thank you, your e-mail address is confirmed.",
    rule="This is no link of ours. Please ask for another one.",
)


def render() -> Pages:
    """The secret stands behind the `#` of the address, which browsers tell no server; the script sends it to ours."""
    style, script = inline.asset("account.css"), inline.asset("account.js")
    template = inline.ENVIRONMENT.from_string(inline.asset("account.html"))
    reset, verify = [template.render(style=style, script=script, form=one) for one in (RESET_PASSWORD, VERIFY_EMAIL)]
    own = "connect-src 'self'; form-action 'none'; base-uri 'none'"
    headers = {
        "Content-Security-Policy": f"{inline.policy(style, script)}; {own}",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    return Pages(reset, verify, headers)
