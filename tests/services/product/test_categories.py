"""Categories: a tree without rings, twins and orphans."""

import asyncio
from typing import Any

from tests.services.product.catalogue import Catalogue
from tradepost.kernel.ids import new_id

PATH = "/product/categories"


async def make(catalogue: Catalogue, name: str, parent_id: str | None = None) -> Any:
    response = await catalogue.staff.post(PATH, {"name": name, "parent_id": parent_id})
    assert response.status == 201, response.json
    return response.json


async def test_the_tree_is_read_as_it_was_made(catalogue: Catalogue) -> None:
    home = await make(catalogue, "Home")
    kitchen = await make(catalogue, "Kitchen", home["category_id"])
    await make(catalogue, "mugs", kitchen["id"])
    await make(catalogue, "Glasses", kitchen["id"])
    await make(catalogue, "apparel")

    tree = (await catalogue.everyone.get(PATH)).json
    below = (await catalogue.everyone.get(f"{PATH}/{kitchen['id']}")).json

    assert kitchen["category_id"] == kitchen["id"]
    assert [root["name"] for root in tree["data"]] == ["apparel", "Home"]
    assert tree["has_more"] is False
    assert [child["name"] for child in tree["data"][1]["children"][0]["children"]] == ["Glasses", "mugs"]
    assert (below["path"], below["parent_id"]) == (["Home", "Kitchen"], home["id"])
    assert [child["path"] for child in below["children"]] == [
        ["Home", "Kitchen", "Glasses"],
        ["Home", "Kitchen", "mugs"],
    ]
    first = (await catalogue.everyone.get(f"{PATH}?limit=1")).json
    second = (await catalogue.everyone.get(f"{PATH}?limit=1&starting_after={first['data'][0]['id']}")).json
    assert (first["has_more"], second["data"][0]["name"], second["has_more"]) == (True, "Home", False)
    back = (await catalogue.everyone.get(f"{PATH}?ending_before={home['id']}")).json
    assert [root["name"] for root in back["data"]] == ["apparel"]


async def test_names_are_unique_beside_one_another(catalogue: Catalogue) -> None:
    home = await make(catalogue, "Home")
    await make(catalogue, "Home", home["id"])

    assert (await catalogue.staff.post(PATH, {"name": "home"})).error == (409, "category_name_taken")
    assert (await catalogue.staff.post(PATH, {"name": "x", "parent_id": new_id()})).error == (422, "category_unknown")
    assert (await catalogue.staff.post(PATH, {"name": "a > b"})).status == 422
    assert await catalogue.db.fetchval("SELECT count(*) FROM category") == 2


async def test_a_category_never_lies_within_itself_even_when_two_move_at_once(catalogue: Catalogue) -> None:
    one, other = await make(catalogue, "One"), await make(catalogue, "Other")
    child = await make(catalogue, "Child", one["id"])

    refused = await catalogue.change("PATCH", f"{PATH}/{one['id']}", {"parent_id": child["id"]})
    itself = await catalogue.change("PATCH", f"{PATH}/{one['id']}", {"parent_id": one["id"]})
    raced = await asyncio.gather(
        catalogue.change("PATCH", f"{PATH}/{one['id']}", {"parent_id": other["id"]}),
        catalogue.change("PATCH", f"{PATH}/{other['id']}", {"parent_id": one["id"]}),
    )

    assert [refused.error, itself.error] == [(409, "category_cycle")] * 2
    assert sorted(response.status for response in raced) == [200, 409]


async def test_a_tree_has_a_limit(catalogue: Catalogue) -> None:
    ids: list[str | None] = [None]
    for level in range(20):
        ids.append((await make(catalogue, f"Level {level}", ids[-1]))["id"])
    loose = await make(catalogue, "Loose")

    assert (await catalogue.staff.post(PATH, {"name": "x", "parent_id": ids[-1]})).error == (409, "category_too_deep")
    moved = await catalogue.change("PATCH", f"{PATH}/{ids[1]}", {"parent_id": loose["id"]})
    assert moved.error == (409, "category_too_deep")


async def test_only_an_empty_category_goes(catalogue: Catalogue) -> None:
    home = await make(catalogue, "Home")
    kitchen = await make(catalogue, "Kitchen", home["id"])
    product = await catalogue.create(category_id=kitchen["id"])

    for category in (home, kitchen):
        refused = await catalogue.change("DELETE", f"{PATH}/{category['id']}")
        assert refused.error == (409, "category_not_empty")
    await catalogue.edit(product["id"], {"category_id": None})
    assert (await catalogue.change("DELETE", f"{PATH}/{kitchen['id']}")).status == 204
    assert (await catalogue.everyone.get(f"{PATH}/{kitchen['id']}")).error == (404, "category_not_found")
    assert (await catalogue.everyone.get(f"{PATH}/{home['id']}")).json["children"] == []


async def test_a_stale_rename_is_refused(catalogue: Catalogue) -> None:
    made = await catalogue.staff.post(PATH, {"name": "Home"})
    path = f"{PATH}/{made.json['id']}"

    renamed = await catalogue.change("PATCH", path, {"name": "House"}, if_match=made.headers["etag"])
    stale = await catalogue.change("PATCH", path, {"name": "Hut"}, if_match=made.headers["etag"])
    root = await catalogue.change("PATCH", path, {"parent_id": None})

    assert (renamed.status, renamed.json["name"], renamed.json["version"]) == (200, "House", 2)
    assert stale.error == (412, "stale_version")
    assert root.json["version"] == 2
