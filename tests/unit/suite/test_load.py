"""Suites: everything wrong is said at once, with file, line, key and the nearest name."""

from __future__ import annotations

import textwrap
import tomllib
from pathlib import Path

import pytest

from harness.errors import SuiteError
from harness.suite import Suite, load_suite
from harness.suite.components import parse_input
from harness.suite.toml.files import shipped_by_name, shipped_suites

BASE = """
    [training.brief]

    [models.flow]
    plugin = "glow"
    training = "brief"

    [datasets.digits]
    plugin = "digits"

    [datasets.noise]
    plugin = "noise"

    [[comparisons]]
    models = ["flow"]
    in = ["digits"]
    out = "others"
    epochs = [1]
    scorers = ["typicality"]
"""


@pytest.fixture
def problems(write_suite):
    def find(text):
        path = write_suite(text)
        with pytest.raises(SuiteError) as caught:
            load_suite(path)
        return [str(problem).replace(str(path), "suite.toml") for problem in caught.value.problems]

    return find


def test_three_mistakes_are_three_errors_in_one_go(problems):
    text = BASE.replace("[training.brief]", "[training.brief]\n    lerning_rate = 1e-3")
    text = text.replace("epochs = [1]", "epochs = [1, -1]").replace("typicality", "typicalty")
    assert problems(text) == [
        "suite.toml:3: training.brief.lerning_rate: unknown key (did you mean 'learning_rate'?)",
        "suite.toml:19: comparisons[0].epochs[1]: input should be greater than or equal to 0, "
        "not -1",
        "suite.toml:20: comparisons[0].scorers[0]: there is no scorer 'typicalty' "
        "(did you mean 'typicality'?)",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            'plugin = "glow"',
            'plugin = "glwo"',
            "suite.toml:5: models.flow.plugin: there is no model plugin 'glwo' "
            "(did you mean 'glow'?)",
        ),
        (
            'training = "brief"',
            'training = "breif"',
            "suite.toml:6: models.flow.training: there is no training recipe 'breif' "
            "(did you mean 'brief'?)",
        ),
        (
            'training = "brief"',
            'training = "brief"\n    options = { stepps = 2, width = 0 }',
            "suite.toml:7: models.flow.options.stepps: unknown option (did you mean 'steps'?)",
        ),
        (
            'training = "brief"',
            'training = "brief"\n    dataset = "digist"',
            "suite.toml:7: models.flow.dataset: there is no data set 'digist' "
            "(did you mean 'digits'?)",
        ),
        (
            "[training.brief]",
            '[training.brief]\n    precision = "float16"',
            "suite.toml:3: training.brief.precision: input should be 'float32', 'float64' or "
            "'bfloat16', not 'float16'",
        ),
        (
            'training = "brief"',
            'training = "brief"\n    evaluation_precision = "float32"',
            "suite.toml:7: models.flow.evaluation_precision: input should be 'full' or "
            "'bfloat16', not 'float32'",
        ),
        (
            "[training.brief]\n\n    [models.flow]",
            '[training.brief]\n    precision = "float64"\n\n    [models.flow]\n'
            '    evaluation_precision = "bfloat16"',
            "suite.toml:6: models.flow.evaluation_precision: bfloat16 is for float32 parameters, "
            "and these are float64",
        ),
        (
            'models = ["flow"]',
            'models = ["flwo"]',
            "suite.toml:15: comparisons[0].models[0]: there is no model 'flwo' "
            "(did you mean 'flow'?)",
        ),
        (
            'out = "others"',
            'out = ["nose"]',
            "suite.toml:17: comparisons[0].out[0]: there is no data set 'nose' "
            "(did you mean 'noise'?)",
        ),
        (
            'out = "others"',
            'out = ["others", "noise"]',
            "suite.toml:17: comparisons[0].out: 'others' cannot be combined with further names",
        ),
        (
            "epochs = [1]",
            "epochs = [1, 1]",
            "suite.toml:18: comparisons[0].epochs: 1 is listed twice",
        ),
        ("epochs = [1]", "", "suite.toml:14: comparisons[0].epochs: missing key"),
        (
            "epochs = [1]",
            'epochs = "1"',
            "suite.toml:18: comparisons[0].epochs[0]: input should be a valid integer, not '1'",
        ),
        (
            "epochs = [1]",
            "epochs = [true]",
            "suite.toml:18: comparisons[0].epochs[0]: input should be a valid integer, not True",
        ),
        (
            "epochs = [1]",
            "epochs = []",
            "suite.toml:18: comparisons[0].epochs: value should have at least 1 item after "
            "validation, not 0",
        ),
        (
            "epochs = [1]",
            "epochs = [1]\n    colour = 3",
            "suite.toml:19: comparisons[0].colour: unknown key (known: ",
        ),
        (
            'plugin = "noise"',
            'plugin = "noise"\n    options = { channels = 3 }',
            "suite.toml:18: comparisons[0].out: no OOD data set is left for 'digits' (1x8x8)",
        ),
        (
            'plugin = "noise"',
            'plugin = "noise"\n    options = { height = 9 }\n\n    [datasets.big]\n    '
            'plugin = "noise"',
            None,
        ),
        (
            'plugin = "noise"',
            'plugin = "transformed"\n    options = { source = "digist", transform = "invert" }',
            "suite.toml:13: datasets.noise.options.source: there is no data set 'digist' "
            "(did you mean 'digits'?)",
        ),
        (
            'plugin = "noise"',
            'plugin = "transformed"\n    options = { source = "noise", transform = "invert" }',
            "suite.toml:13: datasets.noise.options.source: data set 'noise' contains itself",
        ),
    ],
)
def test_mistakes_are_located_and_explained(problems, write_suite, old, new, expected):
    text = BASE.replace(old, new, 1)
    assert text != BASE
    if expected is None:
        load_suite(write_suite(text))
    else:
        found = problems(text)
        assert any(problem.startswith(expected) for problem in found), found


def test_out_data_sets_of_another_domain_are_named(problems):
    text = BASE.replace('out = "others"', 'out = ["photos"]').replace(
        "[datasets.noise]", "[datasets.photos]"
    )
    text = text.replace('plugin = "noise"', 'plugin = "photos"\n    options = { channels = 3 }')
    assert problems(text) == [
        "suite.toml:18: comparisons[0].out: 'photos' is 3x8x8, but 'digits' is 1x8x8"
    ]


GENERAL = """
    [models.general]
    plugin = "glow"
    training = "brief"
    dataset = "noise"

    [scorers.ratio]
    plugin = "likelihood-ratio"
    options = { background = "general" }

    [[comparisons]]"""


def test_a_general_model_is_judged_on_its_own_data_set_alone(problems, write_suite):
    text = BASE.replace("    [[comparisons]]", GENERAL).replace('"typicality"', '"ratio"')
    suite = load_suite(write_suite(text))
    assert suite.trained_on("general", "digits") == "noise"
    assert suite.trained_on("flow", "digits") == "digits"
    judged = text.replace('models = ["flow"]', 'models = ["flow", "general"]')
    assert problems(judged.replace('["digits"]', '["noise", "digits"]')) == [
        "suite.toml:25: comparisons[0].models[1]: 'general' is always trained on 'noise' "
        "(models.general.dataset), so the model can be judged only with that ID set, not with "
        "'digits'; scorers can still read the model there, for example log_prob@general"
    ]
    assert load_suite(write_suite(judged.replace('["digits"]', '["noise"]')))


def test_a_general_model_of_another_domain_is_named(problems):
    text = BASE.replace("    [[comparisons]]", GENERAL).replace('"typicality"', '"ratio"')
    text = text.replace('dataset = "noise"', 'dataset = "photos"')
    options = '[datasets.photos]\n    plugin = "photos"\n    options = { channels = 3 }\n\n    '
    assert problems(text.replace("[datasets.digits]", options + "[datasets.digits]")) == [
        "suite.toml:22: models.general.dataset: 'photos' is 3x8x8, but scorer 'ratio' reads the "
        "model on 'digits', which is 1x8x8"
    ]


def test_text_that_is_not_toml_is_one_error(problems):
    (problem,) = problems("title = 'x'\nmodels = [")
    assert problem.startswith("suite.toml:2: not valid TOML: ")


def test_a_suite_without_comparisons(problems):
    assert problems("title = 'x'") == ["suite.toml:1: comparisons: missing key"]


@pytest.mark.parametrize("table", ["datasets.digits", "scorers.typicality"])
def test_a_table_without_a_plugin_is_told_the_one_of_its_name(problems, table):
    text = BASE.replace('[datasets.digits]\n    plugin = "digits"\n', "") + f"\n[{table}]\n"
    name = table.partition(".")[2]
    (problem,) = problems(text)
    assert problem.endswith(
        f'{table}.plugin: missing key (plugin = "{name}" is the one of this name)'
    )


def test_a_missing_file_is_answered_with_its_nearest_sibling(write_suite):
    path = write_suite(BASE, "quickstart.toml")
    missing = path.with_name("quikstart.toml")
    with pytest.raises(SuiteError) as caught:
        load_suite(missing)
    hint = "(did you mean 'quickstart.toml'?)"
    assert str(caught.value) == f"{missing}: no such file in {path.parent} {hint}"


def test_shipped_suites_are_found_by_name_unless_a_file_has_this_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").mkdir()  # a folder is not in the way
    assert load_suite(Path("quickstart")).path == shipped_suites() / "quickstart.toml"
    study = load_suite(Path("studies/every-scorer"))
    assert study.suite.title == "FashionMNIST against MNIST, every scorer"
    (tmp_path / "pinned").write_text(textwrap.dedent(BASE))
    assert load_suite(Path("pinned")).path == Path("pinned")
    for missing in ("quickstrat", "suites/quickstart.toml"):
        with pytest.raises(SuiteError, match=r"no such file in .*\(did you mean 'quickstart'\?\)"):
            load_suite(Path(missing))


def test_no_two_shipped_suites_have_the_same_file_name():
    names = [path.stem for path in shipped_by_name().values()]
    assert sorted(names) == sorted(set(names))


def test_every_file_that_is_not_included_by_others_is_a_suite():
    included = {
        path.parent.joinpath(name).resolve()
        for path in shipped_suites().rglob("*.toml")
        for name in tomllib.loads(path.read_text()).get("include", ())
    }
    shipped = set(shipped_by_name().values())
    assert shipped >= set(shipped_suites().rglob("*.toml")) - included
    parts = set(shipped_suites().joinpath("common").iterdir())
    assert parts <= included
    assert not parts & shipped


def test_other_than_text_is_refused(tmp_path):
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SuiteError, match="not UTF-8"):
        load_suite(path)


def test_a_huge_suite_is_refused(tmp_path):
    path = tmp_path / "huge.toml"
    path.write_text("#" * 1_000_001)
    with pytest.raises(SuiteError, match="at most 1,000,000 bytes"):
        load_suite(path)


def test_numbers_that_are_not_finite_are_refused(problems):
    text = BASE.replace("[training.brief]", "[training.brief]\n    learning_rate = inf")
    assert "learning_rate" in problems(text)[0]


class TestIncludes:
    def test_tables_and_comparisons_are_taken_in(self, write_suite):
        tables, comparisons = BASE.split("    [[comparisons]]")
        write_suite(tables, "common/tables.toml")
        main = write_suite('include = ["common/tables.toml"]\n[[comparisons]]' + comparisons)
        suite = load_suite(main)
        assert list(suite.models) == ["flow"]
        assert suite.out_datasets(suite.suite.comparisons[0], "digits") == ("noise",)

    def test_comparisons_of_all_files_count(self, write_suite):
        write_suite(BASE, "first.toml")
        again = """
            include = ["first.toml"]

            [[comparisons]]
            models = ["flow"]
            in = ["digits"]
            out = ["noise"]
            epochs = [3]
            scorers = ["typicality"]
        """
        suite = load_suite(write_suite(again))
        assert [comparison.epochs for comparison in suite.suite.comparisons] == [(1,), (3,)]

    def test_a_name_in_two_files_is_an_error_that_names_both(self, write_suite):
        first = write_suite(BASE, "first.toml")
        text = 'include = ["first.toml"]\n[datasets.noise]\nplugin = "noise"\n'
        main = write_suite(text)
        with pytest.raises(SuiteError) as caught:
            load_suite(main)
        assert str(caught.value) == (f"{main}:2: datasets.noise: defined before, at {first}:11")

    def test_mistakes_name_the_file_they_are_in(self, write_suite):
        first = write_suite(BASE.replace("typicality", "typicalty"), "first.toml")
        main = write_suite('include = ["first.toml"]\ntitle = 3\n')
        with pytest.raises(SuiteError) as caught:
            load_suite(main)
        files = [(problem.file, problem.line) for problem in caught.value.problems]
        assert files == [(str(first), 19), (str(main), 2)]

    def test_a_file_that_includes_itself(self, write_suite):
        main = write_suite('include = ["suite.toml"]')
        with pytest.raises(SuiteError, match="the file includes itself"):
            load_suite(main)


PLUGIN = """
from oodbench import Entry, hookimpl

@hookimpl
def bench_scorers():
    return [Entry("mine", ":Mine", "mine")]

class Mine:
    inputs = {inputs}

    def fit(self, statistics):
        return self
"""


class TestPlugins:
    def with_plugin(self, write_suite, inputs):
        write_suite(PLUGIN.format(inputs=inputs), "mine.py")
        text = BASE.replace("typicality", "mine")
        return write_suite('    [plugins]\n    paths = ["mine.py"]\n' + text)

    def test_a_file_next_to_the_suite(self, write_suite):
        suite = load_suite(self.with_plugin(write_suite, '("log_prob@flow:4",)'))
        (item,) = suite.scorers["mine"].inputs
        assert (item.statistic, item.model, item.epoch) == ("log_prob", "flow", 4)

    @pytest.mark.parametrize(
        ("inputs", "message"),
        [
            ('("log_porb",)', "reads unknown statistic 'log_porb' .did you mean 'log_prob'"),
            ('("log_prob@flwo",)', "reads unknown model 'flwo' .did you mean 'flow'"),
            (
                '("log_prob@flow:x",)',
                "should read STATISTIC, followed by @MODEL, :EPOCH and /SEED",
            ),
        ],
    )
    def test_inputs_that_cannot_be_read(self, write_suite, inputs, message):
        with pytest.raises(SuiteError, match=message):
            load_suite(self.with_plugin(write_suite, inputs))

    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            ("log_prob", ("log_prob", None, None, None)),
            ("log_prob@flow", ("log_prob", "flow", None, None)),
            ("log_prob:4", ("log_prob", None, 4, None)),
            ("log_prob/1", ("log_prob", None, None, 1)),
            ("log_prob:0/0", ("log_prob", None, 0, 0)),
            ("log_prob@flow/1", ("log_prob", "flow", None, 1)),
            ("log_prob@flow:4/12", ("log_prob", "flow", 4, 12)),
        ],
    )
    def test_inputs(self, text, parts):
        item = parse_input(text)
        assert (item.text, item.statistic, item.model, item.epoch, item.seed) == (text, *parts)

    @pytest.mark.parametrize(
        "text",
        [
            *("", "@flow", "log_prob@", "log_prob:", "log_prob/", "log_prob:x", "log_prob/-1"),
            *("log_prob/1:4", "log_prob:4@flow", "log_prob@flow@flow", "log_prob:4:4"),
            "log_prob:٤",
        ],
    )
    def test_inputs_that_read_otherwise(self, text):
        with pytest.raises(
            ValueError, match=r"should read STATISTIC, followed by @MODEL, :EPOCH "
        ):
            parse_input(text)

    def test_a_missing_plugin_file(self, write_suite):
        path = write_suite('[plugins]\npaths = ["absent.py"]\n')
        with pytest.raises(SuiteError) as caught:
            load_suite(path)
        assert str(caught.value) == (
            f"{path}:2: plugins.paths: plugin file {path.with_name('absent.py')} cannot be read: "
            "No such file or directory"
        )


def test_the_protocol_holds_for_comparisons_that_do_not_say_otherwise(write_suite):
    again = BASE[BASE.index("[[comparisons]]") :] + "    n_in = 30\n    draw_seed = 0\n"
    protocol = "[protocol]\nn_in = 20\ndraw_seed = 7\nfit_overlap = 'paper'\n"
    plain, own = load_suite(write_suite(protocol + BASE + again)).suite.comparisons
    assert (plain.n_in, plain.draw_seed, plain.fit_overlap, plain.n_fit) == (20, 7, "paper", None)
    assert (own.n_in, own.draw_seed, own.fit_overlap, own.n_fit) == (30, 0, "paper", None)


def test_a_mistake_in_the_protocol_is_said_once(problems):
    assert problems("[protocol]\nn_inn = 3\nn_fit = 0\n" + BASE) == [
        "suite.toml:2: protocol.n_inn: unknown key (did you mean 'n_in'?)",
        "suite.toml:3: protocol.n_fit: input should be greater than or equal to 1, not 0",
    ]


def test_a_suite_is_frozen(write_suite):
    suite = load_suite(write_suite(BASE)).suite
    with pytest.raises(ValueError, match="frozen"):
        suite.title = "other"


def test_every_key_has_a_meaning():
    schema = Suite.model_json_schema()
    for name, table in {**schema["$defs"], "Suite": schema}.items():
        for key, value in table["properties"].items():
            described = schema["$defs"][value["$ref"].split("/")[-1]] if "$ref" in value else value
            assert described.get("description"), f"{name}.{key} has no meaning"


def test_a_single_name_stands_for_a_list(write_suite):
    text = BASE.replace('["flow"]', '"flow"').replace('["digits"]', '"digits"')
    text = text.replace("[1]", "1").replace('"others"', '"noise"')
    (comparison,) = load_suite(write_suite(text)).suite.comparisons
    assert (comparison.models, comparison.in_datasets) == (("flow",), ("digits",))
    assert (comparison.out_datasets, comparison.epochs) == (("noise",), (1,))


TEXT = BASE.replace(
    'plugin = "digits"', 'plugin = "text-files"\n    options = { path = "texts", length = 8 }'
).replace(
    'plugin = "noise"',
    'plugin = "transformed"\n    options = { source = "digits", transform = "upper-case" }',
)


@pytest.mark.parametrize("setting", ["translate = 0.1", "horizontal_flip = true"])
def test_only_images_are_shifted_and_mirrored(problems, setting):
    text = TEXT.replace("[training.brief]", f"[training.brief]\n    {setting}")
    name = setting.partition(" ")[0]
    assert problems(text) == [
        f"suite.toml:7: models.flow.training: {name} is for images only, but 'digits' is 8 bytes"
    ]


def test_values_of_text_may_be_replaced(write_suite):
    text = TEXT.replace("[training.brief]", "[training.brief]\n    mutation_rate = 0.1")
    assert load_suite(write_suite(text)).models["flow"].recipe.mutation_rate == 0.1
