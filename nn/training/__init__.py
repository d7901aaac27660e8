"""Models: training them, evaluating them and predicting with them."""
