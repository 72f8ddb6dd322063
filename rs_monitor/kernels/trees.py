"""Decision trees as flat arrays that are safe to walk, and the integers they compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rs_monitor.errors import ModelMismatch

LEAF_CUT: Final = np.uint32(2**32 - 1)
"""Threshold of a leaf: no key is larger, so a walk that got there stays."""

MAX_FEATURES: Final = 2**15


@dataclass(frozen=True, slots=True)
class FlatTrees:
    """All nodes of all trees, one tree after the other.

    A record that could be made is safe to walk: indices stay within their arrays and every step
    leads to a later node.

    Attributes
    ----------
    roots : ndarray of uint32, shape (trees,)
        Index of each tree's first node, its root.
    column : ndarray of uint16, shape (nodes,)
        ``2 * feature``, plus 1 where a missing value goes left.
    threshold : ndarray of uint32, shape (nodes,)
        :func:`cut_keys` of the split; ``LEAF_CUT`` in a leaf.
    left : ndarray of uint32, shape (nodes,)
        Node of ``x <= threshold``, counted from the tree's root; the other child follows it. A
        leaf names itself.
    leaf : ndarray of uint32, shape (nodes,)
        Row of a leaf in the table of leaves; 0 elsewhere.

    Raises
    ------
    ModelMismatch
        If the arrays do not describe trees.
    """

    roots: NDArray[np.uint32]
    column: NDArray[np.uint16]
    threshold: NDArray[np.uint32]
    left: NDArray[np.uint32]
    leaf: NDArray[np.uint32]

    def __post_init__(self) -> None:
        for name in ("roots", "column", "threshold", "left", "leaf"):
            dtype = np.uint16 if name == "column" else np.uint32
            require_array(name, getattr(self, name), dtype, 1)
        sizes = {len(getattr(self, name)) for name in ("column", "threshold", "left", "leaf")}
        require_tree(len(sizes) == 1, "arrays of nodes differ in length")
        require_tree(len(self.roots) > 0, "there is no tree")
        require_tree(_begins(self.roots, len(self.left)), "roots are not in order")
        require_tree(_leads_on(self), "a child lies outside its tree or before its parent")

    @property
    def features_asked(self) -> int:
        """One more than the last feature any node asks."""
        return int(self.column.max() >> 1) + 1


def require_tree(is_met: bool, problem: str) -> None:
    """Refuse arrays that are no trees.

    Raises
    ------
    ModelMismatch
        Unless the condition is met.
    """
    if not is_met:
        raise ModelMismatch(
            f"got tree arrays in which {problem}; needed the arrays a training wrote; train the "
            "model again or fetch an unaltered copy"
        )


def require_array(name: str, array: NDArray[Any], dtype: type, ndim: int) -> None:
    """Refuse an array that no kernel was compiled for.

    Raises
    ------
    ModelMismatch
        Unless it is C-contiguous with this dtype and number of dimensions.
    """
    fits = isinstance(array, np.ndarray) and array.dtype == dtype and array.ndim == ndim
    wanted = f"{np.dtype(dtype).name} with {ndim} dimensions"
    require_tree(bool(fits and array.flags.c_contiguous), f"{name} is not {wanted}")


def require_leaves(trees: FlatTrees, rows: int) -> None:
    """Refuse leaves that name no row of their table.

    Raises
    ------
    ModelMismatch
        If one does.
    """
    require_tree(bool((trees.leaf < rows).all()), "a leaf names no row of the leaf table")


def require_features(trees: FlatTrees, features: int) -> None:
    """Refuse trees that ask for more features than there are.

    Raises
    ------
    ModelMismatch
        If they do.
    """
    if trees.features_asked > features:
        raise ModelMismatch(
            f"got {features} features; the trees ask for at least {trees.features_asked}; compute "
            "the features the model was trained on"
        )


def _begins(roots: NDArray[np.uint32], nodes: int) -> bool:
    return bool(roots[0] == 0 and roots[-1] < nodes and (roots[1:] > roots[:-1]).all())


def _from_root(roots: NDArray[np.uint32], nodes: int) -> NDArray[np.int64]:
    """Place of every node in its own tree."""
    return np.arange(nodes) - np.repeat(roots.astype(np.int64), _sizes(roots, nodes))


def _sizes(roots: NDArray[np.uint32], nodes: int) -> NDArray[np.int64]:
    ends = np.append(roots[1:], nodes)
    return ends.astype(np.int64) - roots


def _leads_on(trees: FlatTrees) -> bool:
    nodes = len(trees.left)
    sizes = _sizes(trees.roots, nodes)
    place, left = _from_root(trees.roots, nodes), trees.left.astype(np.int64)
    is_leaf = left == place
    inside = left + 1 < np.repeat(sizes, sizes)
    stays = (trees.threshold == LEAF_CUT) & (trees.column == 0)
    return bool(np.where(is_leaf, stays, (left > place) & inside).all())


def order_keys(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Integers in the order of floats: -inf ... -0 = 0 ... inf, and NaN above all.

    Parameters
    ----------
    values : ndarray of float32

    Returns
    -------
    ndarray of uint32
        Same shape.
    """
    bits = (values + np.float32(0)).view(np.uint32)
    keys = np.where(bits >> 31, ~bits, bits | np.uint32(2**31))
    return np.where(np.isnan(values), LEAF_CUT, keys).astype(np.uint32)


def cut_keys(
    thresholds: NDArray[np.float64], missing_left: NDArray[np.bool_]
) -> NDArray[np.uint32]:
    """Keys of splits that send every float32 where the float64 thresholds do.

    Parameters
    ----------
    thresholds : ndarray of float64, shape (nodes,)
        ``x <= threshold`` goes left.
    missing_left : ndarray of bool, shape (nodes,)

    Returns
    -------
    ndarray of uint32, shape (nodes,)
        Key of the largest float32 that is not above the threshold. One more where missing values
        go left: the key of the pixel is then raised by one, too, and that of NaN falls to 0.
    """
    # beyond the largest float32 both steps overflow to infinity, as they should
    with np.errstate(over="ignore"):
        below = thresholds.astype(np.float32)
        above = below.astype(np.float64) > thresholds
        below[above] = np.nextafter(below[above], np.float32(-np.inf))
    return order_keys(below) + missing_left.astype(np.uint32)
