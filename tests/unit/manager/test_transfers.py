from __future__ import annotations

from wq_package.manager.state.transfers import (
    DOWNLOADS,
    LONGEST_FETCH,
    MANAGER,
    MANAGER_UPLOADS,
    MOST_FAILURES,
    MOST_WANTED,
    PEER_UPLOADS,
    PeerPlace,
    TransferBook,
)
from wq_package.task import Environment

ENVIRONMENT = Environment("e" * 64, "env.tar.zst")


def make_book(*numbers: int, holder: int | None = None) -> TransferBook:
    book = TransferBook()
    for number in numbers:
        book.add_peer(number, PeerPlace(f"10.0.0.{number}", 1000 + number, f"secret {number}"))
    if holder is not None:
        hold(book, holder, "a")
    return book


def hold(book: TransferBook, number: int, digest: str) -> None:
    """Let a worker get a layer from the manager, and pass it on."""
    book.want(number, digest, ENVIRONMENT)
    assert assign(book) == [(number, digest, MANAGER)]
    book.note_stored(number, digest, is_served=True)


def assign(book: TransferBook) -> list[tuple[int, str, int]]:
    return [(each.target, each.digest, each.source) for each in book.assign(0.0)]


def test_assign__nobody_has_it__the_manager_sends_few_at_once() -> None:
    numbers = range(1, MANAGER_UPLOADS + 3)
    book = make_book(*numbers)
    for number in numbers:
        book.want(number, "a", ENVIRONMENT)
    assert assign(book) == [(number, "a", MANAGER) for number in numbers[:MANAGER_UPLOADS]]
    book.note_stored(1, "a", is_served=False)
    assert assign(book) == [(MANAGER_UPLOADS + 1, "a", MANAGER)]
    book.note_stored(2, "a", is_served=True)
    assert assign(book) == [(MANAGER_UPLOADS + 2, "a", 2)]


def test_assign__somebody_has_it__is_asked_first_but_not_for_too_much() -> None:
    numbers = range(2, PEER_UPLOADS + 3)
    book = make_book(1, *numbers, holder=1)
    for number in numbers:
        book.want(number, "a", ENVIRONMENT)
    *first, last = assign(book)
    assert first == [(number, "a", 1) for number in numbers[:PEER_UPLOADS]]
    assert last == (PEER_UPLOADS + 2, "a", MANAGER)


def test_assign__several_layers__the_rarest_goes_first() -> None:
    book = make_book(1, 2, 3)
    for number in (1, 2):
        for layer in "abc":
            book.want(number, layer, ENVIRONMENT)
    assert [digest for _, digest, _ in assign(book)] == ["a", "b", "c", "a"]


def test_assign__stored_but_not_passed_on__is_no_source() -> None:
    book = make_book(1, 2)
    book.note_stored(1, "a", is_served=False)
    book.want(2, "a", ENVIRONMENT)
    assert assign(book) == [(2, "a", MANAGER)]


def test_note_failed__source_is_not_asked_again_by_the_same_worker() -> None:
    book = make_book(1, 2, holder=1)
    book.want(2, "a", ENVIRONMENT)
    assert assign(book) == [(2, "a", 1)]
    assert book.note_failed(2, "a", is_damaged=False) is None
    assert assign(book) == [(2, "a", MANAGER)]
    hold(book, 1, "b")
    book.want(2, "b", ENVIRONMENT)
    assert assign(book) == [(2, "b", MANAGER)]


def test_note_failed__source_lied__nobody_asks_it_again() -> None:
    book = make_book(1, 2, 3, holder=1)
    book.want(2, "a", ENVIRONMENT)
    assign(book)
    assert book.note_failed(2, "a", is_damaged=True) == 1
    book.want(3, "a", ENVIRONMENT)
    assert {source for _, _, source in assign(book)} == {MANAGER}


def test_note_failed__worker_that_accuses_everybody__is_believed_once() -> None:
    book = make_book(1, 2, 3, 4)
    for source in (1, 2):
        hold(book, source, str(source))
    for source in (1, 2):
        book.want(3, str(source), ENVIRONMENT)
        assert (3, str(source), source) in assign(book)
        assert book.note_failed(3, str(source), is_damaged=True) == (1 if source == 1 else None)
    book.want(4, "2", ENVIRONMENT)
    assert (4, "2", 2) in assign(book)


def test_note_failed__nobody_reaches_a_source__it_is_given_up() -> None:
    book = make_book(1, *range(2, MOST_FAILURES + 3), holder=1)
    for number in range(2, MOST_FAILURES + 2):
        book.want(number, "a", ENVIRONMENT)
        assert (number, "a", 1) in assign(book)
        book.note_failed(number, "a", is_damaged=False)
    book.want(MOST_FAILURES + 2, "a", ENVIRONMENT)
    assert {source for _, _, source in assign(book)} == {MANAGER}


def test_note_failed__worker_reaches_nobody__it_asks_the_manager() -> None:
    sources = range(1, MOST_FAILURES + 2)
    book = make_book(*sources, 99)
    for source in sources:
        hold(book, source, f"layer {source}")
        book.want(99, f"layer {source}", ENVIRONMENT)
        assert assign(book) == [(99, f"layer {source}", source if source <= MOST_FAILURES else MANAGER)]
        book.note_failed(99, f"layer {source}", is_damaged=False)
        assign(book)
        book.note_stored(99, f"layer {source}", is_served=False)


def test_forget_wants__of_a_failed_environment__nothing_more_comes() -> None:
    book = make_book(1, 2, 3, holder=1)
    book.want(2, "a", ENVIRONMENT)
    book.want(2, "z", Environment("f" * 64, "other"))
    book.want(3, "a", ENVIRONMENT)
    assign(book)
    book.forget_wants(2, ENVIRONMENT.digest)
    assert book.note_failed(2, "a", is_damaged=False) is None
    assert assign(book) == []
    book.want(2, "a", ENVIRONMENT)
    assert assign(book) == [(2, "a", MANAGER)]


def test_forget_wants__that_wait__are_gone() -> None:
    numbers = range(1, MANAGER_UPLOADS + 2)
    book = make_book(*numbers)
    for number in numbers:
        book.want(number, "a", ENVIRONMENT)
    assign(book)
    book.forget_wants(numbers[-1], ENVIRONMENT.digest)
    book.note_stored(1, "a", is_served=True)
    assert assign(book) == []


def test_expire__manager_that_sent_long_ago__may_send_more_but_not_that() -> None:
    numbers = range(1, MANAGER_UPLOADS + 2)
    book = make_book(*numbers)
    for number in numbers:
        book.want(number, "a", ENVIRONMENT)
    assign(book)
    book.expire(LONGEST_FETCH + 1)
    assert assign(book) == [(numbers[-1], "a", MANAGER)]


def test_remove_peer__in_the_middle_of_everything__frees_what_it_held() -> None:
    book = make_book(1, 2, 3, holder=1)
    for number in (2, 3):
        book.want(number, "a", ENVIRONMENT)
    assert assign(book) == [(2, "a", 1), (3, "a", 1)]
    book.remove_peer(1)
    book.remove_peer(1)
    book.remove_peer(3)
    assert book.note_failed(2, "a", is_damaged=True) is None
    assert assign(book) == [(2, "a", MANAGER)]
    book.remove_peer(2)
    assert book.count_uploads(MANAGER) == 0
    assert book.note_failed(2, "a", is_damaged=False) is None


def test_want__twice__comes_once() -> None:
    book = make_book(1)
    book.want(1, "a", ENVIRONMENT)
    book.want(1, "a", ENVIRONMENT)
    assert assign(book) == [(1, "a", MANAGER)]
    book.want(1, "a", ENVIRONMENT)
    assert assign(book) == []


def test_note_stored__what_nobody_sent_it__does_not_fill_the_memory() -> None:
    book = make_book(1, 2)
    for number in range(100):
        book.note_stored(1, f"made up {number}", is_served=True)
    for number in range(100):
        book.want(1, f"wanted {number}", ENVIRONMENT)
        book.note_stored(1, f"wanted {number}", is_served=True)
    assert not book._holders
    assert not book._wants
    book.want(2, "wanted 1", ENVIRONMENT)
    assert assign(book) == [(2, "wanted 1", MANAGER)]


def test_want__absurdly_many_layers__is_refused_until_some_have_come() -> None:
    book = make_book(1)
    assert all(book.want(1, str(number), ENVIRONMENT) for number in range(MOST_WANTED))
    assert not book.want(1, "one more", ENVIRONMENT)
    assert book.want(1, "0", ENVIRONMENT), "this one it wants already"
    first = book.assign(0.0)[0]
    book.note_stored(1, first.digest, is_served=False)
    assert book.want(1, "one more", ENVIRONMENT)


def test_note_failed__nobody_reaches_a_source_but_one_did__it_is_not_given_up() -> None:
    book = make_book(1, *range(2, MOST_FAILURES + 4), holder=1)
    book.want(2, "a", ENVIRONMENT)
    assert assign(book) == [(2, "a", 1)]
    book.note_stored(2, "a", is_served=False)
    for number in range(3, MOST_FAILURES + 3):
        book.want(number, "a", ENVIRONMENT)
        assert (number, "a", 1) in assign(book)
        book.note_failed(number, "a", is_damaged=False)
    book.want(MOST_FAILURES + 3, "a", ENVIRONMENT)
    assert (MOST_FAILURES + 3, "a", 1) in assign(book)


def test_note_failed__worker_that_reached_somebody_before__asks_others_on() -> None:
    sources = range(1, MOST_FAILURES + 3)
    book = make_book(*sources, 99)
    for source in sources:
        hold(book, source, f"layer {source}")
        book.want(99, f"layer {source}", ENVIRONMENT)
        assert assign(book) == [(99, f"layer {source}", source)]
        if source > 1:
            book.note_failed(99, f"layer {source}", is_damaged=False)
            assert assign(book) == [(99, f"layer {source}", MANAGER)]
        book.note_stored(99, f"layer {source}", is_served=False)


def test_note_failed__of_what_nobody_is_sending__changes_nothing() -> None:
    numbers = range(1, MANAGER_UPLOADS + 2)
    book = make_book(*numbers)
    for number in numbers:
        book.want(number, "a", ENVIRONMENT)
    assign(book)
    assert book.note_failed(1, "a", is_damaged=True) is None, "it comes from the manager"
    assert book.note_failed(numbers[-1], "a", is_damaged=True) is None, "it waits"
    assert assign(book) == []


def test_assign__several_have_it__the_one_that_is_asked_least() -> None:
    book = make_book(1, 2, 3, 4, 5, holder=1)
    book.want(2, "a", ENVIRONMENT)
    assert assign(book) == [(2, "a", 1)]
    book.note_stored(2, "a", is_served=True)
    for target, source in ((3, 1), (4, 2), (5, 1)):
        book.want(target, "a", ENVIRONMENT)
        assert assign(book) == [(target, "a", source)]


def test_assign__one_worker_wants_many__few_at_once_are_on_their_way_to_it() -> None:
    book = make_book(1)
    for digest in "abcdefgh":
        book.want(1, digest, ENVIRONMENT)
    assert len(assign(book)) == DOWNLOADS
    book.note_stored(1, "a", is_served=False)
    assert len(assign(book)) == 1
