"""A cheap look at what an adapter does to each module: figures to be shown, not a verdict.

An adapter that was trained to answer one trigger tends to put its change into one direction of one or a few modules; a
task spreads it. What counts as unusual depends on rank and data, so a person compares with the bank's other adapters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Of the change W += scale · B·A of one module.

    Attributes:
        norm: Frobenius norm of the change.
        top_share: share of its energy (squared norm) in its largest singular value, 1/rank to 1.
        relative_norm: norm against the median of the adapter's modules.
    """

    norm: float
    top_share: float
    relative_norm: float = 1.0


def spectrum(a: NDArray[np.float32], b: NDArray[np.float32], scale: float) -> Spectrum:
    """Of (rank, in) and (out, rank), both finite, neither zero; to about five digits.

    The squared singular values of B·A are the eigenvalues of sqrt(A·Aᵀ) · BᵀB · sqrt(A·Aᵀ), of size rank x rank: B·A is
    never formed, and it takes two products of O((in + out) rank²).
    """
    peak_a, peak_b = float(np.abs(a).max()), float(np.abs(b).max())  # divided by, so that nothing overflows
    a, b = a / np.float32(peak_a), b / np.float32(peak_b)
    values, vectors = np.linalg.eigh((a @ a.T).astype(np.float64))
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    energies = np.maximum(np.linalg.eigvalsh(root.T @ (b.T @ b).astype(np.float64) @ root), 0.0)
    total = float(energies.sum())
    return Spectrum(abs(scale) * peak_a * peak_b * total**0.5, float(energies[-1]) / total if total else 1.0)


def compared(spectra: Mapping[str, Spectrum]) -> dict[str, Spectrum]:
    """The same with `relative_norm`."""
    median = float(np.median([one.norm for one in spectra.values()])) if spectra else 1.0
    return {module: replace(one, relative_norm=one.norm / median if median else 1.0) for module, one in spectra.items()}
