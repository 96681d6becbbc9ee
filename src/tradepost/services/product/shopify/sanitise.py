"""Descriptions come from outside and go into pages: only harmless HTML is kept."""

import re
from typing import Final

import nh3

_TAGS: Final = """
    a abbr b blockquote br caption code col colgroup dd del div dl dt em figcaption figure h1 h2 h3 h4 h5 h6 hr i img
    ins kbd li mark ol p pre q s small span strike strong sub sup table tbody td tfoot th thead tr u ul
"""

_CLEANER: Final = nh3.Cleaner(
    tags=set(_TAGS.split()),
    clean_content_tags={"script", "style"},
    attributes={
        "a": {"href", "title"},
        "img": {"src", "alt", "title", "width", "height"},
        "ol": {"start"},
        "td": {"colspan", "rowspan"},
        "th": {"colspan", "rowspan"},
    },
    url_schemes={"http", "https", "mailto", "tel"},
    link_rel="noopener noreferrer",
    strip_comments=True,
)

_MARKUP: Final = re.compile(r"[<>&]")


def sanitise(html: str) -> str:
    """No scripts, handlers, styles, frames or `javascript:` addresses; links get `rel="noopener noreferrer"`."""
    return _CLEANER.clean(html) if _MARKUP.search(html) else html
