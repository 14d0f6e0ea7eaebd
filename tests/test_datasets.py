"""Data sets: the IDX reader, the search for files, what the loaders return."""

import gzip
import io
import struct
import sys
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets
from sklearn.utils import Bunch

from liftnet import datasets

CODES = {
    np.uint8: 0x08,
    np.int8: 0x09,
    np.int16: 0x0B,
    np.int32: 0x0C,
    np.float32: 0x0D,
    np.float64: 0x0E,
}
GARMENTS = "T-shirt/top Trouser Pullover Dress Coat Sandal Shirt Sneaker Bag".split()
LOADERS = {
    "mnist": datasets.fetch_mnist,
    "fashion-mnist": datasets.fetch_fashion_mnist,
}
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
both = pytest.mark.parametrize("name", LOADERS)


def header(code, *sizes):
    """IDX header for the given type code and sizes."""
    return bytes([0, 0, code, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes)


def idx(array):
    """IDX file of an array, as bytes."""
    code = CODES[array.dtype.type]
    big_endian = array.astype(array.dtype.newbyteorder(">"))
    return header(code, *array.shape) + big_endian.tobytes()


def random_array(dtype, shape, seed=0):
    """Random array over all of the type's values."""
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.random.default_rng(seed).bytes(count)
    return np.frombuffer(raw, dtype).reshape(shape)


def write_set(folder, mark=0, n_train=7, n_test=3, suffix=""):
    """Write a small data set whose first pixel is ``mark``; return its arrays."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for seed, (part, n) in enumerate({"train": n_train, "test": n_test}.items()):
        images = random_array(np.uint8, (n, 28, 28), seed).copy()
        images[:, 0, 0] = mark
        labels = (np.arange(n, dtype=np.uint8) + seed) % 10
        for file, array in zip(FILES[part], (images, labels), strict=True):
            packed = gzip.compress(idx(array), 1) if suffix else idx(array)
            (folder / f"{file}{suffix}").write_bytes(packed)
        arrays[part] = images.reshape(n, 784), labels
    return arrays


def mark_of(bunch):
    """Mark of the data set that was read, see ``write_set``."""
    return int(bunch.data[0, 0])


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Every place of the search moved into ``tmp_path``; a download fails the test."""
    found = {place: tmp_path / place for place in ("given", "env", "cache", "debian")}
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setenv("LIFTNET_DATA", str(found["env"]))
    monkeypatch.setenv("XDG_CACHE_HOME", str(found["cache"]))
    fashion = datasets._FASHION_MNIST._replace(debian_folder=found["debian"])
    monkeypatch.setattr(datasets, "_FASHION_MNIST", fashion)

    def refuse(*args, **kwargs):
        pytest.fail("download attempted")

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", refuse)
    return found


def fake_openml(monkeypatch, target_dtype=object):
    """Let OpenML answer with 60,000 + 10,000 rows; return the calls made."""
    calls = []
    data = np.zeros((70_000, 784), np.uint8)
    data[60_000:, 0] = 1
    target = (np.arange(70_000) % 10).astype(str).astype(target_dtype)

    def fetch(name, **options):
        calls.append((name, options))
        return Bunch(data=data, target=target)

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    return calls


# read_idx


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("shape", [(5,), (1,), (0,), (3, 4), (2, 3, 4), (2, 1, 2, 3)])
@pytest.mark.parametrize("dtype", CODES)
def test_idx_round_trip(tmp_path, dtype, shape, pack):
    """What was written comes back: values bit by bit, type, shape, byte order."""
    array = random_array(dtype, shape)
    path = tmp_path / "array"
    path.write_bytes(pack(idx(array)))
    for given in (path, str(path)):
        read = datasets.read_idx(given)
        assert read.dtype == dtype
        assert read.dtype.isnative
        assert read.shape == shape
        assert read.tobytes() == array.tobytes()  # NaN too
        assert read.flags.c_contiguous
        assert read.flags.writeable


def test_idx_big_endian_by_hand(tmp_path):
    """An example spelled out in bytes, against a reader and writer wrong alike."""
    path = tmp_path / "array"
    path.write_bytes(bytes.fromhex("00000b02 00000001 00000003 0001 0100 fffe"))
    assert datasets.read_idx(path).tolist() == [[1, 256, -2]]


def test_idx_larger_than_a_chunk(tmp_path, monkeypatch):
    """The payload is put together from chunks."""
    monkeypatch.setattr(datasets, "_CHUNK", 7)
    array = random_array(np.int32, (5, 9))
    (tmp_path / "array").write_bytes(gzip.compress(idx(array)))
    assert np.array_equal(datasets.read_idx(tmp_path / "array"), array)


def test_idx_gzip_is_told_by_content(tmp_path):
    """Neither a missing nor a wrong suffix matters."""
    array = random_array(np.uint8, (4,))
    (tmp_path / "plain.gz").write_bytes(idx(array))
    (tmp_path / "packed").write_bytes(gzip.compress(idx(array)))
    assert np.array_equal(datasets.read_idx(tmp_path / "plain.gz"), array)
    assert np.array_equal(datasets.read_idx(tmp_path / "packed"), array)


FULL = 0x7FFFFFFF
MALFORMED = {
    "empty": (b"", "too short"),
    "short magic": (b"\0\0\x08", "too short"),
    "short sizes": (header(8, 2, 3)[:-1], "too short"),
    "bad magic": (b"\0\1\x08\1\0\0\0\1x", "magic"),
    "text": (b"<html></html>", "magic"),
    "unknown type": (header(0x0A, 1) + b"x", "type code 0x0a"),
    "zero dimensions": (header(8), "zero dimensions"),
    "negative size": (header(8, 0x80000000), "negative size"),
    "negative product": (header(8, 0xFFFFFFFF, 0xFFFFFFFF) + b"x", "negative size"),
    "truncated": (header(8, 4) + b"abc", "truncated: 3 of 4"),
    "truncated wide": (header(0x0E, 2) + bytes(15), "truncated: 15 of 16"),
    "trailing": (header(8, 4) + b"abcde", "trailing"),
    "terabytes": (header(0x0E, FULL, FULL) + b"abc", "truncated: 3 of"),
    "overflow": (header(0x0E, *[FULL] * 9) + b"abc", "truncated: 3 of"),
    "too many dimensions": (header(8, *[1] * 255) + b"a", "dimension"),
    "empty overflow": (header(8, 0, *[FULL] * 9), ""),
}


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("case", MALFORMED)
def test_idx_malformed(tmp_path, case, pack):
    """Each malformed file is refused by name, with what is wrong."""
    content, wrong = MALFORMED[case]
    path = tmp_path / "some-name"
    path.write_bytes(pack(content))
    with pytest.raises(ValueError, match=f"some-name.*{wrong}"):
        datasets.read_idx(path)


def damaged_gzip():
    """Gzip files of a good IDX file, each damaged in its own way."""
    whole = gzip.compress(idx(random_array(np.uint8, (999,))))
    wrong_checksum = bytearray(whole)
    wrong_checksum[-8] ^= 1
    wrong_data = bytearray(whole)
    wrong_data[10:40] = b"\xff" * 30
    return {
        "magic only": whole[:2],
        "header cut": whole[:9],
        "data cut": whole[: len(whole) // 2],
        "trailer cut": whole[:-1],
        "checksum": bytes(wrong_checksum),
        "deflate data": bytes(wrong_data),
        "trailing bytes": whole + b"more",
        "second member": whole + gzip.compress(b"more"),
    }


@pytest.mark.parametrize("case", damaged_gzip())
def test_idx_damaged_gzip(tmp_path, case):
    """Gzip's own errors become a ValueError that names the file."""
    path = tmp_path / "some-name"
    path.write_bytes(damaged_gzip()[case])
    with pytest.raises(ValueError, match="some-name"):
        datasets.read_idx(path)


def test_idx_bounds_decompression(tmp_path, monkeypatch):
    """A gzip bomb is left alone after the declared bytes and one more."""
    asked = []

    class Counting(gzip.GzipFile):
        def read(self, size=-1):
            asked.append(size)
            return super().read(size)

    monkeypatch.setattr(datasets.gzip, "GzipFile", Counting)
    path = tmp_path / "bomb"
    path.write_bytes(gzip.compress(header(8, 1000) + bytes(10_000_000)))
    with pytest.raises(ValueError, match="trailing"):
        datasets.read_idx(path)
    assert min(asked) >= 0
    assert sum(asked) == 4 + 4 + 1001


def test_idx_never_asks_for_what_a_header_declares():
    """A header of terabytes makes no request larger than a chunk."""

    class Stream(io.BytesIO):
        def read(self, size=-1):
            assert 0 <= size <= datasets._CHUNK
            return super().read(size)

    with pytest.raises(ValueError, match="truncated"):
        datasets._parse_idx(Stream(header(0x0E, FULL, FULL) + b"abc"))


def test_idx_missing_file(tmp_path):
    """A file that is not there stays an OSError."""
    with pytest.raises(FileNotFoundError):
        datasets.read_idx(tmp_path / "nothing")


# search order


@both
def test_search_order(places, name):
    """Given folder, its subfolder first; then LIFTNET_DATA, cache, Debian."""
    order = [
        places["given"] / name,
        places["given"],
        places["env"] / name,
        places["cache"] / "liftnet" / name,
    ]
    if name == "fashion-mnist":
        order.append(places["debian"])
    for mark, folder in reversed(list(enumerate(order))):
        write_set(folder, mark)
        assert mark_of(LOADERS[name](data_home=places["given"])) == mark


@both
def test_without_data_home_the_given_folder_is_not_searched(places, name):
    """The default search begins with LIFTNET_DATA."""
    write_set(places["given"], 1)
    write_set(places["env"] / name, 2)
    assert mark_of(LOADERS[name]()) == 2


@both
def test_only_the_own_subfolder_counts(places, name):
    """In LIFTNET_DATA and the cache, neither loose files nor the other set count."""
    (other,) = LOADERS.keys() - {name}
    for root in (places["env"], places["cache"] / "liftnet"):
        write_set(root)
        write_set(root / other)
    with pytest.raises(FileNotFoundError):
        LOADERS[name](download_if_missing=False)


def test_debian_folder_is_not_searched_for_mnist(places):
    """Debian's package holds Fashion-MNIST only."""
    write_set(places["debian"])
    with pytest.raises(FileNotFoundError):
        datasets.fetch_mnist(download_if_missing=False)


@both
def test_incomplete_folder_is_passed_over(places, name):
    """A folder counts only with all four files."""
    write_set(places["given"], 1)
    (places["given"] / FILES["test"][1]).unlink()
    write_set(places["env"] / name, 2)
    assert mark_of(LOADERS[name](data_home=places["given"], subset="train")) == 2


def test_folder_that_is_a_file(places):
    """A file where a folder is expected is passed over."""
    places["given"].write_text("")
    write_set(places["env"] / "mnist", 2)
    assert mark_of(datasets.fetch_mnist(data_home=places["given"])) == 2


def test_plain_and_gzip_files_mix(places):
    """Each file may be plain or gzip; a plain one goes first."""
    folder = places["env"] / "mnist"
    write_set(folder, 1, suffix=".gz")
    assert mark_of(datasets.fetch_mnist()) == 1
    (folder / FILES["train"][0]).write_bytes(idx(np.full((7, 28, 28), 2, np.uint8)))
    assert mark_of(datasets.fetch_mnist()) == 2


def test_home_is_expanded(places, tmp_path, monkeypatch):
    """A tilde works in data_home and LIFTNET_DATA."""
    write_set(tmp_path / "home" / "a", 1)
    assert mark_of(datasets.fetch_mnist(data_home="~/a")) == 1
    write_set(tmp_path / "home" / "b" / "mnist", 2)
    monkeypatch.setenv("LIFTNET_DATA", "~/b")
    assert mark_of(datasets.fetch_mnist()) == 2


@pytest.mark.parametrize(
    ("platform", "folder"),
    [
        ("linux", ".cache/liftnet"),
        ("darwin", "Library/Caches/liftnet"),
        ("win32", "AppData/Local/liftnet"),
    ],
)
@pytest.mark.parametrize("xdg", [None, "", "relative"])
def test_cache_without_xdg(places, tmp_path, monkeypatch, platform, folder, xdg):
    """Each platform has its own cache; an unusable XDG_CACHE_HOME is ignored."""
    monkeypatch.setattr(sys, "platform", platform)
    if xdg is None:
        monkeypatch.delenv("XDG_CACHE_HOME")
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", xdg)
    assert datasets._cache_home() == tmp_path / "home" / Path(folder)


def test_empty_liftnet_data_is_ignored(places, monkeypatch, tmp_path):
    """An empty LIFTNET_DATA does not mean the working folder."""
    write_set(tmp_path / "cwd" / "mnist")
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setenv("LIFTNET_DATA", "")
    with pytest.raises(FileNotFoundError):
        datasets.fetch_mnist(download_if_missing=False)


# download


@pytest.mark.parametrize(
    ("name", "openml"), [("mnist", "mnist_784"), ("fashion-mnist", "Fashion-MNIST")]
)
def test_download(places, monkeypatch, name, openml):
    """OpenML is asked last, into our cache, and split by rows."""
    calls = fake_openml(monkeypatch)
    data, target = LOADERS[name](subset="test", return_X_y=True)
    assert data.shape == (10_000, 784)
    assert data.dtype == np.float32
    assert (data[:, 0] == 1).all()
    assert target.dtype == np.int64
    assert np.array_equal(target, np.arange(10_000) % 10)
    ((asked, options),) = calls
    assert asked == openml
    assert options["version"] == 1
    assert options["as_frame"] is False
    assert Path(options["data_home"]) == places["cache"] / "liftnet"


def test_download_of_everything(places, monkeypatch):
    """Training rows come first; targets that are numbers already are taken too."""
    fake_openml(monkeypatch, target_dtype=np.float64)
    bunch = datasets.fetch_mnist()
    assert bunch.data.shape == (70_000, 784)
    assert bunch.data.flags.c_contiguous
    assert not bunch.data[:60_000].any()
    assert bunch.target.dtype == np.int64


@pytest.mark.parametrize(("found", "parser"), [(None, "liac-arff"), (1, "pandas")])
def test_download_needs_no_pandas(places, monkeypatch, found, parser):
    """Without pandas the parser is the one that does without."""
    calls = fake_openml(monkeypatch)
    monkeypatch.setattr(datasets.importlib.util, "find_spec", lambda name: found)
    datasets.fetch_mnist(subset="test")
    assert calls[0][1]["parser"] == parser


@pytest.mark.parametrize(
    "error",
    [
        urllib.error.URLError("no route"),
        TimeoutError("no route"),
        ValueError("no route"),
    ],
)
@both
def test_offline(places, monkeypatch, name, error):
    """The message says what failed, where it looked, and what to do."""

    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fail)
    with pytest.raises(FileNotFoundError, match="no route") as raised:
        LOADERS[name](data_home=places["given"])
    message = str(raised.value)
    for place in ("given", "env", "cache"):
        assert str(places[place]) in message
    for word in ("data_home", "LIFTNET_DATA", *FILES["train"], *FILES["test"]):
        assert word in message
    fashion = name == "fashion-mnist"
    assert ("dataset-fashion-mnist" in message) == fashion
    assert (str(places["debian"]) in message) == fashion
    assert raised.value.__cause__ is error


@both
def test_download_if_missing_false(places, name):
    """Nothing is downloaded, and the error is scikit-learn's OSError."""
    with pytest.raises(OSError, match="`download_if_missing` is False"):
        LOADERS[name](download_if_missing=False)


# what comes back


@pytest.mark.parametrize("subset", ["all", "train", "test"])
@both
def test_subset(places, name, subset):
    """Each subset has its rows in file order, "all" the training rows first."""
    arrays = write_set(places["env"] / name)
    parts = ["train", "test"] if subset == "all" else [subset]
    pixels = np.concatenate([arrays[part][0] for part in parts])
    labels = np.concatenate([arrays[part][1] for part in parts])
    bunch = LOADERS[name](subset=subset)
    assert bunch.data.dtype == np.float32
    assert bunch.data.flags.c_contiguous
    assert np.array_equal(bunch.data, pixels)
    assert bunch.target.dtype == np.int64
    assert np.array_equal(bunch.target, labels)
    data, target = LOADERS[name](subset=subset, return_X_y=True)
    assert np.array_equal(data, bunch.data)
    assert np.array_equal(target, bunch.target)


@both
def test_default_is_everything(places, name):
    """Without a subset, both parts come back."""
    write_set(places["env"] / name, n_train=7, n_test=3)
    assert len(LOADERS[name]().data) == 10


@both
def test_names(places, name):
    """Pixels are named by row and column, classes by digit or garment."""
    write_set(places["env"] / name)
    bunch = LOADERS[name]()
    assert len(bunch.feature_names) == 784
    assert bunch.feature_names[29] == "pixel_1_1"
    fashion = name == "fashion-mnist"
    names = [*GARMENTS, "Ankle boot"] if fashion else list("0123456789")
    assert bunch.target_names.tolist() == names
    assert ("Xiao" if fashion else "LeCun") in bunch.DESCR


@pytest.mark.parametrize("subset", ["Train", "", None, 0, ["train"], ("train", "test")])
@both
def test_bad_subset(places, name, subset):
    """The message names the argument, what was given, and what is allowed."""
    with pytest.raises(ValueError, match=r"subset.*all.*train.*test.*got") as raised:
        LOADERS[name](subset=subset)
    assert repr(subset) in str(raised.value)


@pytest.mark.parametrize(
    ("file", "array"),
    [
        (0, np.zeros((7, 28, 27), np.uint8)),
        (0, np.zeros((7, 784), np.uint8)),
        (0, np.zeros(7, np.uint8)),
        (0, np.zeros((6, 28, 28), np.uint8)),
        (0, np.zeros((7, 28, 28), np.float32)),
        (1, np.zeros(6, np.uint8)),
        (1, np.zeros((7, 1), np.uint8)),
        (1, np.zeros(7, np.int32)),
        (1, np.full(7, 10, np.uint8)),
    ],
)
def test_files_that_are_no_such_data_set(places, file, array):
    """Wrong shapes, types, counts or labels are refused with the folder's name."""
    folder = places["env"] / "mnist"
    write_set(folder)
    (folder / FILES["train"][file]).write_bytes(idx(array))
    with pytest.raises(ValueError, match="train") as raised:
        datasets.fetch_mnist()
    assert str(folder) in str(raised.value)
    assert len(datasets.fetch_mnist(subset="test").data) == 3


def test_malformed_file_is_not_passed_over(places):
    """A damaged file is an error, not a reason to look elsewhere."""
    write_set(places["given"])
    (places["given"] / FILES["test"][0]).write_bytes(b"<html>")
    write_set(places["env"] / "mnist")
    with pytest.raises(ValueError, match=FILES["test"][0]):
        datasets.fetch_mnist(data_home=places["given"])


def test_digits():
    """scikit-learn's digits, in our types."""
    bunch = datasets.load_digits()
    data, target = datasets.load_digits(return_X_y=True)
    theirs = sklearn.datasets.load_digits()
    assert data.shape == (1797, 64)
    assert data.dtype == np.float32
    assert data.flags.c_contiguous
    assert target.dtype == np.int64
    assert np.array_equal(data, theirs.data)
    assert np.array_equal(target, theirs.target)
    assert np.array_equal(bunch.data, data)
    assert np.array_equal(bunch.target, target)
    assert bunch.target_names.tolist() == list("0123456789")
    assert len(bunch.feature_names) == 64


def test_all_loaders_return_the_same_fields(places):
    """A Bunch has the same fields whatever the loader."""
    for name in LOADERS:
        write_set(places["env"] / name)
    bunches = [load() for load in (datasets.load_digits, *LOADERS.values())]
    fields = {"data", "target", "feature_names", "target_names", "DESCR"}
    assert all(set(bunch) == fields for bunch in bunches)


# the real files, where there are any


@pytest.mark.parametrize(
    ("name", "first", "first_test"),
    [
        ("mnist", [5, 0, 4, 1, 9], [7, 2, 1, 0, 4]),
        ("fashion-mnist", [9, 0, 0, 3, 0], [9, 2, 1, 1, 6]),
    ],
)
def test_real_files(name, first, first_test):
    """The published counts and first labels."""
    try:
        bunch = LOADERS[name](download_if_missing=False)
    except FileNotFoundError as missing:
        pytest.skip(f"no real {name} here; set LIFTNET_DATA. {missing}")
    assert bunch.data.shape == (70_000, 784)
    assert bunch.data.dtype == np.float32
    assert (bunch.data.min(), bunch.data.max()) == (0, 255)
    train, test = bunch.target[:60_000], bunch.target[60_000:]
    assert train[:5].tolist() == first
    assert test[:5].tolist() == first_test
    counts = np.bincount(train, minlength=10), np.bincount(test, minlength=10)
    if name == "mnist":
        published = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
        assert counts[0].tolist() == published
    else:
        assert (counts[0] == 6000).all()
        assert (counts[1] == 1000).all()
