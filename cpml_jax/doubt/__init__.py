"""How far a clip is from what a model was trained and validated on, as a conformal p-value."""
