"""Data sets for examples and benchmarks: bundled, read from IDX files, downloaded."""

import gzip
import http.client
import importlib.util
import io
import math
import os
import struct
import sys
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import sklearn.datasets
from sklearn.utils import Bunch

__all__ = ["fetch_fashion_mnist", "fetch_mnist", "load_digits", "read_idx"]

_U1, _I1, _I2, _I4, _F4, _F8 = map(np.dtype, ("u1", "i1", ">i2", ">i4", ">f4", ">f8"))
_IDX_DTYPES = {8: _U1, 9: _I1, 0x0B: _I2, 0x0C: _I4, 0x0D: _F4, 0x0E: _F8}
_CHUNK = 1 << 20

_SUBSETS = {"all": ("train", "test"), "train": ("train",), "test": ("test",)}
_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_ALL_FILES = _FILES["train"] + _FILES["test"]
# OpenML keeps one table without a split: training rows first, then test rows.
_OPENML_ROWS = {"train": slice(None, 60_000), "test": slice(60_000, None)}


class _DataSet(NamedTuple):
    title: str
    folder: str
    openml_name: str
    target_names: str
    source: str
    debian_folder: Path | None = None


_MNIST = _DataSet(
    title="MNIST",
    folder="mnist",
    openml_name="mnist_784",
    target_names="0,1,2,3,4,5,6,7,8,9",
    source="""Handwritten digits, from Y. LeCun, L. Bottou, Y. Bengio, P. Haffner,
"Gradient-based learning applied to document recognition", Proceedings of the IEEE
86(11), 2278-2324, 1998.""",
)
_FASHION_MNIST = _DataSet(
    title="Fashion-MNIST",
    folder="fashion-mnist",
    openml_name="Fashion-MNIST",
    target_names="T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,"
    "Bag,Ankle boot",
    source="""Garments in the format of MNIST, from H. Xiao, K. Rasul, R. Vollgraf,
"Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms",
arXiv:1708.07747, 2017.""",
    debian_folder=Path("/usr/share/datasets/fashion-mnist"),
)


def load_digits(*, return_X_y: bool = False) -> Bunch | tuple[np.ndarray, np.ndarray]:
    """Load scikit-learn's bundled digits: 8 x 8 images, ten classes.

    Parameters
    ----------
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    digits : :class:`~sklearn.utils.Bunch` or (data, target)
        ``data``, float32 of shape (1797, 64), grey levels 0 to 16; ``target``, int64
        of shape (1797,); ``feature_names``, ``target_names``, ``DESCR``.

    References
    ----------
    E. Alpaydin, C. Kaynak, "Cascading classifiers", Kybernetika 34(4), 369-374, 1998.
    """
    bunch = sklearn.datasets.load_digits()
    bunch.data = np.ascontiguousarray(bunch.data, dtype=np.float32)
    bunch.target = bunch.target.astype(np.int64)
    bunch.target_names = bunch.target_names.astype(str)
    del bunch["images"], bunch["frame"]  # the other loaders have none
    return (bunch.data, bunch.target) if return_X_y else bunch


def fetch_mnist(
    *,
    data_home: str | os.PathLike | None = None,
    subset: str = "all",
    return_X_y: bool = False,
    download_if_missing: bool = True,
) -> Bunch | tuple[np.ndarray, np.ndarray]:
    """Load MNIST: 28 x 28 images of handwritten digits, ten classes.

    The four IDX files, plain or ``.gz``, come from the first folder that has all four:

    1. ``mnist`` in ``data_home``, then ``data_home`` itself, if given;
    2. ``mnist`` in the folder that the environment variable ``LIFTNET_DATA`` names;
    3. ``mnist`` in the user's cache: ``$XDG_CACHE_HOME/liftnet`` if set, else
       ``~/.cache/liftnet`` (macOS: ``~/Library/Caches/liftnet``, Windows:
       ``~/AppData/Local/liftnet``).

    If none has, :func:`sklearn.datasets.fetch_openml` downloads "mnist_784", version
    1, once, into the user's cache. With pandas installed it is parsed much faster.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder to look in first. Files directly in it are taken for MNIST unchecked:
        those of Fashion-MNIST have the same names.
    subset : {"all", "train", "test"}, default="all"
        Rows to return: 70,000 (training rows first), 60,000 or 10,000.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.
    download_if_missing : bool, default=True
        If False, raise FileNotFoundError where none of the folders has the files;
        what an earlier download left in the cache does not count.

    Returns
    -------
    mnist : :class:`~sklearn.utils.Bunch` or (data, target)
        ``data``, C-contiguous float32 of shape (n, 784): raw grey levels 0 to 255, row
        by row (``data.reshape(-1, 28, 28)`` gives images); ``target``, int64 of shape
        (n,); ``feature_names``, ``target_names``, ``DESCR``.

    Raises
    ------
    ValueError
        If ``subset`` is none of the three, or a file found is malformed.
    FileNotFoundError
        If no folder has the files and they were not, or could not be, downloaded.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to
    document recognition", Proceedings of the IEEE 86(11), 2278-2324, 1998.
    """
    return _fetch(_MNIST, data_home, subset, return_X_y, download_if_missing)


def fetch_fashion_mnist(
    *,
    data_home: str | os.PathLike | None = None,
    subset: str = "all",
    return_X_y: bool = False,
    download_if_missing: bool = True,
) -> Bunch | tuple[np.ndarray, np.ndarray]:
    """Load Fashion-MNIST: 28 x 28 images of garments, ten classes.

    Parameters, result, search and errors are those of :func:`fetch_mnist`, but for the
    subfolder ``fashion-mnist``, OpenML's name "Fashion-MNIST", and one more folder to
    look in before the download: ``/usr/share/datasets/fashion-mnist``, from Debian's
    package ``dataset-fashion-mnist``. ``target_names`` names the garments.

    References
    ----------
    H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a novel image dataset for
    benchmarking machine learning algorithms", arXiv:1708.07747, 2017.
    """
    return _fetch(_FASHION_MNIST, data_home, subset, return_X_y, download_if_missing)


def read_idx(path: str | os.PathLike) -> np.ndarray:
    """Read an array from an IDX file, plain or gzip-compressed.

    No more is read, or decompressed, than the header declares and one byte.

    Parameters
    ----------
    path : str or path-like
        The file. Gzip is told by its first bytes, not by its name.

    Returns
    -------
    array : ndarray
        Of the declared shape and type (uint8, int8, int16, int32, float32 or
        float64), in native byte order, C-contiguous and writable.

    Raises
    ------
    ValueError
        If the file is malformed; the message names it and says what is wrong.
    """
    with open(path, "rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        try:
            return _parse_idx(gzip.GzipFile(fileobj=file) if zipped else file)
        except (ValueError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path}: malformed IDX file: {error}") from error


def _parse_idx(stream: io.BufferedIOBase) -> np.ndarray:
    dtype, shape = _read_idx_header(stream)
    declared = math.prod(shape) * dtype.itemsize
    # Chunks, because read() allocates what it is asked for; one byte more shows
    # trailing data, and takes gzip to its checksum.
    payload = bytearray()
    while chunk := stream.read(min(_CHUNK, declared + 1 - len(payload))):
        payload += chunk
    if len(payload) < declared:
        raise ValueError(f"truncated: {len(payload)} of {declared} bytes for {shape=}")
    if len(payload) > declared:
        raise ValueError(f"trailing bytes after the declared {declared}")
    array = np.frombuffer(payload, dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _read_idx_header(stream: io.BufferedIOBase) -> tuple[np.dtype, tuple[int, ...]]:
    magic = stream.read(4)
    if len(magic) < 4:
        raise ValueError(f"too short for a header: {len(magic)} bytes")
    if magic[:2] != b"\0\0":
        raise ValueError(f"bad magic number 0x{magic.hex()}: it must begin with 0x0000")
    code, ndim = magic[2:]
    if code not in _IDX_DTYPES:
        raise ValueError(f"unknown type code 0x{code:02x}")
    if ndim == 0:
        raise ValueError("zero dimensions: at least one is needed")
    sizes = stream.read(4 * ndim)
    if len(sizes) < 4 * ndim:
        raise ValueError(f"too short for a header with {ndim} dimensions")
    shape = struct.unpack(f">{ndim}i", sizes)
    if min(shape) < 0:
        raise ValueError(f"negative size in shape {shape}")
    return _IDX_DTYPES[code], shape


def _fetch(dataset, data_home, subset, return_X_y, download_if_missing):
    if subset not in list(_SUBSETS):
        raise ValueError(f"subset must be one of {list(_SUBSETS)}, got {subset!r}")
    folders = _search_path(dataset, data_home)
    found = next(filter(_has_all_files, folders), None)
    if found is not None:
        parts = [_read_part(found, part) for part in _SUBSETS[subset]]
    elif download_if_missing:
        parts = _download(dataset, _SUBSETS[subset], folders)
    else:
        raise _not_found(dataset, folders, "not found, `download_if_missing` is False")
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    data = np.ascontiguousarray(images, dtype=np.float32).reshape(-1, 28 * 28)
    target = labels.astype(np.int64)
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        feature_names=[f"pixel_{row}_{col}" for row in range(28) for col in range(28)],
        target_names=np.array(dataset.target_names.split(",")),
        DESCR=f"{dataset.title}: 70,000 images of 28 x 28 grey levels, 0 to 255, in "
        f"ten classes; 60,000 to train, 10,000 to test.\n{dataset.source}",
    )


def _search_path(dataset: _DataSet, data_home: str | os.PathLike | None) -> list[Path]:
    folders = []
    if data_home is not None:
        given = Path(data_home).expanduser()
        folders += [given / dataset.folder, given]
    # Only subfolders below here: both data sets use the same file names.
    if shared := os.environ.get("LIFTNET_DATA"):
        folders.append(Path(shared).expanduser() / dataset.folder)
    folders.append(_cache_home() / dataset.folder)
    if dataset.debian_folder is not None:
        folders.append(dataset.debian_folder)
    return folders


def _cache_home() -> Path:
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(xdg):  # its specification: ignore a relative path
        return Path(xdg, "liftnet")
    home = Path.home()
    known = {"win32": home / "AppData" / "Local", "darwin": home / "Library" / "Caches"}
    return known.get(sys.platform, home / ".cache") / "liftnet"


def _file(folder: Path, name: str) -> Path:
    candidates = (folder / name, folder / f"{name}.gz")
    # os.path.isfile, unlike Path.is_file, answers False for a folder we may not read.
    return next(filter(os.path.isfile, candidates), candidates[0])


def _has_all_files(folder: Path) -> bool:
    return all(os.path.isfile(_file(folder, name)) for name in _ALL_FILES)


def _read_part(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    images, labels = (read_idx(_file(folder, name)) for name in _FILES[part])
    n = len(images)
    for array, shape in ((images, (n, 28, 28)), (labels, (n,))):
        if array.dtype != np.uint8 or array.shape != shape:
            got = f"{array.dtype} of shape {array.shape}"
            raise ValueError(f"{folder}: {part}: expected uint8 of {shape=}, got {got}")
    if (labels > 9).any():
        raise ValueError(f"{folder}: {part}: labels must be 0 to 9, got {labels.max()}")
    return images, labels


def _download(dataset: _DataSet, parts: tuple[str, ...], folders: list[Path]) -> list:
    options = {"version": 1, "as_frame": False, "parser": "liac-arff"}
    if importlib.util.find_spec("pandas"):
        # float32 throughout takes half the memory, and steers clear of nominal columns:
        # scikit-learn 1.9.1 and before fail on those with pandas 3.1 (issue 34892).
        options |= {"parser": "pandas", "read_csv_kwargs": {"dtype": np.float32}}
    try:
        table = sklearn.datasets.fetch_openml(
            dataset.openml_name, data_home=_cache_home(), **options
        )
    # ValueError: OpenML's own errors and a wrong checksum.
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = f"not found, its download from OpenML failed ({error})"
        raise _not_found(dataset, folders, reason) from error
    images = table.data.astype(np.float32, copy=False)
    labels = table.target.astype(np.int64)  # strings from liac-arff
    return [(images[_OPENML_ROWS[p]], labels[_OPENML_ROWS[p]]) for p in parts]


def _not_found(dataset: _DataSet, folders: list[Path], reason: str) -> OSError:
    looked = "\n  ".join(map(str, folders))
    debian = f"install Debian's package dataset-{dataset.folder}, "
    return FileNotFoundError(
        f"{dataset.title}: {reason}. Looked in\n  {looked}\nfor the IDX files "
        f"{', '.join(_ALL_FILES)}, plain or .gz. Pass their folder as data_home, put "
        f"them into the subfolder '{dataset.folder}' of the folder that LIFTNET_DATA "
        f"names in the environment, {debian if dataset.debian_folder else ''}or call "
        f"with download_if_missing=True where there is a network."
    )
