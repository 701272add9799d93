"""A page to drop videos on, and a JSON API beside it: `main.py serve`.

A video goes from uploads (a stranger's bytes to a private folder) to jobs (the queue) to worker and process (a process
of its own that decodes and scores), and comes back through api and page. guard stands before all of them. This process
loads no model and decodes nothing, so that nothing in a video can take it down.
"""
