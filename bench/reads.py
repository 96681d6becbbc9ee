"""Reading: an order, my orders, a product, a search, each as a share of the bare echo of the same run.

python -m bench.reads [--quick] [--runs 3]
"""

from random import Random
from typing import Final

from bench import load
from bench.echo import open_echo
from bench.figures import Figure, Size, command
from bench.placing import place
from bench.shop import COLOURS, SEED, WORDS, Shop, filled_shop, get

KINDS: Final = ("order", "my_orders", "product", "search")
REQUESTS: Final = 1_000  # different ones of each kind
_ORDERS: Final = 'SELECT id::text AS id, user_id::text AS user_id FROM "order".orders ORDER BY id DESC LIMIT $1'
_PRODUCTS: Final = "SELECT id::text AS id FROM product.product ORDER BY id LIMIT $1"


def requests(shop: Shop) -> dict[str, list[tuple[bytes, bytes]]]:
    """By kind; orders are read by who placed them."""
    chance = Random(SEED)
    tokens = {user_id: shop.token(user_id) for user_id in shop.user_ids}
    orders = shop.fetch(_ORDERS, REQUESTS)
    products = [row["id"] for row in shop.fetch(_PRODUCTS, REQUESTS)]
    phrases = [f"{chance.choice(COLOURS)}+{chance.choice(WORDS)}" for _ in range(REQUESTS)]
    found = {
        "order": [get(f"/order/orders/{row['id']}", tokens[row["user_id"]]) for row in orders],
        "my_orders": [get("/order/orders?limit=10", token) for token in tokens.values()],
        "product": [get(f"/product/products/{product_id}") for product_id in products],
        "search": [get(f"/product/products?q={phrase}&limit=10") for phrase in phrases],
    }
    for each in found.values():
        chance.shuffle(each)
    return found


def read(shop: Shop, requests: list[tuple[bytes, bytes]], seconds: float) -> load.Outcome:
    """As fast as they are answered, at 64 connections."""
    return load.run(load.Plan(shop.ports, requests, seconds, watched=shop.watched)).only(200)


def measure(size: Size) -> list[Figure]:
    seconds = size.of(8, 2)
    with filled_shop() as shop, open_echo() as echo:
        place(shop, size.of(5, 1))  # something to read
        asked, found = requests(shop), []
        for kind in KINDS:
            base = echo.measure(seconds / 2)
            answered = read(shop, asked[kind], seconds)
            again = echo.measure(seconds / 2)
            beside = {
                "per_s": answered.per_s,
                "echo_per_s": (base.per_s + again.per_s) / 2,
                "cpu_us": answered.cpu_us("application"),
                "echo_us": (base.cpu_us("echo") + again.cpu_us("echo")) / 2,
            }
            found.append(Figure(f"read.{kind}", answered.per_s / beside["echo_per_s"], beside))
    return found


if __name__ == "__main__":
    command(__doc__, measure)
