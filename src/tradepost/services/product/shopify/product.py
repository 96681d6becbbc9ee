"""The first row of a product: its fields and the names of its options."""

from typing import Final

from tradepost.services.product.shopify.cells import Bad, boolean, clip, short
from tradepost.services.product.shopify.drafts import (
    MAX_HTML,
    MAX_LONG_TEXT,
    MAX_TAGS,
    MAX_TEXT,
    ProductDraft,
    Status,
    Warning_,
)
from tradepost.services.product.shopify.headers import Row
from tradepost.services.product.shopify.sanitise import sanitise

_STATUSES: Final[dict[str, Status]] = {
    "": "active",
    "active": "active",
    "draft": "draft",
    "unlisted": "draft",
    "archived": "archived",
}


def product_of(row: Row, handle: str, currency: str, warnings: list[Warning_]) -> ProductDraft:
    """The product, its variants, images and lines still missing. Raises `Bad`."""
    if not row.title:
        raise Bad("title_missing", "the first row of a product must carry its title")
    tags = _tags(row.tags)
    if len(tags) < len(_split(row.tags)):
        warnings.append(
            Warning_(row.line, handle, "tags_dropped", "repeated tags, long ones and those beyond the 250th")
        )
    if row.status.lower() == "unlisted":
        warnings.append(Warning_(row.line, handle, "status_unlisted", "there are no unlisted products here: a draft"))
    return ProductDraft(
        handle=handle,
        title=short(row.title, "title"),
        currency=currency,
        variants=(),
        options=_option_names(row),
        description_html=_description(row.description),
        vendor=short(row.vendor, "vendor"),
        category=short(row.category, "category", MAX_LONG_TEXT),
        type=short(row.type, "type"),
        tags=tags,
        status=_status(row),
        gift_card=boolean(row.gift_card, "gift card", default=False),
        seo_title=short(row.seo_title, "SEO title"),
        seo_description=short(row.seo_description, "SEO description", MAX_LONG_TEXT),
        line=row.line,
    )


def _status(row: Row) -> Status:
    status = _STATUSES.get(row.status.lower())
    if status is None:
        raise Bad("status_invalid", f"the status is {clip(row.status)}, not active, draft or archived")
    published = boolean(row.published, "published", default=True)
    return "draft" if status == "active" and not published else status


def _option_names(row: Row) -> tuple[str, ...]:
    """Empty for the one variant that Shopify calls option `Title`, value `Default Title`."""
    cells = (
        (row.option1_name, row.option1_value),
        (row.option2_name, row.option2_value),
        (row.option3_name, row.option3_value),
    )
    if is_default(*cells[0]) and not any(name or value for name, value in cells[1:]):
        return ()
    names = tuple(short(name, "option name") for name, _ in cells if name)
    if any(name == "" for name, _ in cells[: len(names)]) or any(value for _, value in cells[len(names) :]):
        raise Bad("option_name_missing", "an option has a value but no name, or is numbered with a gap")
    if len({name.lower() for name in names}) < len(names):
        raise Bad("option_name_duplicate", f"two options have the same name: {', '.join(map(clip, names))}")
    return names


def is_default(name: str, value: str) -> bool:
    return name.lower() == "title" and value.lower() == "default title"


def _description(html: str) -> str:
    clean = sanitise(html).strip()
    if len(clean) > MAX_HTML:
        raise Bad(
            "description_too_long", f"the description has {len(clean)} characters, at most {MAX_HTML} are allowed"
        )
    return clean


def _tags(text: str) -> tuple[str, ...]:
    kept: dict[str, str] = {}
    for tag in _split(text):
        if len(tag) <= MAX_TEXT:
            kept.setdefault(tag.lower(), tag)
    return tuple(kept.values())[:MAX_TAGS]


def _split(text: str) -> list[str]:
    return [tag for part in text.split(",") if (tag := part.strip())]
