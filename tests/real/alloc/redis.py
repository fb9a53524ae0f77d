"""
redis.py SOCKET MEGABYTES ROUNDS: fills a redis-server that may hold so many megabytes and evicts the least recently used, with
values of sizes that change from round to round, so that each round meets memory in pieces of the last one's sizes. Then checks every
value that is left. Prints what is the same whatever was evicted.
"""
import socket
import sys


class Client:
    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(60)
        self.s.connect(path)
        self.f = self.s.makefile("rb")

    def send(self, commands):
        out = []
        for c in commands:
            c = [p if isinstance(p, bytes) else str(p).encode() for p in c]
            out.append(b"*%d\r\n" % len(c) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in c))
        self.s.sendall(b"".join(out))
        return [self.answer() for _ in commands]

    def answer(self):
        line = self.f.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return None if rest == b"-1" else self.f.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))]
        if kind == b":":
            return int(rest)
        return line[:-2]

    def call(self, *command):
        return self.send([command])[0]

    def info(self, section):
        lines = self.call("info", section).decode().split("\r\n")
        return dict(l.split(":", 1) for l in lines if ":" in l)


SIZES = [24, 200, 90, 1500, 40, 700, 5000, 60]


def value(key, turn):
    n = SIZES[turn % len(SIZES)]
    n += key * 7919 % n
    return (b"%d.%d." % (key, turn) * (n // 8 + 1))[:n]


def main():
    path, limit, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    c = Client(path)
    print(c.call("config", "set", "maxmemory", limit << 20), c.call("config", "set", "maxmemory-policy", "allkeys-lru"))
    version, wrong, over, logs = {}, [], 0, {}
    for turn in range(rounds):
        size = SIZES[turn % len(SIZES)]
        keys = (limit << 20) * 5 // 4 // (size * 3 // 2 + 80) if turn % 3 else (limit << 20) // 4 // (size * 3 // 2 + 80)
        keys = min(keys, 40000)
        for first in range(0, keys, 500):
            batch = [k * 31 % 60000 for k in range(first, first + 500)]
            answers = c.send([("set", "key:%d" % k, value(k, turn)) for k in batch])
            wrong += [a for a in answers if a != b"+OK"]
            for k in batch:
                version[k] = turn
            some = batch[::10]
            for k in some:
                logs[k % 200] = logs.get(k % 200, b"") + value(k, turn)[:50]
            c.send([("append", "log:%d" % (k % 200), value(k, turn)[:50]) for k in some])
            c.send([("hset", "hash:%d" % (k % 300), "f%d" % k, value(k, 0)) for k in some])
            c.send([("del", "key:%d" % k) for k in batch[5::20]])
            for k in batch[5::20]:
                version.pop(k)
        over += int(c.info("memory")["used_memory"]) > (limit << 20) * 21 // 20
    left = 0
    keys = sorted(version)
    for first in range(0, len(keys), 500):
        part = keys[first:first + 500]
        for k, got in zip(part, c.send([("get", "key:%d" % k) for k in part])):
            left += got is not None
            if got is not None and got != value(k, version[k]):
                wrong.append((k, got[:40]))
    for k, text in logs.items():  # an evicted one began again
        got = c.call("get", "log:%d" % k)
        if got is not None and not text.endswith(got):
            wrong.append(("log", k))
    for h in range(300):
        got = c.call("hgetall", "hash:%d" % h)
        wrong += [(h, f) for f, v in zip(got[::2], got[1::2]) if v != value(int(f[1:]), 0)]
    memory, stats = c.info("memory"), c.info("stats")
    print("wrong", wrong[:5], "over the limit", over, "left", left > 100, "evicted", int(stats["evicted_keys"]) > 100)
    print("active defragmentation:", c.call("config", "set", "activedefrag", "yes"))
    print(left, "left,", stats["evicted_keys"], "evicted,", memory["mem_allocator"], "used", memory["used_memory"],
          "resident", memory["used_memory_rss"], file=sys.stderr)


main()
