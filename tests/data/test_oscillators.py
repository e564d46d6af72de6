"""Coupled oscillators: simulation, phases and truth against known numbers and direct experiments."""

import json
import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from gp.data import Data
from gp.data.oscillators import neurons
from gp.data.oscillators.fourier import fit_fourier
from gp.data.oscillators.planar import POINTS, _phases_of
from gp.data.oscillators.systems import SHAPES, FitzHughNagumo, System, VanDerPol
from gp.spec import InputError, kinds, parse
from stages import synthesize

TURN = 2 * math.pi


def source(kind, **keys):
    return parse(Data, {"kind": "oscillators", "system": {"kind": kind}, **keys}, "data")


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.slow] * (kind == "neurons")) for kind in kinds(System)]
)
def test_truth_is_periodic_and_rows_have_their_shapes(kind):
    made = source(kind, trials=2, cycles=1 if kind == "neurons" else 3, test=12, truth="theory")
    train, test = made.sample(1)
    d = made.system.n_oscillators - 1
    assert train.d == test.d == d
    assert test.n == (12**d if d < 3 else 12)
    assert test.y is None
    assert made.truth_error(test.x) == 0  # theory has none
    assert made.periods == dict.fromkeys(train.columns, TURN)
    assert (train.x >= 0).all()
    assert (train.x < TURN).all()
    assert made.true_function(test.x + TURN)[0] == pytest.approx(test.f, abs=1e-12)
    again, other = made.sample(1)[0], made.sample(2)[0]
    assert np.array_equal(train.y, again.y)
    assert not np.array_equal(train.y, other.y)


# Periods and ranges computed apart from this project, to the digits given.
@pytest.mark.parametrize(
    ("kind", "periods", "ranges"),
    [
        ("van_der_pol", (6.318443, 6.472832), ((0.98724, 1.00838), (0.95514, 0.98627))),
        ("fitzhugh_nagumo", (31.1147, 38.3436), ((0.18557, 0.20207), (0.15984, 0.17292))),
    ],
)
def test_periods_and_coupling_functions_are_the_known_ones(kind, periods, ranges):
    for receiver in (1, 2):
        made = source(kind, receiver=receiver, test=400, truth="theory")
        assert 2 * math.pi / made.system.frequencies == pytest.approx(periods, rel=2e-6)
        f = made.true_function(made._grid())[0]
        assert (f.min(), f.max()) == pytest.approx(ranges[receiver - 1], abs=6e-6)


@pytest.mark.slow
def test_the_default_pair_has_the_rows_of_the_study():
    assert source("van_der_pol", truth="theory").sample(0)[0].n == 12_620


@pytest.mark.parametrize("system", [VanDerPol(), FitzHughNagumo()])
def test_the_phase_response_is_what_a_kick_does(system):
    """A kick off the cycle, then free flow for some turns: how much later v comes up again."""
    cycle, size = system._cycles[0], 1e-4
    at = 300

    def next_crossing(state):
        def rises(_, state):
            return state[1] - cycle.v.mean()

        rises.direction = 1
        run = solve_ivp(
            lambda _, s: system.flow(0, *s), (0, 8.5 * cycle.period), state, events=rises, rtol=1e-11, atol=1e-13
        )
        return run.t_events[0][-1]

    free = next_crossing([cycle.u[at], cycle.v[at]])
    for axis, kick in enumerate(([size, 0], [0, size])):
        kicked = next_crossing([cycle.u[at] + kick[0], cycle.v[at] + kick[1]])
        advance = (free - kicked) * TURN / cycle.period / size
        assert advance == pytest.approx(cycle.response[axis, at], rel=0.02, abs=2e-3)


@pytest.mark.parametrize("system", [VanDerPol(), FitzHughNagumo()])
def test_phase_read_off_a_cycle_grows_evenly_from_zero(system):
    cycle = system._cycles[1]
    u, v = (np.tile(part, 3)[:, None] for part in (cycle.u, cycle.v))
    phase = _phases_of(u, v)[:, 0]
    even = np.arange(3 * POINTS) * TURN / POINTS
    error = phase - even
    assert np.ptp(error) < 0.01
    assert abs(error.mean()) < 0.01


def test_steps_are_heuns():
    """Without noise the frequency is the coupled one; Euler's would be off by more than the coupling's detail."""
    made = source("van_der_pol", noise_sd=0, trials=4, cycles=10)
    phases = made.system.phases(np.random.default_rng(0), 4, 6000, 10, 0.01, 0.0)
    fine = made.system.phases(np.random.default_rng(0), 4, 24000, 40, 0.0025, 0.0)
    slope, finer = ((p[-1, 0] - p[0, 0]) / 60 for p in (phases, fine))
    assert slope == pytest.approx(finer, abs=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["van_der_pol", "fitzhugh_nagumo"])
@pytest.mark.parametrize("receiver", [1, 2])
def test_rows_speak_for_the_truth(kind, receiver):
    """A series of order 6 of little noise, its constant apart: a wrong phase zero would shift it along the circle.

    What is left is the coupling's second order, which the phase model leaves out.
    """
    made = source(kind, receiver=receiver, noise_sd=0.005, trials=20, cycles=12, truth="theory")
    train, test = made.sample(0)
    mean, _ = fit_fourier(train.x, train.y, 6, train.step).predict(test.x)
    seen, truth = mean - mean.mean(), test.f - test.f.mean()
    errors = {k: np.sqrt(np.mean((seen - np.roll(truth, k)) ** 2)) for k in range(-100, 100)}
    assert errors[0] < 0.3 * truth.std()
    assert abs(min(errors, key=errors.get)) <= 3  # of 200 steps around the circle
    assert abs(mean.mean() - test.f.mean()) < 1.5e-3


def test_an_arc_keeps_what_lies_on_it_also_over_zero():
    low, high = 5.5, 7.5
    train, _ = source("van_der_pol", trials=20, cycles=8, arc=[low, high], truth="theory").sample(0)
    assert (((train.x - low) % TURN) <= high - low).all()
    assert (train.x > 6).any()
    assert (train.x < 1).any()


def test_the_three_are_the_sum_of_their_couplings():
    made = source("phase", receiver=2)
    x = np.array([[0.3, 2.0], [4.0, 5.0]])
    by_hand = [1.25 + 0.05 * (SHAPES[1, 0](a) + SHAPES[1, 2](b)) for a, b in x]
    assert made.true_function(x)[0] == pytest.approx(by_hand)


def test_a_drawn_network_has_its_edges_and_no_others():
    system = source("network", system={"kind": "network", "n": 5, "edges": 7, "draw": 3}).system
    psi = np.linspace(0, TURN, 400, endpoint=False)
    sizes = {(i, j): system.coupling(i, j, psi).std() for i in range(5) for j in range(5) if i != j}
    assert {pair for pair, size in sizes.items() if size > 0} == set(map(tuple, system.present.T.tolist()))
    assert sum(size > 0 for size in sizes.values()) == 7
    assert all(0.3 * 0.03 <= size <= 0.03 for size in sizes.values() if size > 0)
    other = source("network", system={"kind": "network", "n": 5, "edges": 7, "draw": 4}).system
    assert not np.array_equal(system.present, other.present)


def test_a_network_moves_by_its_couplings():
    system = source("network", system={"kind": "network", "n": 4, "edges": 5}).system
    phase = np.random.default_rng(0).uniform(0, TURN, (4, 3))
    by_hand = np.repeat(system.frequencies[:, None], 3, axis=1)
    for i in range(4):
        for j in set(range(4)) - {i}:
            by_hand[i] += system.coupling(i, j, phase[j] - phase[i])
    assert system._drift(phase) == pytest.approx(by_hand, abs=1e-12)


def test_test_rows_over_many_differences_are_even():
    """Waves of low order have a mean of zero over them, by far more nearly than over random rows."""
    x = source("network", trials=1, cycles=1).sample(0)[1].x
    assert x.shape == (1000, 5)
    waves = np.exp(1j * x @ np.array(list(np.ndindex(3, 3, 3, 3, 3)))[1:].T)
    assert np.median(np.abs(waves.mean(axis=0))) < 0.2 / math.sqrt(1000)


def test_names_of_ten_oscillators_are_not_mistaken():
    names = [source("network", system={"kind": "network", "n": 12}, receiver=i).columns for i in (1, 11)]
    assert len(set(names[0] + names[1])) == 22
    assert source("network", receiver=2).network["senders"]["phase_difference_26"] == "6"


NEURONS = parse(System, {"kind": "neurons"}, "system")


def test_a_cell_alone_stays_on_its_cycle():
    """Periods of 9.4 to 10.1 ms for all seven, as the bias currents are chosen for; the flow keeps to the states."""
    for cell, cycle in enumerate(neurons._cycles()):
        assert 9.3 < cycle.period < 10.2
        kind = neurons._fast_spiking if cell in neurons.INHIBITORY else neurons._hodgkin_huxley
        step = cycle.period / neurons.POINTS
        slope = (np.roll(cycle.states, -1, axis=1) - np.roll(cycle.states, 1, axis=1)) / (2 * step)
        expected = kind(cycle.states, neurons.BIAS[cell])
        assert np.abs(slope - expected).max(axis=1) == pytest.approx(0, abs=3e-3 * np.abs(expected).max())


@pytest.mark.parametrize("cell", [0, 3])
def test_the_phase_response_of_a_cell_is_what_a_kick_does(cell):
    cycle, size = neurons._cycles()[cell], 1e-3
    kind = neurons._fast_spiking if cell in neurons.INHIBITORY else neurons._hodgkin_huxley

    def spike(_, state):
        return state[0]

    spike.direction = 1

    def last_spike(state):
        run = solve_ivp(
            lambda _, s: kind(s, neurons.BIAS[cell]),
            (0, 6.5 * cycle.period),
            state,
            events=spike,
            method="LSODA",
            rtol=1e-9,
            atol=1e-11,
        )
        return run.t_events[0][-1]

    for at in (1000, 2400, 3600):
        state = cycle.states[:, at]
        advance = (last_spike(state) - last_spike(state + np.array([size, 0, 0, 0]))) * TURN / cycle.period / size
        assert advance == pytest.approx(cycle.response[at], rel=0.02, abs=2e-4)


def test_a_synapse_along_the_cycle_is_what_the_simulation_steps():
    for cell in (0, 2):
        cycle = neurons._cycles()[cell]
        step, bound = cycle.period / neurons.POINTS, np.full(7, cycle.bound[0])
        for k in range(neurons.POINTS):
            assert bound[cell] == pytest.approx(cycle.bound[k], abs=5e-3)
            bound = neurons._bound_after(bound, np.full(7, (k + 0.5) * step < neurons.RELEASE), step)
        assert bound[cell] == pytest.approx(cycle.bound[0], abs=5e-3)


def test_thirteen_synapses_have_couplings_and_no_other_pair():
    psi = np.linspace(0, TURN, 50)
    sizes = np.array([[np.ptp(NEURONS.coupling(i, j, psi)) if i != j else 0 for j in range(7)] for i in range(7)])
    assert np.array_equal(np.argwhere(sizes > 0).T, NEURONS.present)
    assert NEURONS.present.shape == (2, 13)


@pytest.mark.slow
def test_weakly_coupled_neurons_move_as_the_theory_says():
    """Without noise and at a hundredth of the conductance, each cell's gain in frequency is that of the couplings."""
    gained = []
    for strength in (1e-9, 0.01):
        system = parse(System, {"kind": "neurons", "strength": strength}, "system")
        phases = system.phases(np.random.default_rng(0), 6, 4000, 16, 0.0125, 0.0)
        gained.append((phases[-1] - phases[0]) / 50)
    expected = np.zeros((7, 6))
    for i, j in system.present.T:
        expected[i] += system.coupling(i, j, phases[:, j] - phases[:, i]).mean(axis=0)
    change = gained[1] - gained[0]
    assert np.sqrt(np.mean((change - expected) ** 2)) < 0.15 * np.sqrt(np.mean(expected**2))


def test_rows_are_means_along_the_way_of_the_phases():
    """Rows far apart in time are told right by series that know their steps; by the start of a step they are not."""
    made = source("phase", receiver=1, noise_sd=0.002, every=1.0, trials=10)
    train, test = made.sample(0)
    start = (train.x - 0.5 * train.step) % TURN
    told = {
        "steps": fit_fourier(train.x, train.y, 8, train.step),
        "middle": fit_fourier(train.x, train.y, 8),
        "start": fit_fourier(start, train.y, 8),
    }
    error = {name: np.sqrt(np.mean((series.predict(test.x)[0] - test.f) ** 2)) for name, series in told.items()}
    assert error["steps"] < error["middle"] < 0.5 * error["start"]


def test_each_trial_is_a_run_and_an_arc_ends_runs():
    whole = source("van_der_pol", trials=3, cycles=3, truth="theory").sample(0)[0]
    assert np.array_equal(np.unique(whole.run), [0, 1, 2])
    part = source("van_der_pol", trials=3, cycles=30, arc=[0, 2], truth="theory").sample(0)[0]
    within = np.diff(part.run) == 0
    ahead = (np.diff(part.x[:, 0]) + np.pi) % TURN - np.pi
    between = 0.5 * (part.step[1:, 0] + part.step[:-1, 0])  # from middle to middle
    assert ahead[within] == pytest.approx(between[within], abs=1e-9)
    assert len(np.unique(part.run)) > 3


@pytest.mark.slow
def test_the_simulated_truth_is_theory_and_the_order_beyond():
    """At a quarter of the coupling, what is beyond theory is less by the square: it is the second order."""
    strong, weak = (
        source("van_der_pol", receiver=2, system={"kind": "van_der_pol", "strength": k}) for k in (0.02, 0.005)
    )
    beyond = []
    for made in (strong, weak):
        grid = made._grid()
        value, error = made.true_function(grid)
        assert 0 < error.max() < 5e-4
        assert error.min() <= made.truth_error(grid) <= error.max()
        beyond.append(np.sqrt(np.mean((value - made._theory(grid)) ** 2)))
    assert beyond[0] > 4 * beyond[1]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"receiver": 3}, "receiver must be one of 1 … 2 (got 3)"),
        ({"arc": [0, 7]}, "arc must be [low, high] in radians, at most a turn (got [0.0, 7.0])"),
        ({"arc": [1]}, "data.arc"),
        ({"dt": 0.03, "every": 0.2}, "every must be a multiple of dt (got 0.2 and 0.03)"),
        ({"system": {"kind": "network", "n": 3, "edges": 7}}, "3 oscillators have 6 (got 7)"),
        ({"system": {"kind": "lorenz"}}, "data.system.kind"),
        ({"system": {"kind": "van_der_pol", "epsilon": [0.3]}}, "data.system.epsilon"),
    ],
)
def test_what_is_wrong_is_named(keys, message):
    with pytest.raises(InputError) as error:
        source("van_der_pol", **keys)
    assert message in str(error.value)


def test_later_stages_read_that_a_difference_is_an_angle(tmp_path):
    made = source("van_der_pol", trials=2, cycles=2, test=10, truth="theory")
    synthesize.main("pair", synthesize.Params(seed=0, data=made), tmp_path)
    periods = json.loads((tmp_path / "names.json").read_text(encoding="utf-8"))["periods"]
    assert periods == {"phase_difference": TURN}  # to the last digit: figures count in π then
