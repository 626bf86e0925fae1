#!/usr/bin/env python3
"""What bench/streams measures, done with ffmpeg and rapidocr-onnxruntime: streams.py DIR full|keyframes SECONDS N..

DIR is a generated game. Its video is N streams in their own time, each decoded by an ffmpeg of its own into a pipe: 2 frames a second,
or keyframes alone. Python, a process a CPU with a thread a pipe, takes the newest frame of each: three cells of text, straight to PP-OCR's
recogniser (batched, one thread), four icons by cv2.matchTemplate (TM_CCOEFF_NORMED, no mask). A line of CSV for each N: `wanted`
frames by the clock; `judged`; time from the frame's last byte to its results; cores that the decoders took, and Python; Python's
CPU for each sample. N streams fit if nothing is missing and 95 % take 300 ms at most.

    --gate       what has not changed since the last frame (mean difference of a cell or region below 2 levels) is not looked at again
    --width N    lines are filled up to at least this width for the recogniser: 320, as the package has it; 96 would do

Needs numpy, opencv-python-headless, rapidocr-onnxruntime and its dependencies (`make peers`), and ffmpeg.
"""
import argparse
import collections
import multiprocessing
import os
import re
import resource
import subprocess
import sys
import threading
import time

from peers import venv

WARM = 5.0
WIDTH, HEIGHT = 1280, 720
CELLS = ["score", "clock", "alive"]
ICONS = [("skull", "feed"), ("shield", "feed"), ("shield", "states"), ("skull", "states")]


def regions(folder):
    """name -> x, y, width, height, all even, of game.yaml."""
    found = {}
    with open(f"{folder}/game.yaml") as f:
        for name, *box in re.findall(r"^  (\w+): \[(\d+), (\d+), (\d+), (\d+)\]$", f.read(), re.M):
            found[name] = [int(v) // 2 * 2 for v in box]
    return found


class Looker:
    """Frames of I420 -> texts and scores."""

    def __init__(self, folder, gate, width):
        import cv2
        import rapidocr_onnxruntime
        from rapidocr_onnxruntime.ch_ppocr_rec import TextRecognizer
        cv2.setNumThreads(1)
        self.cv2, self.gate, self.region, self.before = cv2, gate, regions(folder), {}
        self.icon = {n: cv2.imread(f"{folder}/refs/{n}.png", cv2.IMREAD_GRAYSCALE) for n in ("skull", "shield")}
        model = os.path.join(os.path.dirname(rapidocr_onnxruntime.__file__), "models/ch_PP-OCRv4_rec_infer.onnx")
        self.recogniser = TextRecognizer({
            "model_path": model, "rec_img_shape": [3, 48, width], "rec_batch_num": 6, "use_cuda": False, "use_dml": False,
            "intra_op_num_threads": 1, "inter_op_num_threads": 1})

    def crop(self, frame, name):
        import numpy as np
        x, y, w, h = self.region[name]
        luma = frame[:HEIGHT * WIDTH].reshape(HEIGHT, WIDTH)
        chroma = frame[HEIGHT * WIDTH:].reshape(2, HEIGHT // 2, WIDTH // 2)
        parts = [luma[y:y + h, x:x + w], *chroma[:, y // 2:(y + h) // 2, x // 2:(x + w) // 2]]
        return np.concatenate([p.ravel() for p in parts]).reshape(h * 3 // 2, w)

    def changed(self, stream, name, pixels):
        """Whether it must be looked at."""
        key = (stream, name)
        before = self.before.get(key)
        if self.gate and before is not None and self.cv2.absdiff(before, pixels).mean() < 2:
            return False
        self.before[key] = pixels
        return True

    def look(self, stream, frame):
        cv2 = self.cv2
        cells = [self.crop(frame, name) for name in CELLS]
        cells = [cv2.cvtColor(c, cv2.COLOR_YUV2BGR_I420) for name, c in zip(CELLS, cells) if self.changed(stream, name, c)]
        texts = self.recogniser(cells)[0] if cells else []
        scores = []
        fresh = {}
        for icon, name in ICONS:
            if name not in fresh:
                x, y, w, h = self.region[name]
                gray = frame[:HEIGHT * WIDTH].reshape(HEIGHT, WIDTH)[y:y + h, x:x + w].copy()
                fresh[name] = gray if self.changed(stream, name, gray) else None
            if fresh[name] is not None:
                scores.append(cv2.minMaxLoc(cv2.matchTemplate(fresh[name], self.icon[icon], cv2.TM_CCOEFF_NORMED))[1])
        return texts, scores


class Pipes:
    """The newest frame of each stream."""

    def __init__(self, path, keyframes, numbers):
        self.lock = threading.Condition()
        self.ready = collections.OrderedDict()  # stream -> arrival, frame
        self.read = 0
        self.process = []
        for i in numbers:
            self.process.append(start_decoder(path, keyframes))
            threading.Thread(target=self.drain, args=(i, self.process[-1].stdout), daemon=True).start()
            time.sleep(2.0 / len(numbers))

    def drain(self, stream, pipe):
        import numpy as np
        size = WIDTH * HEIGHT * 3 // 2
        while True:
            frame = bytearray(size)
            at = memoryview(frame)
            while at:
                n = pipe.readinto(at)
                if not n:
                    return
                at = at[n:]
            with self.lock:
                self.read += 1
                self.ready[stream] = (time.monotonic(), np.frombuffer(frame, np.uint8))
                self.lock.notify()

    def next(self, until):
        with self.lock:
            while not self.ready:
                if not self.lock.wait(max(0, until - time.monotonic())) and time.monotonic() >= until:
                    return None
            return self.ready.popitem(last=False)


def start_decoder(path, keyframes):
    which = ["-skip_frame", "nokey"] if keyframes else []
    out = ["-fps_mode", "passthrough"] if keyframes else ["-vf", "fps=2"]
    return subprocess.Popen(["ffmpeg", "-v", "error", "-nostdin", "-threads", "1", *which, "-re", "-stream_loop", "-1", "-i", path,
                             "-map", "0:v", *out, "-threads", "1", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"],
                            stdout=subprocess.PIPE, bufsize=0)


def cpu_self():
    use = resource.getrusage(resource.RUSAGE_SELF)
    return use.ru_utime + use.ru_stime


def cpu_of(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def worker(opt, numbers, results):
    looker = Looker(opt.dir, opt.gate, opt.width)
    pipes = Pipes(f"{opt.dir}/game.mp4", opt.mode == "keyframes", numbers)
    begin = time.monotonic() + WARM
    while (got := pipes.next(begin)) is not None and time.monotonic() < begin:
        looker.look(got[0], got[1][1])
    decoders = sum(cpu_of(p.pid) for p in pipes.process)
    python, latency, end = cpu_self(), [], time.monotonic() + opt.seconds
    while time.monotonic() < end:
        got = pipes.next(end)
        if got is None:
            break
        stream, (arrival, frame) = got
        looker.look(stream, frame)
        latency.append(time.monotonic() - arrival)
    results.put((sum(cpu_of(p.pid) for p in pipes.process) - decoders, cpu_self() - python, latency))
    for p in pipes.process:
        p.kill()


def frames_a_second(opt):
    if opt.mode == "full":
        return 2.0
    out = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "packet=flags:format=duration", "-of",
                          "csv=p=0", f"{opt.dir}/game.mp4"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    return sum("K" in line for line in out) / float(out[-1])


def measure(opt, n):
    results, processes = multiprocessing.Queue(), min(n, os.cpu_count())
    workers = [multiprocessing.Process(target=worker, args=(opt, range(i, n, processes), results)) for i in range(processes)]
    for w in workers:
        w.start()
    got = [results.get() for _ in workers]
    for w in workers:
        w.join()
    latency = sorted(t for r in got for t in r[2])
    at = lambda share: latency[int(share * (len(latency) - 1))] * 1e3 if latency else 0
    decode, python = sum(r[0] for r in got), sum(r[1] for r in got)
    print(f"{opt.mode},{n},{int(opt.gate)},{opt.width},{opt.seconds},{round(frames_a_second(opt) * opt.seconds * n)},{len(latency)},"
          f"{at(0.5):.1f},{at(0.95):.1f},{decode / opt.seconds:.3f},{python / opt.seconds:.3f},"
          f"{python * 1e3 / max(1, len(latency)):.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir")
    parser.add_argument("mode", choices=["full", "keyframes"])
    parser.add_argument("seconds", type=float)
    parser.add_argument("streams", type=int, nargs="+")
    parser.add_argument("--gate", action="store_true")
    parser.add_argument("--width", type=int, default=320)
    opt = parser.parse_args()
    print("decode,streams,gate,width,seconds,wanted,judged,sample_p50_ms,sample_p95_ms,decode_cores,python_cores,ms_a_sample")
    for n in opt.streams:
        measure(opt, n)


if __name__ == "__main__":
    if "--help" not in sys.argv and "-h" not in sys.argv:
        venv.enter()
    main()
