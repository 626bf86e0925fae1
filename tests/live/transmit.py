"""Films sent as live streams through every transport, with a relay between that does wrong what it is told to.

    with transmit.start(BUILD, "rtmp", ["a.ts", "b.ts"], folder) as t:
        lathe.watch(t.url)
        t.relay("cut 1")        # relay.c; also t.sender("jump 9"), sender.c

RTSP comes from rtsp_server.c, the others from sender.c; HLS is files that an HTTP server in this process hands out. What was
started ends with the block, and with this process.
"""
import ctypes
import functools
import http.server
import os
import signal
import socket
import subprocess
import threading
import time

TRANSPORTS = ("rtsp", "rtmp", "hls", "srt", "udp")


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Program:
    """Is told things on standard input, and says one line when it is ready."""

    def __init__(self, *argv):
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
        self.said = self.process.stdout.readline().strip()
        if not self.said:
            raise OSError(f"{argv[0]} does not start")

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class FileServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):  # who goes away in the middle is what is tested
        pass


class Transmission:
    def __init__(self, transport):
        self.transport, self.url = transport, None
        self.programs, self.files = {}, None

    def relay(self, command):
        self.programs["relay"].say(command)

    def sender(self, command):
        self.programs["sender"].say(command)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for program in self.programs.values():
            program.stop()
        if self.files:
            self.files.shutdown()
            self.files.server_close()


def held_port(kind):
    """A port that nobody has, and what holds it."""
    s = socket.socket(socket.AF_INET, kind)
    s.bind(("127.0.0.1", 0))
    return s.getsockname()[1], s


def free_port(kind):
    port, s = held_port(kind)
    s.close()
    return port


def start(build, transport, films, folder, faults=()):
    """films: what is sent, over and over; further ones are what the sender's `change` goes to. faults: of rtsp_server."""
    t = Transmission(transport)
    tests = os.path.join(build, "tests")

    def sender(url, form):
        t.programs["sender"] = Program(os.path.join(tests, "live_sender"), url, form, *films)

    def relay(kind, port):
        t.programs["relay"] = Program(os.path.join(tests, "live_relay"), kind, str(port))
        return t.programs["relay"].said

    if transport == "rtsp":
        options = [word for fault in faults for word in ("--fault", fault)]
        server = t.programs["server"] = Program(os.path.join(tests, "rtsp_server"), films[0], *options)
        t.url = f"rtsp://127.0.0.1:{relay('tcp', server.said.split(':')[2].split('/')[0])}/test"
    elif transport == "rtmp":
        port = free_port(socket.SOCK_STREAM)
        sender(f"rtmp://127.0.0.1:{port}/live/x", "flv")
        t.url = f"rtmp://127.0.0.1:{relay('tcp', port)}/live/x"
    elif transport == "srt":
        port = free_port(socket.SOCK_DGRAM)
        sender(f"srt://127.0.0.1:{port}?mode=listener", "mpegts")
        t.url = f"srt://127.0.0.1:{relay('udp', port)}?mode=caller"
    elif transport == "udp":
        port, hold = held_port(socket.SOCK_DGRAM)
        to = relay("push", port)  # which takes ports of its own
        hold.close()
        sender(f"udp://127.0.0.1:{to}?pkt_size=1316", "mpegts")
        t.url = f"udp://127.0.0.1:{port}"
    elif transport == "hls":
        folder = os.path.join(folder, "hls")
        os.makedirs(folder)
        t.files = FileServer(("127.0.0.1", 0), functools.partial(Files, directory=folder))
        threading.Thread(target=t.files.serve_forever, daemon=True).start()
        t.url = f"http://127.0.0.1:{relay('tcp', t.files.server_address[1])}/live.m3u8"
        sender(os.path.join(folder, "live.m3u8"), "hls")
        while not os.path.exists(os.path.join(folder, "live.m3u8")):
            time.sleep(0.05)
    else:
        raise ValueError(transport)
    return t
