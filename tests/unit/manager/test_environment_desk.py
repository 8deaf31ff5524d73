from __future__ import annotations

from manager_peers import connect, make_call
from wq_package.manager.state import ManagerState, StateOptions
from wq_package.manager.state import actions as a
from wq_package.manager.state import events as e
from wq_package.manager.state.transfers import LONGEST_FETCH, MOST_WANTED
from wq_package.protocol import messages as m
from wq_package.task import Environment

ENVIRONMENT = Environment("e" * 64, "env.tar.zst")


def make_state() -> ManagerState:
    state = ManagerState(StateOptions(peers=True))
    state.handle(*[e.Submitted(number, make_call(environment=ENVIRONMENT)) for number in range(1, 41)])
    return state


def say(state: ManagerState, worker: int, *messages: m.ToManager) -> list[a.Action]:
    return state.handle(*[e.Received(worker, message) for message in messages])


def join(state: ManagerState, number: int, *wanted: str) -> list[a.Action]:
    assert a.Send(number, m.ServePeers()) in connect(state, number)
    say(state, number, m.PeerAddress(7000 + number, f"secret {number}", "f1"))
    return say(state, number, m.LayersWanted(ENVIRONMENT.digest, wanted))


def test_layers_wanted__by_the_second_worker__come_from_the_first() -> None:
    state = make_state()
    assert join(state, 1, "a", "b") == [
        a.SendLayers(1, ENVIRONMENT, ("a",)),
        a.SendLayers(1, ENVIRONMENT, ("b",)),
    ]
    state.handle(e.TransferEnded(1), e.TransferEnded(1))
    say(state, 1, m.LayerStored("a", is_served=True), m.LayerStored("b", is_served=False))
    assert join(state, 2, "a", "b") == [
        a.SendLayers(2, ENVIRONMENT, ("b",)),
        a.Send(2, m.FetchLayer("a", "10.0.0.1", 7001, "secret 1", "f1")),
    ]
    assert say(state, 2, m.FetchFailed("a", "no route")) == [a.SendLayers(2, ENVIRONMENT, ("a",))]


def test_fetch_failed__because_the_source_lied__is_warned_of() -> None:
    state = make_state()
    join(state, 1, "a")
    say(state, 1, m.LayerStored("a", is_served=True))
    assert [type(action) for action in join(state, 2, "a")] == [a.Send]
    warning, sent = say(state, 2, m.FetchFailed("a", "another digest", is_damaged=True))
    assert isinstance(warning, a.Warn)
    assert "host1:worker-1" in warning.text
    assert sent == a.SendLayers(2, ENVIRONMENT, ("a",))


def test_worker__that_serves_nobody__gets_everything_from_the_manager() -> None:
    state = make_state()
    connect(state, 1)
    wanted = m.LayersWanted(ENVIRONMENT.digest, ("a", "b"))
    assert say(state, 1, wanted) == [a.SendLayers(1, ENVIRONMENT, ("a", "b"))]


def test_peer_address__that_was_not_asked_for__ends_the_worker() -> None:
    state = ManagerState(StateOptions())
    connect(state, 1)
    (dropped,) = say(state, 1, m.PeerAddress(7001, "secret"))
    assert isinstance(dropped, a.Drop)


def test_worker_lost__what_it_was_sending__comes_from_elsewhere_within_a_sweep() -> None:
    state = make_state()
    join(state, 1, "a")
    say(state, 1, m.LayerStored("a", is_served=True))
    join(state, 2, "a")
    state.handle(e.WorkerGone(1, "killed"))
    assert say(state, 2, m.FetchFailed("a", "it closed")) == [a.SendLayers(2, ENVIRONMENT, ("a",))]
    state.handle(e.WorkerGone(2, "killed"), e.TransferEnded(2))
    join(state, 3, "a")
    assert not [action for action in state.sweep() if isinstance(action, a.SendLayers)]


def test_environment_failed__its_layers__are_sent_no_more() -> None:
    state = make_state()
    for number in range(1, 7):
        join(state, number, "a")
    say(state, 5, m.EnvironmentFailed(ENVIRONMENT.digest, "too old"))
    freed = say(state, 1, m.EnvironmentFailed(ENVIRONMENT.digest, "too old"))
    assert a.SendLayers(6, ENVIRONMENT, ("a",)) in freed
    assert state.handle(e.TransferEnded(1)) == []


def test_layers_wanted__absurdly_many__ends_the_worker() -> None:
    state = make_state()
    sent = join(state, 1, *[f"{number:064x}" for number in range(MOST_WANTED + 1)])
    assert [type(action) for action in sent if isinstance(action, a.Drop)] == [a.Drop]


def test_layers_wanted__again_and_again_by_one_that_takes_none__ends_the_worker() -> None:
    state = make_state()
    connect(state, 1)
    wanted = m.LayersWanted(ENVIRONMENT.digest, tuple(f"{number:064x}" for number in range(MOST_WANTED // 4)))
    for _ in range(3):
        assert [type(action) for action in say(state, 1, wanted)] == [a.SendLayers]
    state.handle(*[e.TransferEnded(1, 10)] * (2 * len(wanted.digests)))
    actions = [action for _ in range(6) for action in say(state, 1, wanted)]
    assert [type(action) for action in actions] == [*[a.SendLayers] * 3, a.Drop]


def test_layers_wanted__of_an_environment_that_was_ready__are_sent_again() -> None:
    state = make_state()
    connect(state, 1)
    say(state, 1, m.LayersWanted(ENVIRONMENT.digest, ()), m.EnvironmentReady(ENVIRONMENT.digest))
    sent = say(state, 1, m.LayersWanted(ENVIRONMENT.digest, ("a",)))
    assert sent == [a.SendLayers(1, ENVIRONMENT, ("a",))]
    say(state, 1, m.EnvironmentReady(ENVIRONMENT.digest))
    assert say(state, 1, m.EnvironmentReady(ENVIRONMENT.digest)) == [], "it is ready already"


def test_layers_wanted__of_an_environment_that_failed_there__are_not_sent() -> None:
    state = make_state()
    connect(state, 1)
    say(state, 1, m.EnvironmentFailed(ENVIRONMENT.digest, "too old"))
    assert say(state, 1, m.LayersWanted(ENVIRONMENT.digest, ("a",))) == []


def test_environment_failed__is_warned_of() -> None:
    state = make_state()
    connect(state, 1)
    warning = say(state, 1, m.EnvironmentFailed(ENVIRONMENT.digest, "too old"))[0]
    assert warning == a.Warn("an environment cannot be used on host1:worker-1: too old")


def test_fetch__nothing_is_heard_of_it_for_long__the_manager_sends_the_layer() -> None:
    state = make_state()
    join(state, 1, "a")
    say(state, 1, m.LayerStored("a", is_served=True))
    join(state, 2, "a")
    state.handle(e.Tick(LONGEST_FETCH, 0), *(e.Received(n, m.Alive()) for n in (1, 2)))
    assert not [each for each in state.sweep() if isinstance(each, a.SendLayers)]
    state.handle(e.Tick(LONGEST_FETCH + 1, 0), *(e.Received(n, m.Alive()) for n in (1, 2)))
    assert a.SendLayers(2, ENVIRONMENT, ("a",)) in state.sweep()
