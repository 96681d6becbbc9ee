"""Products: staff write them, everyone reads them."""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from tradepost.kernel.database import Database, Tx
from tradepost.kernel.errors import Forbidden
from tradepost.kernel.http import idempotency
from tradepost.kernel.http.body import Amount, Currency, Id, ListOf, ListQuery
from tradepost.kernel.http.endpoint import Answer, Encoded, Request
from tradepost.kernel.http.reply import render
from tradepost.services.product.api.bodies import CreateProduct, EditProduct, fields_of
from tradepost.services.product.api.versions import answer_with, etag_of, version_check
from tradepost.services.product.catalogue import Listed
from tradepost.services.product.commands import products as commands
from tradepost.services.product.desk import Desk
from tradepost.services.product.domain import editing
from tradepost.services.product.domain.product import NoSuchProduct, Status
from tradepost.services.product.queries import products as queries
from tradepost.services.product.queries.search import Sort, Wanted
from tradepost.services.product.queries.views import ProductView, shown
from tradepost.services.product.repository.products import Raced

PATH: Final = "/product/products"
TRIES: Final = 3  # when others take a handle or a SKU in the same moment

Label = Annotated[str, Meta(min_length=1, max_length=255)]


class Created(ProductView, frozen=True, kw_only=True):
    """The new product."""

    product_id: str


class ProductQuery(ListQuery, frozen=True, kw_only=True):
    """`q` searches names, vendors, types, tags, descriptions and SKUs, and finds what is spelt nearly right where
    nothing is spelt so; then `relevance` is the usual order, else `newest`. `category` includes what lies below.
    Other statuses than `active` are for staff."""

    q: Annotated[str, Meta(max_length=255)] = ""
    category: Id | None = None
    min_price: Amount | None = None
    max_price: Amount | None = None
    currency: Currency | None = None
    vendor: Label | None = None
    tag: tuple[Label, ...] = ()
    handle: Label | None = None
    sku: Label | None = None
    status: Status | Literal["all"] = "active"
    in_stock: bool | None = None
    sort: Sort | None = None


async def create_product(request: Request[CreateProduct, None], desk: Desk) -> Answer[Created]:
    """Create a product. Errors: Invalid, HandleTaken, SkuTaken, CategoryUnknown."""
    created, replayed = await _create(request, desk.db)
    if request.wait_s and created.status == "active":
        await desk.openings.wait(created.id, request.wait_s)
        created = await _created(desk.db, created.id)
    headers = {"location": f"{PATH}/{created.id}"} | ({idempotency.REPLAYED: "true"} if replayed else {})
    return answer_with(created, created.version, headers=headers)


async def read_product(request: Request[None, None], desk: Desk) -> Answer[Encoded[ProductView]]:
    """Read a product. Errors: NoSuchProduct."""
    product = await desk.catalogue.product(queries.Asked(request.path["product_id"], _is_staff(request)))
    if product is None:
        raise NoSuchProduct("There is no product of this id.")
    return Answer(Encoded(product.json), etag=etag_of(product.json, product.version))


async def list_products(request: Request[None, ProductQuery], desk: Desk) -> Encoded[ListOf[ProductView]]:
    """Search, filter and sort products. Errors: Forbidden."""
    query, staff = request.query, _is_staff(request)
    if query.status != "active" and not staff:
        raise Forbidden("This status needs the permission product:read.")
    return Encoded(await desk.catalogue.page(Listed(_wanted(query), staff)))


async def edit_product(request: Request[EditProduct, None], _desk: Desk, tx: Tx) -> Answer[ProductView]:
    """Change a product. Errors: NoSuchProduct, Stale, Invalid, HandleTaken, SkuTaken, CategoryUnknown, Raced."""
    product_id, body = request.path["product_id"], request.body
    await commands.edit(
        tx,
        product_id,
        version_check(request),
        fields_of(body),
        body.metadata,
        body.wishes(),
        body.price,
        request.cause,
    )
    product = await queries.read_product(tx, product_id)
    return answer_with(product, product.version)


async def archive_product(request: Request[None, None], _desk: Desk, tx: Tx) -> None:
    """Sell a product no longer. Errors: NoSuchProduct, Stale."""
    await commands.archive(tx, request.path["product_id"], version_check(request), request.cause)


async def _create(request: Request[CreateProduct, None], db: Database) -> tuple[Created, bool]:
    """The product, and whether it is the answer to an earlier request with the same key."""
    for attempt in range(1, TRIES + 1):
        try:
            async with db.transaction() as tx:
                return await _create_once(request, tx)
        except Raced:
            if attempt == TRIES:
                raise
    raise AssertionError("unreachable")


async def _create_once(request: Request[CreateProduct, None], tx: Tx) -> tuple[Created, bool]:
    key = request.idempotency_key
    if key is None:
        return await _create_in(request, tx), False
    scope = idempotency.scope_of(request.caller.user_id, "POST", PATH)
    stored = await idempotency.claim(tx, scope, key, request.body_hash)
    if stored is not None:
        return msgspec.json.decode(stored.body or b"", type=Created), True
    created = await _create_in(request, tx)
    idempotency.store(tx, scope, key, request.body_hash, render(created, 201))
    return created, False


async def _create_in(request: Request[CreateProduct, None], tx: Tx) -> Created:
    body = request.body
    fields = fields_of(body)
    name, handle = fields.pop("name"), fields.pop("handle", None)
    fields["metadata"] = editing.merged({}, body.metadata)
    product_id = await commands.create(tx, name, handle, fields, body.wishes(), body.price, request.cause)
    return await _created(tx, product_id)


async def _created(db: Database | Tx, product_id: str) -> Created:
    product = await queries.read_stored(db, product_id)
    return Created(product_id=product_id, **shown(product, staff=True))


def _wanted(query: ProductQuery) -> Wanted:
    return Wanted(
        limit=query.limit,
        q=query.q.strip() or None,
        category=query.category,
        min_price=query.min_price,
        max_price=query.max_price,
        currency=query.currency,
        vendor=query.vendor,
        tags=query.tag,
        handle=query.handle,
        sku=query.sku,
        status=None if query.status == "all" else query.status,
        in_stock=query.in_stock,
        sort=query.sort,
        after=query.starting_after,
        before=query.ending_before,
    )


def _is_staff(request: Request[Any, Any]) -> bool:
    caller = request.caller_or_none
    return caller is not None and caller.may("product:read")
