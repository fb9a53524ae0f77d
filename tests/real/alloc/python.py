"""
python.py NAME N: what Python programs do with memory, N times over; prints what does not depend on the machine.
"""
import collections
import io
import json
import math
import pickle
import random
import re
import string
import sys
import threading
import zlib

R = random.Random(5)


def digest(text):
    return zlib.crc32(text.encode() if isinstance(text, str) else text)


def words(n):
    return ["".join(R.choice("abcdefgh") for _ in range(R.randrange(2, 12))) for _ in range(n)]


def do_json(n):
    rows = [{"id": i, "name": w, "tags": list(w), "x": i / 7, "in": {"deep": [{"w": w[::-1]}] * 3}}
            for i, w in enumerate(words(6000))]
    for _ in range(n):
        text = json.dumps(rows, indent=1)
        rows = json.loads(text)
        print("json", len(text), digest(text))


def do_regex(n):
    text = " ".join(words(30000))
    for k in range(n):
        found = [m.group(0).upper() for m in re.finditer("a[b-e]+(f|g)?", text)]
        counts = collections.Counter(re.findall(r"\b\w(\w\w)", text))
        text = re.sub("([a-c])([d-h])", r"\2\1", text)
        parts = re.split("[gh]+", text)
        print("regex", len(found), counts.most_common(3), len(parts), digest(text))


class Body:
    def __init__(self, i):
        self.p, self.v, self.m = [math.cos(i), math.sin(i * 2), i / 3], [0.0, math.sin(i) / 9, 0.01 * i], 1.0 / (i + 1)


def do_nbody(n):
    bodies = [Body(i) for i in range(5)]
    for _ in range(n * 3000):
        for i, a in enumerate(bodies):
            for b in bodies[i + 1:]:
                d = [x - y for x, y in zip(a.p, b.p)]
                f = 0.001 / (sum(x * x for x in d) + 0.01) ** 1.5
                a.v = [v - x * b.m * f for v, x in zip(a.v, d)]
                b.v = [v + x * a.m * f for v, x in zip(b.v, d)]
        for a in bodies:
            a.p = [x + 0.001 * v for x, v in zip(a.p, a.v)]
    print("nbody", "%.6f" % sum(sum(a.p) for a in bodies))


class Variable:
    """A net of constraints, one-way, with strengths, as of DeltaBlue: many small objects that know each other."""
    def __init__(self, name, value):
        self.name, self.value, self.constraints, self.mark = name, value, [], 0


class Constraint:
    def __init__(self, strength, ins, out, how):
        self.strength, self.ins, self.out, self.how = strength, ins, out, how
        for v in ins + [out]:
            v.constraints.append(self)

    def satisfy(self, mark):
        if self.out.mark == mark:
            return []
        self.out.value, self.out.mark = self.how(*[v.value for v in self.ins]) % 1000003, mark
        return [c for c in self.out.constraints if self.out in c.ins]

    def remove(self):
        for v in self.ins + [self.out]:
            v.constraints.remove(self)


def do_objects(n):
    for k in range(n):
        chain = [Variable("v%d" % i, i) for i in range(3000)]
        net = [Constraint(i % 5, [a], b, lambda x, i=i: x * 3 + i) for i, (a, b) in enumerate(zip(chain, chain[1:]))]
        scale, offset = Variable("scale", 10), Variable("offset", 1000)
        ends = []
        for i in range(2000):
            ends.append(Variable("end%d" % i, 0))
            net.append(Constraint(2, [chain[i], scale, offset], ends[-1], lambda v, s, o: v * s + o))
        for mark in range(1, 6):
            chain[0].value = mark * 17 + k
            todo = collections.deque(c for c in chain[0].constraints)
            done = 0
            while todo:
                todo.extend(todo.popleft().satisfy(mark))
                done += 1
            for c in net[mark::50]:
                if len(c.ins) == 3 and c in c.out.constraints:
                    c.remove()
        print("objects", done, sum(e.value for e in ends) % 1000003)


def do_pickles(n):
    data = {"list": list(range(20000)), "tuples": [(i, str(i), i * 0.5) for i in range(10000)],
            "sets": [frozenset(R.randrange(1000) for _ in range(20)) for _ in range(1000)],
            "bodies": [Body(i) for i in range(3000)], "text": words(8000)}
    for k in range(n):
        for protocol in (0, 2, 5):
            f = io.BytesIO()
            pickle.dump({key: v for key, v in data.items() if protocol or key != "sets"}, f, protocol)
            size = f.tell()
            f.seek(0)
            data.update(pickle.load(f))
            print("pickles", protocol, size if protocol else len(data["tuples"]))
    print(digest(repr(data["text"])), sum(map(len, data["sets"])))


def do_churn(n):
    a = [[i] * (i % 17) for i in range(50000)]
    d = {str(i): (i, "x" * (i % 300)) for i in range(50000)}
    b = bytearray()
    for k in range(n):
        for i in range(0, 50000, 2):
            d.pop(str((i * 7 + k) % 50000), None)
        for i in range(60000):
            j = R.randrange(50000)
            a[j] = a[j - 1][:3] + [i]
        for i in range(25000):
            d[str((i * 3 + k) % 50000)] = (i, "y" * R.randrange(400))
        for i in range(300):
            b += bytes([i % 256]) * 5000
        s = "".join(v[1] for v in d.values())
        out = ""
        for i in range(3000):
            out += string.Template("$a-$b;").substitute(a=i, b=s[i:i + 9])
        print("churn", len(s), digest(out), sum(map(len, a)), len(b))
        del b[:len(b) // 2]


def do_threads(n):
    sums = [0] * 4

    def work(t):
        x = {}
        for i in range(n * 20000):
            x[i * 7919 % 10007] = [t] * (i % 40)
        sums[t] = sum(len(v) for v in x.values())
    ts = [threading.Thread(target=work, args=(t,)) for t in range(4)]
    for t in ts:
        t.start()
    for t in ts:
        t.join()
    print("threads", sums)


def main():
    name, n = sys.argv[1], int(sys.argv[2])
    known = {k[3:]: f for k, f in globals().items() if k.startswith("do_")}
    for k in known if name == "all" else name.split(","):
        known[k](n)


main()
