"""Random windows of pixels from other libraries, for ``pixel_windows.py --peers``.

Each function stores frames in a folder and returns what reads windows of them: ``read(first,
window)`` gives (B, window, h, w, 3) uint8. Each keeps its file open and uses what its library has
for the purpose; a film is decoded with one converter for all its frames.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np

Read = Callable[[np.ndarray, int], object]
GROUP = 2
"""Frames between two key frames of a film, as LeRobot writes them: seeks are short."""
SAMPLE = 64
"""Frames of a sample of WebDataset, a window of which is decoded."""


def film(frames: np.ndarray, folder: Path, options: dict[str, str]) -> Path:
    """An H.264 film of the frames, as LeRobot writes it (crf 30) if nothing else is asked for."""
    import av

    path = folder / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"g": str(GROUP), **options})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def pyav(frames: np.ndarray, folder: Path) -> Read:
    """PyAV on a film: seek to the key frame before, decode, drop what comes before the window."""
    import av
    from av.video.reformatter import VideoReformatter

    container = av.open(str(film(frames, folder, {"crf": "30"})))
    stream, convert = container.streams.video[0], VideoReformatter()
    stream.thread_type = "NONE"
    assert stream.time_base is not None
    ticks = 1 / 30 / float(stream.time_base)

    def window(first: int, count: int) -> np.ndarray:
        container.seek(round(first * ticks), stream=stream)
        found = []
        for frame in container.decode(stream):
            assert frame.pts is not None
            if round(frame.pts / ticks) >= first:
                found.append(convert.reformat(frame, format="rgb24").to_ndarray())
            if len(found) == count:
                return np.stack(found)
        raise EOFError(f"no {count} frames from {first}")

    return lambda first, count: np.stack([window(i, count) for i in first.tolist()])


def torchcodec(frames: np.ndarray, folder: Path) -> Read:
    """Torchcodec's decoder on the same film."""
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(str(film(frames, folder, {"crf": "30"})), num_ffmpeg_threads=1)
    return lambda first, count: np.stack(
        [decoder[i : i + count].permute(0, 2, 3, 1).numpy() for i in first.tolist()]
    )


def decord(frames: np.ndarray, folder: Path) -> Read:
    """Decord on the same film."""
    from decord import VideoReader

    reader = VideoReader(str(film(frames, folder, {"crf": "30"})), num_threads=1)
    return lambda first, count: np.stack(
        [reader.get_batch(range(i, i + count)).asnumpy() for i in first.tolist()]
    )


def imageio(frames: np.ndarray, folder: Path) -> Read:
    """Imageio on the same film: a process of ffmpeg for each window."""
    import imageio_ffmpeg

    path, shape = film(frames, folder, {"crf": "30"}), frames.shape[1:]

    def window(first: int, count: int) -> np.ndarray:
        words = ["-ss", f"{first / 30:.6f}", "-threads", "1"]
        reader = imageio_ffmpeg.read_frames(str(path), input_params=words)
        next(reader)  # what the film is
        found = [np.frombuffer(next(reader), np.uint8).reshape(shape) for _ in range(count)]
        reader.close()
        return np.stack(found)

    return lambda first, count: np.stack([window(i, count) for i in first.tolist()])


def _png(frame: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "PNG")
    return buffer.getvalue()


def _picture(data: bytes) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(data)))


def webdataset(frames: np.ndarray, folder: Path) -> Read:
    """WebDataset: one sample after the other, and a window that begins anywhere in it.

    It has no random access; that the samples come in the order of the file is its best case.
    """
    from webdataset import TarWriter, WebDataset

    path = str(folder / "samples.tar")
    with TarWriter(path) as writer:
        for number in range(len(frames) // SAMPLE):
            part = frames[number * SAMPLE : (number + 1) * SAMPLE]
            pictures = {f"{i:02d}.png": _png(frame) for i, frame in enumerate(part)}
            writer.write({"__key__": f"{number:06d}", **pictures})
    samples = iter(WebDataset(path, shardshuffle=False, empty_check=False).repeat())

    def window(start: int, count: int) -> np.ndarray:
        sample = next(samples)
        return np.stack([_picture(sample[f"{i:02d}.png"]) for i in range(start, start + count)])

    return lambda first, count: np.stack(
        [window(i % (SAMPLE - count + 1), count) for i in first.tolist()]
    )


def lance(frames: np.ndarray, folder: Path) -> Read:
    """Lance: a row for each frame, as PNG; rows are taken by number."""
    import lance as library
    import pyarrow as arrow

    table = arrow.table({"frame": arrow.array([_png(f) for f in frames], arrow.binary())})
    dataset = library.write_dataset(table, str(folder / "frames.lance"))

    def read(first: np.ndarray, count: int) -> np.ndarray:
        rows = (first[:, None] + np.arange(count)).ravel().tolist()
        found = dataset.take(rows, columns=["frame"]).column("frame").to_pylist()
        return np.stack([_picture(data) for data in found])

    return read


def lance_raw(frames: np.ndarray, folder: Path) -> Read:
    """Lance with the bytes of each frame as they are."""
    import lance as library
    import pyarrow as arrow

    size, shape = frames[0].size, frames.shape[1:]
    column = arrow.FixedSizeListArray.from_arrays(arrow.array(frames.reshape(-1)), size)
    dataset = library.write_dataset(arrow.table({"frame": column}), str(folder / "frames.lance"))

    def read(first: np.ndarray, count: int) -> np.ndarray:
        rows = (first[:, None] + np.arange(count)).ravel().tolist()
        found = dataset.take(rows, columns=["frame"]).column("frame").combine_chunks()
        return found.flatten().to_numpy().reshape(len(first), count, *shape)

    return read


def torchrl(frames: np.ndarray, folder: Path) -> Read:
    """TorchRL's memory-mapped storage."""
    import torch
    from tensordict import TensorDict
    from torchrl.data import LazyMemmapStorage

    storage = LazyMemmapStorage(len(frames), scratch_dir=str(folder))
    rows = torch.arange(len(frames))
    storage.set(rows, TensorDict({"pixels": torch.from_numpy(frames)}, batch_size=[len(frames)]))

    def read(first: np.ndarray, count: int) -> object:
        index = torch.from_numpy(first)[:, None] + torch.arange(count)
        return storage.get(index.flatten())["pixels"].contiguous()

    return read


PEERS: dict[str, tuple[Callable[[np.ndarray, Path], Read], bool]] = {
    "PyAV, H.264": (pyav, False),
    "torchcodec, H.264": (torchcodec, False),
    "decord, H.264": (decord, False),
    "imageio, H.264": (imageio, False),
    "WebDataset, PNG": (webdataset, True),
    "Lance, PNG": (lance, True),
    "Lance, uncompressed": (lance_raw, True),
    "TorchRL memmap, uncompressed": (torchrl, True),
}
"""What reads, and whether it gives back the frames as they were."""
