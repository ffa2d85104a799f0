"""The fault harness: searches that try to break what the project promises, each a module with a `search`.

`python -m faults NAME` tries much; a slice of each runs with the tests.
"""

import multiprocessing

# Processes that are killed, and readers: forked from one that has imported what both need, which takes a second. It is
# said in one place, because the last to say it would be the only one.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["faults.runs", "faults.torn"])
