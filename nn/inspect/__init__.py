"""Looking at models: scores, gradients, plots."""
