"""Messages from templates: the first line of an e-mail's is its subject. Compiled once, at the start."""

import re
from collections.abc import Mapping
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape

from tradepost.kernel.money import to_major
from tradepost.services.notification.domain import CHANNELS, Channel

SUBJECT_LIMIT: Final = 200  # characters
NOBODY: Final = "customer"  # whose name is none that we would say

# Whoever registers somebody else's address chooses the name, and cancels for a reason of his own: no link goes along.
_LINK: Final = re.compile(r"//|@|\.\w{2,}")


def render(template: str, channel: Channel, facts: Mapping[str, object], name: str) -> tuple[str, str]:
    """Subject and body of a message to somebody called `name`."""
    text = _TEXTS[template, channel].write(facts, name).strip()
    if channel is Channel.SMS:
        return "", text
    subject, _, body = text.partition("\n")
    return subject[:SUBJECT_LIMIT], body.strip() + "\n"


class _Text:
    """A template and the context that all its messages share: one for each would take longer than the text does. It
    knows the facts and nothing of what jinja2 makes global."""

    def __init__(self, template: Template) -> None:
        self._facts: dict[str, object] = {}
        self._context = template.new_context(self._facts, shared=True)
        self._parts = template.root_render_func

    def write(self, facts: Mapping[str, object], recipient: str) -> str:
        self._facts.clear()
        self._facts.update(facts, recipient=_linkless(recipient) or NOBODY)
        return "".join(self._parts(self._context))


def page(**about: object) -> str:
    """The mailbox as HTML, everything in it escaped."""
    return _PAGE.render(about)


def _on_one_line(value: object) -> object:
    """What people typed in must neither end a subject early nor look like lines of ours."""
    return " ".join(value.split()) if type(value) is str else value


def _money(amount: int, currency: str) -> str:
    return f"{to_major(amount, currency)} {currency}"


def _in_words(code: str) -> str:
    return code.replace("_", " ")


def _linkless(text: str) -> str:
    """The same, or nothing where it has what a mail program would make a link of."""
    return "" if _LINK.search(text) else text


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("tradepost.services.notification"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        finalize=_on_one_line,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"money": _money, "in_words": _in_words, "linkless": _linkless}
    return environment


_ENVIRONMENT: Final = _environment()
_TEXTS: Final[Mapping[tuple[str, Channel], _Text]] = {
    (name, channel): _Text(_ENVIRONMENT.get_template(f"{name}.{channel}.txt"))
    for name, channels in CHANNELS.items()
    for channel in channels
}
_PAGE: Final = _ENVIRONMENT.overlay(finalize=None).get_template("mailbox.html")
