from __future__ import annotations

import itertools
import random

import pytest

from wq_package.resources.ladder import RETRY_COST, TAIL, Sample, count_slots, find_share, plan_steps


def _count_cost(samples: list[Sample], steps: tuple[float, ...]) -> float:
    """What the steps cost, by going through them task by task."""
    cost = 0.0
    for share, seconds, weight in samples:
        for step in (*steps, 1.0):
            price = 1 / count_slots(step) * seconds * weight
            if share <= step or step >= 1:
                cost += price
                break
            cost += price * RETRY_COST
    return cost


@pytest.mark.parametrize("seed", range(20))
def test_plan_steps__few_samples__no_other_steps_cost_less(seed: int) -> None:
    rng = random.Random(seed)
    samples = [(rng.uniform(0.01, 0.9), rng.uniform(1, 9), rng.uniform(0.1, 1)) for _ in range(5)]
    weight = sum(each for _, _, each in samples)
    seconds = sum(spent * each for _, spent, each in samples) / weight
    most = max(sample[0] for sample in samples)
    everything = [*samples, *((most * factor, seconds, part) for factor, part in TAIL)]
    shares = sorted({sample[0] for sample in everything if sample[0] < 1})

    planned = _count_cost(everything, plan_steps(samples))

    others = (steps for size in range(len(shares) + 1) for steps in itertools.combinations(shares, size))
    assert planned == pytest.approx(min(_count_cost(everything, steps) for steps in others))


def test_plan_steps__two_kinds_of_tasks__has_a_step_for_each() -> None:
    samples = [(0.05, 10, 1)] * 70 + [(0.4, 10, 1)] * 30

    small, large = plan_steps(samples)[:2]

    assert small == 0.05
    assert 0.4 <= large <= 0.5  # two fit in either case


def test_plan_steps__all_alike__gives_them_what_they_need() -> None:
    assert plan_steps([(0.25, 10, 1)] * 100)[0] == 0.25


def test_plan_steps__nearly_everything_needed__tries_nothing_less() -> None:
    assert plan_steps([(0.9, 10, 1)] * 10) == ()


def test_plan_steps__nothing_known__has_no_steps() -> None:
    assert plan_steps([]) == ()


def test_plan_steps__thousands_of_samples__is_as_good_as_all_candidates_nearly() -> None:
    rng = random.Random(1)
    samples = [(min(0.99, 0.01 + rng.expovariate(10)), 10.0, 1.0) for _ in range(3000)]

    assert _count_cost(samples, plan_steps(samples)) < 1.1 * _count_cost(
        samples, tuple(n / 20 for n in range(1, 20))
    )


@pytest.mark.parametrize(("share", "slots"), [(0.25, 4), (0.26, 3), (1 / 3, 3), (0.9, 1), (1.0, 1), (2.0, 1)])
def test_count_slots__any_share__is_how_many_fit(share: float, slots: int) -> None:
    assert count_slots(share) == slots


def test_find_share__several_resources__is_the_scarcest() -> None:
    assert find_share((1, 100, 5), (4, 200, 100)) == 0.5
    assert find_share((1, 100, 5), (4, 400, 0)) == 0.25
