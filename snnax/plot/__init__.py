"""Pictures of spikes, states, weights, training and networks, by matplotlib: `pip install "snnax[plot]"`.

Each function draws into the axes that it is given, `ax=`, or into those of a new figure, and returns them. Arrays are
jax's or NumPy's, of one example. Colours are told apart by colour-blind readers, and lines by their dashes too.

- Spikes: `raster`, `spike_counts`, `rates` of every layer.
- States: `traces`.
- Parameters: `weights`, `receptive_fields`.
- Recordings: `frames`, and `animate` beside the spikes of a network.
- Networks: `network`, the graph of its layers; `surrogate`, the shape of one.
- Training: `learning_curves`.
- `COLOURS` and `DASHES` are those of the lines, for a drawing of one's own.
"""

from ._animation import animate as animate
from ._curves import learning_curves as learning_curves, surrogate as surrogate
from ._frames import frames as frames
from ._network import network as network
from ._panel import COLOURS as COLOURS, DASHES as DASHES
from ._spikes import raster as raster, rates as rates, spike_counts as spike_counts
from ._traces import traces as traces
from ._weights import receptive_fields as receptive_fields, weights as weights
