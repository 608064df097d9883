"""The harness of `bench`. Plugins import `oodbench`, never this package.

The modules of this folder are the vocabulary of all others, and each folder is a room. A module or
room imports only from those that stand before it here, and only `compute` and `testing` import
torch; `tests/unit/test_imports.py` reads this list.

    text            text for terminals and messages
    domain          what an example is
    errors          every error that a user can meet
    events          what happens in a run, as values
    results         the outcome of each cell
    hookspecs       the hooks of plugins, and their entries
    contracts       what each kind of plugin promises
    settings        where and how a run computes; changes no number
    metrics         AUROC and other metrics, paired tests, mean ranks
    registry        plugins found, their options checked, new ones begun
    suite           TOML files, read and resolved to plugins; selections
    store           records on disk: hashes, locks, layout
    data            data sets: converted, listed, drawn from for the roles fit, in, out
    plan            jobs and cells of a suite: keys, estimates, explanations
    compute         training and the evaluation of statistics
    scoring         statistics -> scores -> results
    run             a run from start to end; saved results; event log
    report          what the results say
    report.render   the report as text: terminal, Markdown, LaTeX, CSV, JSON
    report.figures  the report as figures
    report.page     the report as one page for a browser
    maintenance     the store as a whole: list, fsck, gc, export, import; doctor
    regression      two runs compared; values pinned and verified
    testing         the conformance kit for plugins
    cli.display     progress of a command
    cli             the commands
"""

from __future__ import annotations

from oodbench._names import give_way

give_way(__name__)
