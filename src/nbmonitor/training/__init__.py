"""The wing beside the training loop: the public ``Run`` and what carries its words away. Imports ground only."""
