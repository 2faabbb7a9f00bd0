"""The tree of merged clusters against a naive twin, SciPy's rules and invariances."""

import numpy as np
import pytest
from naive import hard_distortion, mutual_information
from scipy.cluster.hierarchy import dendrogram, is_monotonic, is_valid_linkage

import dualib

KINDS = ("ib", "dualib")


def joint_of(seed, n_x, n_y, zeros=False):
    rng = np.random.default_rng(seed)
    py_x = rng.dirichlet(np.ones(n_y), n_x)
    if zeros:
        py_x[rng.random(py_x.shape) < 0.2] = 0.0
        py_x[:, 0] = np.maximum(py_x[:, 0], 0.05)
    return dualib.JointDistribution.from_conditionals(py_x / py_x.sum(axis=1, keepdims=True), rng.dirichlet(np.ones(n_x)))


def naive_tree(kind, px, py_x):
    """The members joined at each step, every cost computed from the definition."""

    def cost(members):
        return hard_distortion(kind, px[members], py_x[members], np.zeros(len(members)))

    clusters, joined = [[x] for x in range(len(px))], []
    while len(clusters) > 1:
        pairs = [(i, j) for i in range(len(clusters)) for j in range(i)]
        i, j = min(
            pairs,
            key=lambda pair: cost(clusters[pair[0]] + clusters[pair[1]]) - cost(clusters[pair[0]]) - cost(clusters[pair[1]]),
        )
        joined.append(sorted(clusters[i] + clusters[j]))
        clusters = [c for t, c in enumerate(clusters) if t not in (i, j)] + [clusters[i] + clusters[j]]
    return joined


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_joins_what_the_definitions_join(kind, seed, zeros):
    joint = joint_of(seed, 9, 4, zeros)
    tree = dualib.agglomerate(joint, kind)
    members = [[x] for x in range(joint.n_x)]
    for first, second, _, size in tree.linkage:
        members.append(sorted(members[int(first)] + members[int(second)]))
        assert len(members[-1]) == size
    assert members[joint.n_x :] == naive_tree(kind, joint.px, joint.py_x)


@pytest.mark.parametrize("kind", KINDS)
def test_linkage_and_relevance(kind):
    joint = joint_of(7, 40, 6)
    tree = dualib.agglomerate(joint, kind)
    assert is_valid_linkage(tree.linkage) and is_monotonic(tree.linkage)
    assert len(dendrogram(tree.linkage, no_plot=True)["leaves"]) == 40
    for k in (1, 2, 5, 17, 40):
        labels = tree.cut(k)
        assert sorted(set(labels.tolist())) == list(range(k))
        assert labels[0] == 0
        pty = np.array([joint.pxy[labels == label].sum(axis=0) for label in range(k)])
        assert tree.relevance[k - 1] == pytest.approx(mutual_information(pty), abs=1e-12)
        assert tree.linkage[:, 2][40 - k - 1 : 40 - k].sum() == pytest.approx(
            joint.mutual_information - mutual_information(pty) if k < 40 else 0.0, abs=1e-12
        )
        assert tree.expected_distortion[k - 1] == pytest.approx(hard_distortion(kind, joint.px, joint.py_x, labels), abs=1e-12)


def test_relabelling_relabels_the_tree():
    joint = joint_of(3, 12, 5)
    order = np.random.default_rng(0).permutation(12)
    other = dualib.agglomerate(dualib.JointDistribution(joint.pxy[order]))
    labels = dualib.agglomerate(joint).cut(4)[order]
    assert len({*zip(labels.tolist(), other.cut(4).tolist(), strict=True)}) == 4


def test_equal_x_and_x_of_probability_0_are_joined_first():
    joint = dualib.JointDistribution([[0.2, 0.1], [0.0, 0.0], [0.1, 0.3], [0.2, 0.1]])
    tree = dualib.agglomerate(joint)
    assert tree.linkage[:2, 2] == pytest.approx(0.0, abs=1e-15)
    assert tree.cut(2)[0] == tree.cut(2)[3] != tree.cut(2)[2]


def test_one_x_has_a_tree_without_joins():
    tree = dualib.agglomerate(dualib.JointDistribution([[0.4, 0.6]]))
    assert tree.linkage.shape == (0, 4) and tree.cut(1).tolist() == [0]


def test_what_cannot_be_joined_is_refused():
    blocks = dualib.JointDistribution(np.eye(3) / 3)
    with pytest.raises(ValueError, match="3 clusters are left whose conditionals have disjoint"):
        dualib.agglomerate(blocks, "dualib")
    with pytest.raises(ValueError, match="fixed columns"):
        dualib.agglomerate(blocks, dualib.RateDistortion(np.ones((3, 2)) - np.eye(3, 2)))
    assert dualib.agglomerate(blocks).relevance == pytest.approx([0.0, np.log(3) - 2 / 3 * np.log(2), np.log(3)])


@pytest.mark.parametrize("wrong", [0, 41, 2.5, True])
def test_cut_says_what_is_wrong(wrong):
    with pytest.raises(ValueError, match="n_clusters must be"):
        dualib.agglomerate(joint_of(1, 40, 3)).cut(wrong)
