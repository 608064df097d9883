"""The harness of `bench`. Plugins import `oodbench`, never this package.

The modules in this folder and the room `contracts` are the shared vocabulary, and each folder is a
room. A module or room imports only from earlier entries in this list, and only `compute` and
`testing` import torch, with the rooms inside; `tests/unit/test_imports.py` reads this list.

    text            text for terminals and messages
    domain          description of an example, shared by models and data sets
    errors          every error for users
    events          events of a run, as values
    results         the outcome of each cell
    hookspecs       the hooks for plugins, and their entries
    contracts       the interface of each plugin kind
    dequantise      noise within the bins of discrete examples, for bits per dimension
    hub             cache of the Hugging Face hub
    settings        places and resources for a run; not part of any key
    metrics         AUROC and other metrics, paired tests, mean ranks
    registry        plugins discovered, options checked, new plugins started
    suite.toml      TOML files of a suite: read, merged, with file and line of each value
    suite           suites resolved to plugins; selections
    store           records on disk: hashes, locks, layout
    data            data sets: converted, listed, drawn from for the roles fit, in, out
    plan            jobs and cells of a suite: keys, estimates, explanations
    compute.saved   weights of models trained elsewhere: read, matched, loaded
    compute         training and the evaluation of statistics
    compute.workers    a worker: pieces of work taken one after another, and stored
    compute.memory  models and images given in memory, adapted to the contracts
    scoring         statistics -> scores -> results
    run             a run from start to end; saved results; event log
    detectors       a scorer of the table put to use: made, read, applied to files
    report          conclusions from the results
    report.render   the report as text: terminal, Markdown, LaTeX, CSV, JSON
    report.figures  the report as figures
    report.page     the report as a page for a browser
    maintenance     the store as a whole: list, fsck, gc, export, import; doctor
    regression      two runs compared; values pinned and verified
    testing         the conformance kit for plugins
    testing.placement  plugins on a second device, which is emulated
    cli.display     progress of a run, on stderr
    api             the Python interface: suites, results, objects in memory, single parts
    cli             the commands, clients of `api`
"""

from __future__ import annotations

from oodbench._names import give_way

give_way(__name__)
