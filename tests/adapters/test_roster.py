"""Who is up, and orders that reach them: whatever way a server ends, and whoever looks at the same moment."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from teller.adapters.ledger import Version
from teller.adapters.roster import Order, Report, Roster, Usage
from teller.errors import StoreError

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*use of fork\\(\\):DeprecationWarning"
)  # a child ends by os._exit or -9
VERSION = Version("banking-lora", "a" * 64)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "servers"


def test_who_has_a_seat_is_present_until_it_is_left(folder):
    roster = Roster(folder)
    assert roster.present() == ()
    one, two = roster.take_seat(), Roster(folder).take_seat()
    assert set(roster.present()) == {one.id, two.id}
    one.leave()
    assert roster.present() == (two.id,)
    two.leave()
    assert list(folder.iterdir()) == []


def test_a_server_that_was_killed_is_not_present_and_nothing_of_it_is_left(folder):
    roster = Roster(folder)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, Roster(folder).take_seat().id.encode())
        signal.pause()
    seat_id = os.read(read, 100).decode()
    for pipe in (read, write):
        os.close(pipe)
    assert roster.present() == (seat_id,)
    roster.order(seat_id, VERSION, 1.0)

    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)

    assert roster.present() == ()
    assert list(folder.iterdir()) == []


def test_an_order_is_given_once_to_its_server_alone_and_its_report_once_to_who_asked(folder):
    roster = Roster(folder)
    one, two = roster.take_seat(), roster.take_seat()
    order = roster.order(one.id, VERSION, 12.5)
    assert two.orders() == []
    assert one.orders() == [Order(order.id, VERSION, 12.5)]
    assert one.orders() == []
    assert roster.report(one.id, order) is None
    one.report(order, Report("no room"))
    assert roster.report(one.id, order) == Report("no room")
    assert roster.report(one.id, order) is None
    one.leave()
    two.leave()


def test_an_order_that_is_withdrawn_or_broken_reaches_nobody(folder):
    roster = Roster(folder)
    seat = roster.take_seat()
    roster.withdraw(seat.id, roster.order(seat.id, VERSION, 1.0))
    for number, text in enumerate(("", "{", "[]", '{"name": "x"}', '{"name": "x", "digest": "y", "deadline": "soon"}')):
        (folder / f"{seat.id}.{number}.order").write_text(text)
    assert seat.orders() == []
    seat.leave()


def test_seats_are_taken_while_others_look_for_abandoned_ones(folder):
    roster, is_over, lost = Roster(folder), threading.Event(), []

    def look() -> None:
        while not is_over.is_set():
            roster.present()

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for looker in lookers:
        looker.start()
    for _ in range(100):
        seat = Roster(folder).take_seat()
        if seat.id not in roster.present():
            lost.append(seat.id)
        seat.leave()
    is_over.set()
    for looker in lookers:
        looker.join()
    assert lost == []


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be made"):
        Roster(tmp_path / "file").take_seat()


def test_the_last_process_that_uses_a_version_is_the_one_to_unload_it(folder):
    one, two = Usage(folder), Usage(folder)
    assert one.begin("a@1")
    assert one.begin("a@1")
    assert two.begin("a@1")
    assert not one.end("a@1")
    assert two.end("a@1")
    assert not one.begin("a@1")  # it is being unloaded
    two.free("a@1")
    assert one.begin("a@1")
    assert one.end("a@1")
    one.free("a@1")
