"""The rules of payments: nobody is charged twice or refunded too much, and everything comes to an end."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradepost.contracts.payment import (
    PaymentCaptured,
    PaymentFailed,
    PaymentRefunded,
    PaymentRefundFailed,
    PaymentRefundWaived,
    PaymentVoided,
)
from tradepost.kernel.events import Cause
from tradepost.kernel.ids import new_id
from tradepost.services.payment.domain import failed_refund
from tradepost.services.payment.domain import payment as rules
from tradepost.services.payment.domain import refund as refund_rules
from tradepost.services.payment.domain.keys import (
    cancel_refund_key,
    charge_key,
    order_of,
    retry_key,
    return_refund_key,
    staff_refund_key,
)
from tradepost.services.payment.domain.ledger import Account
from tradepost.services.payment.domain.model import (
    LOOK_AGAIN_S,
    Closed,
    Payment,
    Refund,
    RefundStatus,
    Status,
    Step,
    Task,
    pause_s,
)
from tradepost.services.payment.domain.report import ChargeReport, ChargeState, RefundReport, RefundState

CAUSE = Cause("story")
AMOUNT = 2_000
OPEN = {ChargeState.PROCESSING, ChargeState.REQUIRES_ACTION, ChargeState.AUTHORIZED}


def fresh(amount: int = AMOUNT, **changes: object) -> Payment:
    made = Payment(id="payment", order_id="order", amount=amount, currency="USD", method="pm_card_visa", cause=CAUSE)
    return msgspec.structs.replace(made, **changes)


def said(state: ChargeState, reason: str | None = None) -> ChargeReport:
    return ChargeReport(key=charge_key("order"), state=state, reference="ch_1", reason=reason)


@dataclass
class Bank:
    """A provider that is idempotent by key, evolves by itself, and whose words may be lost, late or repeated."""

    charges: dict[str, ChargeState] = field(default_factory=dict)
    refunds: dict[str, tuple[int, RefundState]] = field(default_factory=dict)

    def word(self, key: str) -> ChargeReport:
        return ChargeReport(key=key, state=self.charges.get(key, ChargeState.MISSING), reference="ch_1")

    def refund_word(self, key: str) -> RefundReport:
        _, state = self.refunds.get(key, (0, RefundState.MISSING))
        return RefundReport(key=key, state=state, reference=None if state is RefundState.MISSING else f"re_{key}")


@dataclass
class World:
    """A payment, its provider, and the words that are under way between them."""

    step: Step
    bank: Bank = field(default_factory=Bank)
    under_way: list[ChargeReport | RefundReport] = field(default_factory=list)
    asleep: bool = False  # a sender, between its claim and the provider

    def send(self, begins: ChargeState, refund_begins: RefundState) -> None:
        """What the sender does in a round; the answers are on their way."""
        payment = self.step.payment
        key = charge_key(payment.order_id)
        if payment.task is Task.CHARGE:
            self.move(lambda now: Step(payment=msgspec.structs.replace(now, status=Status.PROCESSING)))
            self.bank.charges.setdefault(key, begins)
        if payment.task is Task.VOID and self.bank.charges.get(key) in OPEN:
            self.bank.charges[key] = ChargeState.VOIDED
        if payment.task is not None:
            self.under_way = [word for word in self.under_way if not self.is_no_news(word)]  # it is over by now
            self.under_way.append(self.bank.word(key))
        if payment.status is Status.VOIDED:  # nobody sleeps so long
            self.asleep = False
        for refund in list(self.step.refunds.values()):
            if refund.task is Task.REFUND:
                self.bank.refunds.setdefault(refund.key, (refund.amount, refund_begins))
            if refund.task is not None:
                self.under_way.append(self.bank.refund_word(refund.key))

    def fall_asleep(self) -> None:
        """A sender claims and stands still."""
        if self.step.payment.task is Task.CHARGE:
            self.move(lambda now: Step(payment=msgspec.structs.replace(now, status=Status.PROCESSING)))
            self.asleep = True

    def wake_up(self, begins: ChargeState) -> None:
        """It charges after all, and dies before it tells."""
        if self.asleep:
            self.bank.charges.setdefault(charge_key("order"), begins)
        self.asleep = False

    def evolve(self, charge: ChargeState, refund: RefundState) -> None:
        """The bank makes up its mind, and tells; what had gone back may fail after all."""
        for key, state in self.bank.charges.items():
            if state in OPEN:
                self.bank.charges[key] = charge
                self.under_way.append(self.bank.word(key))
        for key, (amount, before) in self.bank.refunds.items():
            if before is RefundState.PENDING or (before, refund) == (RefundState.SUCCEEDED, RefundState.FAILED):
                self.bank.refunds[key] = (amount, refund)
                self.under_way.append(self.bank.refund_word(key))

    def hear(self, index: int, *, keep: bool) -> None:
        """One of the words arrives; with `keep` it will come again."""
        if not self.under_way:
            return
        index %= len(self.under_way)
        word = self.under_way[index]
        if not keep or self.is_no_news(word):
            self.under_way.pop(index)
        if isinstance(word, ChargeReport):
            self.move(partial(rules.hear, report=word, refund_id="cancel"))
        else:
            refund = next(refund for refund in self.step.refunds.values() if refund.key == word.key)
            self.move(partial(refund_rules.hear, refund=refund, report=word))

    @staticmethod
    def is_no_news(word: ChargeReport | RefundReport) -> bool:
        """That there is no charge is only ever an answer, which comes once and before anybody asks again."""
        return word.state is ChargeState.MISSING

    def lose(self, index: int) -> None:
        """A word gets lost. Not that a refund failed: providers repeat their webhooks until they are taken, and after
        a success nobody asks any more."""
        if self.under_way and self.under_way[index % len(self.under_way)].state is not RefundState.FAILED:
            self.under_way.pop(index % len(self.under_way))

    def cancel(self) -> None:
        self.move(partial(rules.cancel, cause=CAUSE, refund_id="cancel"))

    def refund(self, amount: int) -> None:
        refund_id = f"staff-{len(self.step.refunds)}"
        before = self.step
        try:
            self.move(
                partial(
                    refund_rules.start,
                    refund_id=refund_id,
                    key=staff_refund_key("order", refund_id),
                    amount=amount,
                    reason="goodwill",
                    cause=CAUSE,
                )
            )
        except refund_rules.RefundExceedsCaptured:
            assert amount > before.payment.refundable
            assert self.step is before

    @property
    def failed(self) -> list[Refund]:
        """Refunds that wait for staff."""
        return [one for one in self.step.refunds.values() if one.status is RefundStatus.FAILED and one.closed is None]

    @property
    def outside(self) -> int:
        """What buyers got in another way than by the bank."""
        return sum(entry.amount for entry in self.step.entries if entry.credit is Account.PAID_OUTSIDE)

    def deal_with(self, index: int, how: Closed) -> None:
        """Staff do something about one of the refunds that failed."""
        if not self.failed:
            return
        refund, before = self.failed[index % len(self.failed)], self.step
        asked: dict[str, Any] = {"refund": refund, "cause": CAUSE}
        new: dict[str, Any] = {"refund_id": f"{how}-{len(self.step.refunds)}"}
        try:
            match how:
                case Closed.RETRIED:
                    self.move(partial(failed_refund.retry, **asked, **new))
                case Closed.PAID_OUTSIDE:
                    self.move(partial(failed_refund.pay_outside, **asked, **new, note="by hand"))
                case Closed.WAIVED:
                    self.move(partial(failed_refund.give_up, **asked, note="nobody there"))
        except refund_rules.RefundExceedsCaptured:
            assert before.payment.refundable == 0
            assert self.step is before

    def move(self, move: Callable[[Payment], Step]) -> None:
        self.step = self.step.then(move)
        self.check()

    def check(self) -> None:
        payment = self.step.payment
        facts = [fact for fact, _ in self.step.facts]
        refunded = {fact.refund_id: fact.amount for fact in facts if isinstance(fact, PaymentRefunded)}
        failed = {fact.refund_id: fact for fact in facts if isinstance(fact, PaymentRefundFailed)}
        told = [fact.refunded_total for fact in facts if isinstance(fact, PaymentRefunded | PaymentRefundFailed)]
        causes = [entry.cause for entry in self.step.entries]
        assert 0 <= payment.refunded + payment.refunding <= payment.captured <= payment.amount
        assert sum(isinstance(fact, PaymentCaptured) for fact in facts) <= 1
        assert len(self.bank.charges) <= 1
        assert len(refunded) + len(failed) == len(told)
        assert failed.keys() == {one.id for one in self.step.refunds.values() if one.status is RefundStatus.FAILED}
        assert {refund_id for refund_id, fact in failed.items() if fact.was_refunded} == failed.keys() & refunded.keys()
        assert [0, *told][-1] == payment.refunded == sum(refunded[one] for one in refunded.keys() - failed.keys())
        keys = [one.key for one in self.step.refunds.values()]
        assert len(keys) == len(set(keys))
        assert len(causes) == len(set(causes))
        assert payment.version == len(facts)
        given_back = sum(amount for amount, state in self.bank.refunds.values() if state is not RefundState.FAILED)
        assert given_back + self.outside <= AMOUNT

    def come_to_an_end(self, charge: ChargeState) -> None:
        """Nothing is lost any more."""
        for _ in range(20):
            self.send(ChargeState.CAPTURED, RefundState.SUCCEEDED)
            for key, state in self.bank.charges.items():
                if state in OPEN:
                    self.bank.charges[key] = charge
            for key, (amount, refund) in self.bank.refunds.items():
                if refund is RefundState.PENDING:
                    self.bank.refunds[key] = (amount, RefundState.SUCCEEDED)
            while self.under_way:
                self.hear(0, keep=False)


begins = st.sampled_from([*OPEN, ChargeState.CAPTURED, ChargeState.DECLINED])
ends = st.sampled_from([ChargeState.CAPTURED, ChargeState.DECLINED, ChargeState.AUTHORIZED, ChargeState.VOIDED])
refund_states = st.sampled_from([RefundState.PENDING, RefundState.SUCCEEDED, RefundState.FAILED])
index = st.integers(0, 9)
actions = st.one_of(
    st.builds(partial, st.just(World.send), begins=begins, refund_begins=refund_states),
    st.builds(partial, st.just(World.evolve), charge=ends, refund=refund_states),
    st.builds(partial, st.just(World.hear), index=index, keep=st.booleans()),
    st.builds(partial, st.just(World.lose), index=index),
    st.just(World.cancel),
    st.just(World.fall_asleep),
    st.builds(partial, st.just(World.wake_up), begins=begins),
    st.builds(partial, st.just(World.refund), amount=st.integers(1, AMOUNT + 1)),
    st.builds(partial, st.just(World.deal_with), index=index, how=st.sampled_from(Closed)),
)

_ROUND = [
    partial(World.send, begins=ChargeState.CAPTURED, refund_begins=RefundState.SUCCEEDED),
    partial(World.hear, index=0, keep=False),
]
PAID = _ROUND
GIVEN_UP = [partial(World.fall_asleep), partial(World.cancel), *_ROUND]
PAID_AND_PARTLY_REFUNDED = [*_ROUND, partial(World.refund, amount=500), *_ROUND]
PAID_AND_SENT_BACK = [
    *PAID_AND_PARTLY_REFUNDED,
    partial(World.evolve, charge=ChargeState.CAPTURED, refund=RefundState.FAILED),
    partial(World.hear, index=0, keep=False),
]
# The share of a refund under way is left out of what a cancellation gives back, and then it fails.
CANCELLED_BESIDE_A_REFUND_THAT_FAILS = [
    *_ROUND,
    partial(World.refund, amount=500),
    World.cancel,
    partial(World.send, begins=ChargeState.CAPTURED, refund_begins=RefundState.FAILED),
]


@settings(max_examples=400)
@given(
    st.booleans(),
    st.sampled_from(
        [[], PAID, PAID_AND_PARTLY_REFUNDED, GIVEN_UP, PAID_AND_SENT_BACK, CANCELLED_BESIDE_A_REFUND_THAT_FAILS]
    ),
    st.lists(actions, max_size=20),
    st.sampled_from([ChargeState.CAPTURED, ChargeState.DECLINED]),
)
def test_in_any_order_of_facts_money_moves_once_and_everything_settles(
    cancelled_first: bool, before: list["partial[None]"], happened: list["partial[None]"], end: ChargeState
) -> None:
    world = World(rules.request(fresh(cancelled=cancelled_first)))
    for action in before + happened:
        action(world)

    world.come_to_an_end(end)

    payment, refunds = world.step.payment, world.step.refunds.values()
    assert payment.task is None
    assert all(refund.task is None for refund in refunds)
    assert payment.refunding == 0
    charged = world.bank.charges.get(charge_key("order"))
    assert (payment.captured == AMOUNT) == (charged is ChargeState.CAPTURED)
    given_back = [amount for amount, state in world.bank.refunds.values() if state is RefundState.SUCCEEDED]
    assert payment.refunded == sum(given_back) + world.outside
    assert owed(payment) == 0 or world.failed or any(refund.closed is Closed.WAIVED for refund in refunds)
    receivable = sum(
        entry.amount if entry.debit is Account.PROVIDER_RECEIVABLE else -entry.amount
        for entry in world.step.entries
        if Account.PROVIDER_RECEIVABLE in (entry.debit, entry.credit)
    )
    assert receivable == payment.captured - payment.refunded + world.outside

    waived = any(refund.closed is Closed.WAIVED for refund in refunds)
    while world.failed and world.step.payment.refundable:
        world.deal_with(0, Closed.RETRIED)
        world.come_to_an_end(end)
    assert waived or owed(world.step.payment) == 0


def owed(payment: Payment) -> int:
    """What a cancelled order's buyer has not got back."""
    return payment.captured - payment.refunded if payment.cancelled else 0


def failed(**changes: object) -> Refund:
    made = Refund(
        id="r", key=cancel_refund_key("order"), amount=500, currency="USD", reason="cancelled", cause=CAUSE,
        status=RefundStatus.FAILED,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


PAID_PAYMENT = fresh(status=Status.CAPTURED, captured=AMOUNT, cancelled=True, version=3)


def test_a_refund_that_failed_is_sent_once_more_under_a_key_of_its_own() -> None:
    step = failed_refund.retry(PAID_PAYMENT, failed(return_id="back"), refund_id="r2", cause=CAUSE)

    assert step.refunds["r"].closed is Closed.RETRIED
    again = step.refunds["r2"]
    assert (again.key, again.amount, again.return_id) == ("order:order:cancel-refund:2", 500, "back")
    assert (again.status, again.task, step.payment.refunding) == (RefundStatus.PENDING, Task.REFUND, 500)
    assert step.facts == ()


def test_what_is_sent_once_more_is_no_more_than_what_is_left() -> None:
    other_way = msgspec.structs.replace(PAID_PAYMENT, refunded=1_800)
    assert failed_refund.retry(other_way, failed(), refund_id="r2", cause=CAUSE).payment.refunding == 200
    with pytest.raises(refund_rules.RefundExceedsCaptured):
        failed_refund.retry(
            msgspec.structs.replace(PAID_PAYMENT, refunded=AMOUNT), failed(), refund_id="r2", cause=CAUSE
        )


def test_what_was_paid_in_another_way_is_booked_as_such() -> None:
    step = failed_refund.pay_outside(PAID_PAYMENT, failed(), refund_id="r2", note="SEPA 1", cause=CAUSE)

    assert (step.payment.refunding, step.payment.refunded, step.payment.version) == (0, 500, 4)
    assert [(entry.debit, entry.credit, entry.amount) for entry in step.entries] == [
        (Account.REFUNDS, Account.PAID_OUTSIDE, 500)
    ]
    paid = step.refunds["r2"]
    assert (paid.status, paid.task, paid.reference) == (RefundStatus.SUCCEEDED, None, "outside: SEPA 1")
    assert [type(fact) for fact, _ in step.facts] == [PaymentRefunded]
    assert step.refunds["r"].closed is Closed.PAID_OUTSIDE


def test_what_is_waived_moves_no_money() -> None:
    step = failed_refund.give_up(PAID_PAYMENT, failed(return_id="back"), note="not owed", cause=CAUSE)

    assert step.payment == msgspec.structs.replace(PAID_PAYMENT, version=4)
    assert [fact for fact, _ in step.facts] == [
        PaymentRefundWaived(order_id="order", payment_id="payment", reason="not owed", return_id="back", refund_id="r")
    ]
    assert step.refunds == {"r": failed(return_id="back", closed=Closed.WAIVED)}


@pytest.mark.parametrize(
    "refund",
    [
        *(failed(status=status) for status in RefundStatus if status is not RefundStatus.FAILED),
        *(failed(closed=how) for how in Closed),
    ],
    ids=lambda one: one.closed or one.status,
)
def test_only_a_refund_that_failed_is_dealt_with_and_once(refund: Refund) -> None:
    for deal in (
        partial(failed_refund.retry, refund_id="r2"),
        partial(failed_refund.pay_outside, refund_id="r2", note="x"),
        partial(failed_refund.give_up, note="x"),
    ):
        with pytest.raises(failed_refund.NotOpen) as refused:
            deal(PAID_PAYMENT, refund, cause=CAUSE)
        assert refused.value.error == "refund_not_failed"


@pytest.mark.parametrize(
    "key",
    [cancel_refund_key("order"), return_refund_key("order", new_id()), staff_refund_key("order", new_id())],
    ids=["cancel", "return", "staff"],
)
def test_each_attempt_has_its_key(key: str) -> None:
    assert [retry_key(key), retry_key(retry_key(key))] == [f"{key}:2", f"{key}:3"]
    assert order_of(retry_key(key)) == "order"


@pytest.mark.parametrize(
    ("status", "cancelled", "state", "to", "facts"),
    [
        (Status.PROCESSING, False, ChargeState.CAPTURED, Status.CAPTURED, [PaymentCaptured]),
        (Status.PROCESSING, False, ChargeState.DECLINED, Status.FAILED, [PaymentFailed]),
        (Status.PROCESSING, True, ChargeState.DECLINED, Status.FAILED, [PaymentFailed]),
        (Status.PROCESSING, True, ChargeState.REQUIRES_ACTION, Status.REQUIRES_ACTION, []),
        (Status.PROCESSING, True, ChargeState.MISSING, Status.VOIDED, [PaymentVoided]),
        (Status.PROCESSING, False, ChargeState.MISSING, Status.PROCESSING, []),
        (Status.AUTHORIZED, True, ChargeState.VOIDED, Status.VOIDED, [PaymentVoided]),
        (Status.AUTHORIZED, False, ChargeState.VOIDED, Status.FAILED, [PaymentFailed]),
        (Status.AUTHORIZED, False, ChargeState.REQUIRES_ACTION, Status.AUTHORIZED, []),
        (Status.CAPTURED, False, ChargeState.AUTHORIZED, Status.CAPTURED, []),
        (Status.CAPTURED, False, ChargeState.CAPTURED, Status.CAPTURED, []),
        (Status.CAPTURED, False, ChargeState.DECLINED, Status.CAPTURED, []),
        (Status.FAILED, True, ChargeState.CAPTURED, Status.CAPTURED, [PaymentCaptured]),
        (Status.VOIDED, True, ChargeState.CAPTURED, Status.CAPTURED, [PaymentCaptured]),
        (Status.VOIDED, True, ChargeState.DECLINED, Status.VOIDED, []),
    ],
)
def test_each_pair_of_state_and_word_has_one_outcome(
    status: Status, cancelled: bool, state: ChargeState, to: Status, facts: list[type]
) -> None:
    captured = AMOUNT if status is Status.CAPTURED else 0

    step = rules.hear(fresh(status=status, cancelled=cancelled, captured=captured), said(state, "lost_card"), "r")

    assert step.payment.status is to
    assert [type(fact) for fact, _ in step.facts] == facts
    gives_back = cancelled and state is ChargeState.CAPTURED and captured == 0
    assert [refund.key for refund in step.refunds.values()] == (["order:order:cancel-refund"] if gives_back else [])


@pytest.mark.parametrize(
    ("status", "to", "task"),
    [
        (Status.PENDING, Status.VOIDED, None),
        (Status.PROCESSING, Status.PROCESSING, Task.FIND),
        (Status.REQUIRES_ACTION, Status.REQUIRES_ACTION, Task.VOID),
        (Status.AUTHORIZED, Status.AUTHORIZED, Task.VOID),
        (Status.FAILED, Status.FAILED, None),
        (Status.VOIDED, Status.VOIDED, None),
    ],
)
def test_a_cancellation_is_remembered_and_asks_for_what_is_needed(
    status: Status, to: Status, task: Task | None
) -> None:
    step = rules.cancel(fresh(status=status), CAUSE, new_id())

    assert (step.payment.status, step.payment.cancelled, step.payment.task) == (to, True, task)
    assert step.refunds == {}


def test_a_cancellation_gives_back_only_what_is_not_on_its_way_back_yet() -> None:
    paid = fresh(status=Status.CAPTURED, captured=AMOUNT, refunded=300, refunding=200)

    step = rules.cancel(paid, CAUSE, "r").then(partial(rules.cancel, cause=CAUSE, refund_id="again"))

    assert [(refund.key, refund.amount) for refund in step.refunds.values()] == [("order:order:cancel-refund", 1_500)]
    assert step.payment.refunding == 1_700


def test_a_payment_of_nothing_is_captured_without_a_provider() -> None:
    step = rules.request(fresh(amount=0))

    assert (step.payment.status, step.payment.task, step.payment.version) == (Status.CAPTURED, None, 1)
    assert [fact.transaction_id for fact, _ in step.facts if isinstance(fact, PaymentCaptured)] == ["free"]
    assert step.entries == ()


def test_what_stays_unanswered_is_asked_again_later_and_later() -> None:
    pauses = [pause_s(Task.CHARGE, Task.CHARGE, attempts) for attempts in (1, 2, 3, 7, 1_000)]

    assert pauses == [1.0, 2.0, 4.0, 60.0, 60.0]
    assert pause_s(None, Task.CHARGE, 0) == 0.0
    assert pause_s(Task.CHARGE, Task.FIND, 1) == 30.0
    assert pause_s(Task.FIND, Task.VOID, 1, at_least_s=LOOK_AGAIN_S) == 300.0
    assert pause_s(Task.FIND, None, 3) is None


def test_a_key_tells_its_order() -> None:
    assert order_of("order:42:charge:1") == "42"
    assert [order_of(key) for key in ("order:42", "cart:42:charge:1", "")] == [None, None, None]
