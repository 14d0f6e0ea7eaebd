"""Multi-layer perceptrons trained as lifted neural networks.

Every activation is the argmin of a convex problem, every layer's output a variable
of its own, and training is block-coordinate descent over convex sub-problems, with
no back-propagation. The estimators follow scikit-learn's interface;
``activations()`` lists what the hidden layers may be made of, and the displays draw
what an estimator recorded and learned.

``load`` reads an estimator that its method ``save`` wrote. ``liftnet.datasets`` loads
data sets; ``liftnet.torch`` hands networks over to and from PyTorch, ``liftnet.onnx``
to ONNX. None of the three is imported here.
"""

from importlib.metadata import version as _version

from liftnet._activations import activations
from liftnet._classifier import LiftedMLPClassifier
from liftnet._convergence_display import ConvergenceDisplay
from liftnet._feature_map_display import FeatureMapDisplay
from liftnet._regressor import LiftedMLPRegressor
from liftnet._save import load
from liftnet._threadpool import register as _register

__version__ = _version("liftnet")

_register()

__all__ = [
    "ConvergenceDisplay",
    "FeatureMapDisplay",
    "LiftedMLPClassifier",
    "LiftedMLPRegressor",
    "__version__",
    "activations",
    "load",
]
