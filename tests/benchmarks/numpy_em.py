"""The vectorised NumPy EM that a careful user writes: E-step, weighted least squares, one guarded gate step."""

from __future__ import annotations

import numpy as np


def log_softmax(logits):
    """Row-wise log softmax, safe for large logits."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def e_step(F, y, gate, coef, variance):
    """Responsibilities (n, K) and log-likelihood."""
    density = -0.5 * ((y[:, None] - F @ coef.T) ** 2 / variance + np.log(2 * np.pi * variance))
    joint = log_softmax(F @ gate.T) + density
    top = joint.max(axis=1, keepdims=True)
    resp = np.exp(joint - top)
    total = resp.sum(axis=1, keepdims=True)
    return resp / total, float((top + np.log(total)).sum())


def gate_objective(F, resp, gate):
    """The gate's part of Q."""
    return float((resp * log_softmax(F @ gate.T)).sum())


def gate_step(F, resp, gate):
    """One Newton step of the gate (last expert as reference), halved until its part of Q does not fall."""
    K, p = gate.shape
    weights = np.exp(log_softmax(F @ gate.T))
    score = ((resp - weights)[:, :-1].T @ F).ravel()
    information = np.empty((K - 1, p, K - 1, p))
    for k in range(K - 1):
        for j in range(k, K - 1):
            pair = weights[:, k] * (float(k == j) - weights[:, j])
            information[k, :, j] = (F * pair[:, None]).T @ F
            information[j, :, k] = information[k, :, j].T
    step = np.linalg.solve(information.reshape(score.size, -1), score).reshape(K - 1, p)
    before, share = gate_objective(F, resp, gate), 1.0
    while share > 1e-8:
        new = gate.copy()
        new[:-1] += share * step
        if gate_objective(F, resp, new) >= before:
            return new
        share *= 0.5
    return gate


def m_step(F, y, resp, gate):
    """Exact M-step of the experts, one step of the gate."""
    K, p = gate.shape
    coef, variance = np.empty((K, p)), np.empty(K)
    for k in range(K):
        weighted = F * resp[:, k, None]
        coef[k] = np.linalg.solve(weighted.T @ F, weighted.T @ y)
        residual = y - F @ coef[k]
        variance[k] = (resp[:, k] * residual * residual).sum() / resp[:, k].sum()
    return gate_step(F, resp, gate), coef, variance


def iteration(F, y, gate, coef, variance):
    """One EM iteration from parameters to parameters."""
    resp, _ = e_step(F, y, gate, coef, variance)
    return m_step(F, y, resp, gate)
