"""From a video to an answer: windows (scores of clips), answer (what is said of them), result (the same, typed) and
detector (a trained model that gives them)."""
