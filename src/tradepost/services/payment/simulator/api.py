"""Where the owner of a test card confirms a charge: a page for people, and what its buttons call."""

from html import escape
from string import Template
from typing import Final

import msgspec

from tradepost.kernel.errors import NotFound
from tradepost.kernel.http.body import Body
from tradepost.kernel.http.endpoint import Idempotency, Page, Request, get, post, public
from tradepost.kernel.money import CURRENCIES, to_major
from tradepost.services.payment.desk import Desk
from tradepost.services.payment.simulator.bank import CONFIRM_PATH, Charge


class Decision(Body, frozen=True, kw_only=True):
    """What the card's owner says."""

    approve: bool


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """How the charge stands then; `reason` is the decline code."""

    charge_id: str
    status: str
    reason: str | None


_PAGE: Final = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Confirm your payment</title>
<style>
  body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 26rem; margin: 15vh auto; padding: 0 1rem; color: #222 }
  strong { display: block; font-size: 2rem }
  button { font: inherit; padding: .6rem 1.4rem; margin-right: .6rem; border: 1px solid #888; border-radius: .4rem }
  button[value=true] { background: #145a32; border-color: #145a32; color: #fff }
</style>
<p>The bank of this test card asks: do you approve this payment?</p>
<p><strong>$amount</strong></p>
<p id="decision"><button value="true">Approve</button><button value="false">Decline</button></p>
<p id="status" role="status">$status</p>
<script>
  const status = document.getElementById("status"), decision = document.getElementById("decision");
  const show = (text) => { status.textContent = text; decision.hidden = text !== "requires_action"; };
  show(status.textContent);
  decision.addEventListener("click", async (event) => {
    if (!event.target.value) return;
    const answer = await fetch("$action", {
      method: "POST",
      headers: {"Content-Type": "application/json"},
      body: JSON.stringify({approve: event.target.value === "true"}),
    });
    if (answer.ok) show((await answer.json()).status);
  });
</script>
</html>
""")


async def show(request: Request[None, None], desk: Desk) -> Page:
    """The page that a payment's `action_url` names."""
    charge = _known(await desk.simulator.look(request.path["charge_id"]))
    amount = to_major(charge.amount, charge.currency) if charge.currency in CURRENCIES else str(charge.amount)
    action = f"/payment/simulator/charges/{charge.id}/confirm"
    return Page(_PAGE.substitute(amount=escape(f"{amount} {charge.currency}"), status=charge.state, action=action))


async def confirm(request: Request[Decision, None], desk: Desk) -> Decided:
    """Approve or decline; the first decision counts."""
    charge = _known(await desk.simulator.confirm(request.path["charge_id"], approve=request.body.approve))
    return Decided(charge_id=charge.id, status=charge.state, reason=charge.reason)


def _known(charge: Charge | None) -> Charge:
    if charge is None:
        raise NotFound("There is no charge of this id.")
    return charge


endpoints: Final = (
    get(CONFIRM_PATH + "/{charge_id}", show, access=public),
    post("/payment/simulator/charges/{charge_id}/confirm", confirm, access=public, idempotency=Idempotency.IGNORED),
)
