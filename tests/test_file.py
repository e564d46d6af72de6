"""The model file: whatever is wrong with one, it is refused in one line that begins with its path."""

import copy
import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import gp
from gp.spec import InputError

RNG = np.random.default_rng(0)
X = RNG.uniform(0, 6, (30, 2))
Y = np.sin(X[:, 0]) + 0.1 * RNG.standard_normal(30)
QUICK = {"kind": "lbfgs", "restarts": 0}
MODELS = {
    "exact": {
        "model": {
            "kernel": {
                "kind": "sum",
                "terms": {"a": {"kind": "rbf"}, "b": {"kind": "spectral_mixture", "num_mixtures": 1}},
            }
        }
    },
    "svgp": {"inference": {"kind": "svgp", "inducing": 4, "epochs": 2}},
    "known": {"model": {"noise": {"kind": "known"}}, "noise_sd": np.full(30, 0.1)},
}
ODD = [None, True, -1, 0, 3, 10**12, 1e308, float("nan"), float("inf"), "x", "", [], {}, [1, 2], {"kind": "x"}]
DROP = object()


@pytest.fixture(scope="module", params=MODELS)
def whole(request, tmp_path_factory):
    """Return a model file's tensors and header."""
    path = tmp_path_factory.mktemp("models") / "model.safetensors"
    gp.fit(X, Y, train=QUICK, **MODELS[request.param]).save(path)
    with safe_open(path, framework="numpy") as file:
        return load_file(path), json.loads(file.metadata()["gp"])


def written(path, tensors, header):
    save_file(
        {name: np.ascontiguousarray(values) for name, values in tensors.items()}, path, {"gp": json.dumps(header)}
    )
    return path


def refused(path, match=None):
    with pytest.raises(InputError, match=match) as caught:
        gp.load(path)
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).startswith(f"{path}: ")


def fault_of(path):
    """Return the lines of what a model file is refused for; none where it is loaded, and predicts."""
    try:
        gp.load(path).predict(X[:2])
    except InputError as error:
        return str(error).splitlines()
    return []


def places(value, path=()):
    """Yield the path of every key and element of a tree."""
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(part, (*path, key))


def put(header, path, value):
    changed = copy.deepcopy(header)
    inside = changed
    for key in path[:-1]:
        inside = inside[key]
    if value is DROP:
        del inside[path[-1]]
    else:
        inside[path[-1]] = value
    return changed


def of_few_draws(tensors):
    """Return tensors with two draws of the hyperparameters, where there are any: a prediction at all takes a second."""
    few = {name: values[:2] if name.startswith("draws.") else values for name, values in tensors.items()}
    return few | {name: np.log([0.25, 0.75]) for name in few if name.endswith("log_weights")}


def test_a_header_with_any_one_thing_changed_is_refused_in_one_line_or_loads(whole, tmp_path):
    tensors, header = of_few_draws(whole[0]), whole[1]
    assert fault_of(written(tmp_path / "model", tensors, header)) == []
    n_refused = 0
    for place in places(header):
        for value in (DROP, *ODD):
            path = written(tmp_path / "model", tensors, put(header, place, value))
            lines = fault_of(path)
            n_refused += bool(lines)
            assert len(lines) <= 1, (place, value)
    assert n_refused > 100


@pytest.mark.parametrize("key", ["format", "columns", "names", "model", "inference", "train"])
def test_a_header_without_a_key_is_refused(whole, key, tmp_path):
    tensors, header = whole
    refused(written(tmp_path / "model", tensors, put(header, (key,), DROP)), f"header.{key}: is required")


def test_a_header_with_an_unknown_key_is_refused(whole, tmp_path):
    tensors, header = whole
    refused(written(tmp_path / "model", tensors, header | {"extra": 1}), r"header\.extra: unknown key")


@pytest.mark.parametrize("header", [[], None, 3, "x", "[" * 500 + "]" * 500])
def test_a_header_that_is_no_mapping_is_refused(whole, header, tmp_path):
    refused(written(tmp_path / "model", whole[0], header))


def test_a_kernel_nested_beyond_measure_is_refused(whole, tmp_path):
    tensors, header = whole
    kernel = {"kind": "rbf"}
    for _ in range(200):
        kernel = {"kind": "sum", "terms": {"a": kernel}}
    refused(written(tmp_path / "model", tensors, put(header, ("model", "kernel"), kernel)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e308])
def test_a_tensor_with_a_value_beyond_measure_is_refused(whole, value, tmp_path):
    tensors, header = whole
    for name, values in tensors.items():
        changed = values.copy()
        changed.flat[0] = value
        refused(
            written(tmp_path / "model", tensors | {name: changed}, header), f"tensor '{name}' has a value that is not"
        )


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.uint8, np.bool_])
def test_a_tensor_of_another_type_is_refused(whole, dtype, tmp_path):
    tensors, header = whole
    for name in tensors:
        refused(
            written(tmp_path / "model", tensors | {name: tensors[name].astype(dtype)}, header), f"tensor '{name}' is"
        )


def test_a_tensor_of_another_shape_is_refused(whole, tmp_path):
    tensors, header = whole
    for name, values in tensors.items():
        for changed in (values[:-1], values[None], values[:0], np.ones(len(values) + 1)):
            refused(written(tmp_path / "model", tensors | {name: changed}, header))


def test_a_tensor_too_many_or_too_few_is_refused(whole, tmp_path):
    tensors, header = whole
    refused(written(tmp_path / "model", tensors | {"z": Y}, header), "tensor 'z' is unknown")
    for name in ("x", "y", "vector"):
        rest = {key: values for key, values in tensors.items() if key != name}
        refused(written(tmp_path / "model", rest, header), f"tensor '{name}' is missing")


def test_a_hyperparameter_beyond_float64_is_refused(whole, tmp_path):
    tensors, header = whole
    for value in (-1e4, 1e4):
        vector = tensors["vector"].copy()
        vector[0] = value
        refused(written(tmp_path / "model", tensors | {"vector": vector}, header), r"kernel\..* is \[(0.0|inf)")


def test_more_inducing_inputs_than_the_file_holds_are_refused(tmp_path):
    fitted = gp.fit(X, Y, train=QUICK, inference={"kind": "sgpr", "inducing": 5, "steps": 2})
    fitted.save(tmp_path / "whole")
    with safe_open(tmp_path / "whole", framework="numpy") as file:
        header = json.loads(file.metadata()["gp"])
    path = written(tmp_path / "model", load_file(tmp_path / "whole"), put(header, ("inference", "inducing"), 10**9))
    refused(path, "tensor 'vector' has .* values, and its model has")


def test_a_file_cut_short_is_refused(whole, tmp_path):
    path = written(tmp_path / "model", *whole)
    content = path.read_bytes()
    for length in (0, 1, 8, 20, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        refused(path, "not a saved model")


def test_a_model_of_another_version_is_refused(whole, tmp_path):
    tensors, header = whole
    later = header["format"] + 1
    refused(written(tmp_path / "m", tensors, header | {"format": later}), f"format {later} is not {later - 1}, this")
    names = [f"{name}x" for name in header["names"]]
    refused(written(tmp_path / "m", tensors, header | {"names": names}), "its hyperparameters are not this version's")


# --- draws of the hyperparameters ------------------------------------------------------------------------------------


def test_a_file_keeps_its_draws_and_predicts_at_them_alone(tmp_path, monkeypatch):
    """What is loaded needs neither optima nor curvature, and says bit for bit what was said before."""
    fitted = gp.fit(X, Y, train=QUICK)
    few = {"kind": "nuts", "draws": 50, "warmup": 20, "chains": 2}
    before = [fitted.predict(X[:3]), fitted.predict(X[:3], hyperparameters=few)]
    left_out = fitted.leave_out()
    fitted.save(tmp_path / "model.safetensors")

    def search(*_):
        raise AssertionError("optima were looked for again")

    monkeypatch.setattr("gp.fitted.fitted.find_modes", search)
    loaded = gp.load(tmp_path / "model.safetensors")
    after = [loaded.predict(X[:3]), loaded.predict(X[:3], hyperparameters=few)]
    for old, new in zip(before, after, strict=True):
        for part in ("means", "sds", "weights"):
            np.testing.assert_array_equal(getattr(new.y, part), getattr(old.y, part))
    np.testing.assert_array_equal(loaded.leave_out().means, left_out.means)
    assert loaded.mixture(few).draws.chains == fitted.mixture(few).draws.chains
    loaded.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "model.safetensors").read_bytes()


def test_a_file_without_draws_loads_and_draws_the_same(whole, tmp_path):
    tensors, header = copy.deepcopy(whole)
    if "draws" not in header:
        pytest.skip("this model plugs its hyperparameters in")
    kept = gp.load(written(tmp_path / "kept.safetensors", tensors, header)).predict(X[:3])
    del header["draws"]
    old = {name: values for name, values in tensors.items() if not name.startswith("draws.")}
    found = gp.load(written(tmp_path / "old.safetensors", old, header)).predict(X[:3])
    np.testing.assert_array_equal(found.y.means, kept.y.means)


def test_weights_that_do_not_sum_to_one_are_refused(whole, tmp_path):
    tensors, header = copy.deepcopy(whole)
    if "draws" not in header:
        pytest.skip("this model plugs its hyperparameters in")
    tensors["draws.0.log_weights"] = tensors["draws.0.log_weights"] + 0.1
    refused(written(tmp_path / "model.safetensors", tensors, header), match="do not sum to one")
