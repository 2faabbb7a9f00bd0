"""How many clusters of documents?
===============================

Hard clusters for every K, with the most that so many could keep.

Documents of six topics, each with words that no other document has. `quantize` clusters them for the information they give about
the words; `relevance_bound` says what no K clusters, hard or soft, could be above.
"""

import matplotlib.pyplot as plt
import numpy as np

import dualib

rng = np.random.default_rng(1)
topics, documents, words = 6, 42, 60
of_topic = rng.dirichlet(np.full(words, 0.15), topics)
topic = np.arange(documents) % topics
counts = np.zeros((documents, words + documents))
for i in range(documents):
    counts[i, :words] = rng.multinomial(rng.integers(80, 200), 0.85 * of_topic[topic[i]] + 0.15 / words)
    counts[i, words + i] = 12  # a word of its own
joint = dualib.JointDistribution.from_counts(counts[:, counts.sum(axis=0) > 0])

numbers = range(1, 11)
found = [dualib.quantize(joint, k) for k in numbers]
kept = np.array([solution.relevance for solution in found])
bound = np.array([solution.relevance_bound for solution in found])
six = found[topics - 1]
pairs = np.zeros((six.n_clusters, topics), dtype=int)
np.add.at(pairs, (six.labels, topic), 1)
print("clusters by topics, K = 6:\n", pairs)
print("restarts, E d in nats: ", np.round(six.restarts, 4))

figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 4.0), layout="constrained")
left.fill_between(numbers, kept, bound, color="C0", alpha=0.15, label="between the clusters found and the bound")
left.plot(numbers, bound, "C0--", lw=1, label="no K clusters keep more")
left.plot(numbers, kept, "C0o-", label="kept by the hard clusters found")
left.axvline(topics, color="0.7", lw=1, zorder=0)
left.set_xlabel("number of clusters K")
left.set_ylabel("I(T;Y), nats")
left.set_ylim(bottom=0.0)
left.legend(framealpha=1.0, edgecolor="none", fontsize=8, loc="lower right")
left.set_title("What K clusters of documents keep", fontsize=10)
order = np.argsort(np.argmax(pairs, axis=1))
image = right.imshow(pairs[order], cmap="Blues")
for (row, column), number in np.ndenumerate(pairs[order]):
    if number:
        right.text(column, row, number, ha="center", va="center", color="white" if number > 3 else "black")
right.set_xlabel("topic that the document was made from")
right.set_ylabel("cluster")
right.set_title("Documents by cluster and topic, K = 6", fontsize=10)
figure.savefig("documents.png", dpi=150)
