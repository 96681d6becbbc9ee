"""Product over HTTP."""

from typing import Final

from tradepost.kernel.http.endpoint import Endpoint, Idempotency, delete, get, patch, post, public, staff
from tradepost.services.product.api.categories import (
    create_category,
    delete_category,
    edit_category,
    list_categories,
    read_category,
)
from tradepost.services.product.api.exports import export_products
from tradepost.services.product.api.imports import import_products
from tradepost.services.product.api.products import (
    archive_product,
    create_product,
    edit_product,
    list_products,
    read_product,
)

READ: Final = staff("product:read")
WRITE: Final = staff("product:write")

endpoints: Final[tuple[Endpoint, ...]] = (
    post("/product/products", create_product, access=WRITE, idempotency=Idempotency.OWN, status=201),
    get("/product/products", list_products, access=public),
    get("/product/products/{product_id}", read_product, access=public),
    patch("/product/products/{product_id}", edit_product, access=WRITE),
    delete("/product/products/{product_id}", archive_product, access=WRITE),
    post("/product/categories", create_category, access=WRITE, status=201),
    get("/product/categories", list_categories, access=public),
    get("/product/categories/{category_id}", read_category, access=public),
    patch("/product/categories/{category_id}", edit_category, access=WRITE),
    delete("/product/categories/{category_id}", delete_category, access=WRITE),
    post("/product/imports", import_products, access=WRITE, idempotency=Idempotency.IGNORED),
    get("/product/exports", export_products, access=READ),
)
