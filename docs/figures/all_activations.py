"""Draw every activation with its potentials."""

import liftnet

liftnet.activations().plot()
