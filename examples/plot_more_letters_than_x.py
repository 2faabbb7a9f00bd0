"""More letters than x
===================

At one beta as many clusters as x are enough. At one rate it can take one more (Benger, Asoodeh and Chen 2023).

The symmetric channel of three letters, ``p(y|x) = 0.6 [y = x] + 0.4 / 3``, jumps at its onset: the one cluster and three
clusters are equally good there, and the curve is straight between them. Whoever wants the rate in between takes each with
some probability, and so four letters for three x. A solver that stops at as many clusters as x cannot do so well at that
rate: three letters that lean towards one x each, the natural candidates, keep less.
"""

import matplotlib.pyplot as plt
import numpy as np

import dualib

joint = dualib.datasets.symmetric(3, 0.6)
curve = dualib.anneal(joint, "ib", np.linspace(2.6, 3.2, 25))
(jump,) = curve.events
print(f"{jump.kind} at beta = {jump.beta:.10f}, exact {dualib.closed_forms.symmetric_onset(3, 0.6):.10f}")
print(f"rates of its two ends: {jump.below.rate:.6f} and {jump.above.rate:.6f} nats")

RATE = 0.03
point = curve.at_rate(RATE)
letters = sum(part.n_clusters for _, part in point.parts)
print(
    f"at rate {RATE}: relevance {point.relevance:.10f} nats, with {letters} letters; error of E d at most {point.error_bound:.0e}"
)

# three letters alone: encoders that lean towards one x each, of every strength, so that the rate is met
rows = []
for lean in np.linspace(0.0, 1.0, 400):
    encoder = lean * np.eye(3) + (1.0 - lean) / 3.0
    pxt = joint.px[:, None] * encoder
    rows.append([dualib.information.mutual_information(pxt), dualib.information.mutual_information(pxt.T @ joint.py_x)])
rate, relevance = np.array(rows).T
print(f"three symmetric letters at that rate keep {np.interp(RATE, rate, relevance):.10f} nats")

figure, ax = plt.subplots(figsize=(7.2, 4.6), layout="constrained")
ends = np.array([[s.rate, s.relevance] for s in (jump.below, jump.above)])
slope = 1.0 / jump.beta
ax.plot(rate, 1e4 * (relevance - slope * rate), color="#0072B2", label="three letters, one for each x")
ax.plot(ends[:, 0], 1e4 * (ends[:, 1] - slope * ends[:, 0]), "--o", color="#D55E00", label="four: the two ends, mixed")
ax.plot(RATE, 1e4 * (point.relevance - slope * RATE), "k*", ms=12, label=f"rate {RATE}")
ax.set_xlim(0.0, 1.6 * jump.above.rate)
ax.set_ylim(-0.7, 0.12)
ax.set(xlabel="rate  I(X;T)  [nats]", ylabel="relevance above the line of slope 1/beta  [1e-4 nats]")
ax.set_title("Between the ends of a jump it takes |X| + 1 letters")
ax.legend(frameon=False, loc="lower center")
figure.savefig("more-letters.png", dpi=110)
