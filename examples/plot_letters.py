"""Letters of English
==================

English letters clustered by what follows them: a person sees vowels part from consonants.
"""

import matplotlib.pyplot as plt

import dualib

joint = dualib.datasets.load_letters(smoothing=0.5)
solutions = [dualib.solve(joint, beta, "dualib") for beta in (0.7, 2.0, 6.0)]

figure, axes = plt.subplots(1, 3, figsize=(14, 7.5), layout="constrained")
for ax, solution in zip(axes, solutions, strict=True):
    solution.plot_clusters(ax=ax)
    print(
        f"\nbeta = {solution.beta:g}: rate {solution.rate:.4f}, relevance {solution.relevance:.4f} nats, gap {solution.gap:.0e}"
    )
    for t in range(solution.n_clusters):
        members = [joint.x_labels[x] for x in range(joint.n_x) if solution.encoder[x].argmax() == t]
        print(f"  {solution.weights[t]:.3f}  {' '.join(members) or '(likeliest of none)'}")
figure.savefig("letters.png", dpi=100)
