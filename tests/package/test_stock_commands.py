"""The unmodified `python -m s3prl.run_downstream` trains and evaluates s3prl's own experts on mini-SUPERB, on the CPU."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from environments import pip, run_python

CONFIGS = Path(__file__).parent / "configs"

# Expert -> modules it imports that are in the extra `legacy`, files it must have written into the experiment folder.
TRAINED = {
    "speech_commands": ((), ("dev_predict.txt", "test_predict.txt")),
    "fluent_commands": (("pandas",), ("dev_predict.csv", "test_predict.csv")),
    "voxceleb1": (("librosa",), ("dev_predict.txt", "test_predict.txt")),
    "emotion": ((), ("dev_fold1_predict.txt", "test_fold1_predict.txt")),
    "diarization": (("h5py", "pandas"), ("frame_shift",)),
    "asr": (("editdistance", "pandas"), ("dev-clean-noLM-hyp.ark",)),
    "sv_voxceleb1": (("librosa", "joblib"), ("test_predict.txt",)),
}
QBE = "quesst14_dtw"


@pytest.fixture(scope="session")
def runs(installed, tiny_corpus, tmp_path_factory):
    """Every row's process, two at a time; experiment folder and what it printed, by expert."""
    python, _ = installed
    folder = tmp_path_factory.mktemp("stock")

    def train(expert):
        mode = ("-m", "evaluate", "-t", "dev") if expert == QBE else ("-m", "train")
        return stock(python, tiny_corpus, folder / expert, *mode, "-d", expert, "-c", CONFIGS / f"{expert}.yaml")

    with ThreadPoolExecutor(2) as pool:
        experts = [*TRAINED, QBE]
        return folder, dict(zip(experts, pool.map(train, experts)))


def stock(python, corpus, expdir, *arguments):
    # JOBLIB_MULTIPROCESSING: s3prl's ASV starts twelve processes, whatever the machine.
    variables = {"OMP_NUM_THREADS": "1", "JOBLIB_MULTIPROCESSING": "0", "CUDA_VISIBLE_DEVICES": ""}
    start = ("-m", "s3prl.run_downstream", "-u", "fbank", "-p", expdir, "--device", "cpu")
    return run_python(python, *start, *arguments, cwd=corpus, **variables)


@pytest.mark.parametrize("expert", TRAINED)
def test_trains_and_evaluates(runs, expert):
    modules, files = TRAINED[expert]
    for module in modules:
        pytest.importorskip(module)
    folder, answers = runs
    answer = answers[expert]
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert (folder / expert / "states-2.ckpt").is_file()
    written = {path.name for path in (folder / expert).iterdir() if path.stat().st_size}
    assert set(files) <= written


def test_query_by_example_evaluates(runs):
    pytest.importorskip("dtw")
    pytest.importorskip("lxml")
    folder, answers = runs
    assert answers[QBE].returncode == 0, answers[QBE].stderr[-3000:]
    assert "<stdlist" in (folder / QBE / "benchmark.stdlist.xml").read_text()


def test_a_finished_run_is_evaluated_again_from_its_folder(runs, installed, tiny_corpus):
    folder, answers = runs
    assert answers["diarization"].returncode == 0
    python, _ = installed
    answer = stock(python, tiny_corpus, "unused", "-m", "evaluate", "-t", "test", "-e", folder / "diarization")
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert list((folder / "diarization" / "scoring" / "predictions").glob("*.h5"))


@pytest.mark.network
def test_the_maintained_fork_works_the_same(wheel, make_environment, tiny_corpus, tmp_path):
    """espnet-s3prl installs the same folder; inside an environment it comes before the s3prl that is seen outside."""
    python, packages = make_environment("fork")
    pip("--python", python, "install", "--no-deps", "espnet-s3prl==2026.5.14")
    pip("--python", python, "install", "--no-deps", "--no-index", wheel)
    where = run_python(python, "-c", "import s3prl; print(s3prl.__file__)", cwd=tmp_path)
    assert where.stdout.startswith(str(packages)), where.stderr
    arguments = ("-m", "train", "-d", "speech_commands", "-c", CONFIGS / "speech_commands.yaml")
    answer = stock(python, tiny_corpus, tmp_path / "run", *arguments)
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert (tmp_path / "run" / "test_predict.txt").stat().st_size
