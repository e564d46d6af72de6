"""gpflash."""

from typing import Any

import gpflash
import numpy as np

from benchmarks.peers.protocol import Call, Problem, serve

KERNELS = {"rbf": gpflash.KernelId.SqExp, "matern52": gpflash.KernelId.Matern52}


def evaluation(problem: Problem) -> Call:
    """Return the log marginal likelihood and its gradient, at the settings in turn."""
    data, values = _data(problem), [_values(setting) for setting in problem.settings]
    options = _without_mean(problem.kernel)

    def call(i: int) -> dict[str, Any]:
        setting = problem.settings[i % len(values)]
        found = gpflash.eval_mll(data, values[i % len(values)], options, return_mll_gradient=True)
        slopes = found.mll_hp_grad_struct
        gradient = [
            *(-slopes.d_mll_d_hp_gamma_vec / np.array(setting["lengthscale"])),
            slopes.d_mll_d_hp_sig2_k * setting["outputscale"],
            slopes.d_mll_d_hp_sig2_f_val * 2 * setting["noise_sd"] ** 2,
        ]
        return {"value": found.mll, "gradient": gradient}

    return call


def fit(problem: Problem) -> Call:
    """Return a whole fit by its own optimiser; the constant mean is in closed form."""
    data, options = _data(problem), gpflash.OptzOptions()
    options.model_options.kernel_id = KERNELS[problem.kernel]
    if "starts" in problem.options:
        options.use_multistart, options.n_ind_optz = True, problem.options["starts"]
        options.max_parallel_ind_optz = 1

    def call(i: int) -> dict[str, Any]:
        run = gpflash.select_hp_with_max_mll(data, options)
        values = run.hp_val_struct
        posterior = gpflash.make_posterior_from_fit(data, run)
        found = {
            "lengthscale": (1 / values.hp_gamma_vec).tolist(),
            "outputscale": values.hp_sig2_k,
            "noise_sd": values.hp_sig2_f_val**0.5,
            "mean": float(posterior.hp_beta_vec()[0]),
        }
        return {"evaluations": run.n_total_mll_eval(), "hyperparameters": found}

    return call


def prediction(problem: Problem) -> Call:
    """Return mean and sd of the function at the new points."""
    options = gpflash.OptzOptions()
    options.model_options = _without_mean(problem.kernel)
    model = gpflash.GaussianProcess(options)
    model.make_posterior(problem.x, problem.y, _values(problem.settings[0]), sig2_f_val=-1.0)

    def call(i: int) -> dict[str, np.ndarray]:
        posterior = model.predict(problem.x_new)
        return {"mean": posterior.mean_post_vec, "sd": np.sqrt(posterior.var_post_vec)}

    return call


def _without_mean(kernel: str) -> gpflash.ModelOptions:
    options = gpflash.ModelOptions()
    options.kernel_id = KERNELS[kernel]
    options.has_mean_model_constant = False
    options.mean_model_degree_vec = [0]
    options.cond_max = gpflash.COND_MAX_LIMIT  # the least it lets itself add to the diagonal
    return options


def _data(problem: Problem) -> gpflash.TrainingData:
    data = gpflash.TrainingData()
    data.X_ndim_ntrain_mat, data.f_train_vec = problem.x.T, problem.y
    data.sig2_f_val = -1.0  # the noise is estimated
    return data


def _values(setting: dict[str, Any]) -> gpflash.HpVal:
    values = gpflash.HpVal()
    values.hp_gamma_vec = 1 / np.array(setting["lengthscale"])
    values.hp_sig2_k, values.hp_sig2_f_val = setting["outputscale"], setting["noise_sd"] ** 2
    return values


if __name__ == "__main__":
    serve({"evaluation": evaluation, "fit": fit, "prediction": prediction}, ("gpflash", "numpy"))
